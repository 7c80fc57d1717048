import type { Clock } from '../../clock.js'
import { DaemonError } from '../../errors.js'
import { BlockError } from '../block-device.js'
import type { OwnedExtent } from '../volume/volume.js'
import type { OpenVolumes } from './open-volumes.js'

/** How long an asker is kept waiting for a merge to end. */
const LONGEST_WAIT_MS = 1000
/** Extents of one answer, and the part of a disk that is looked at at once. */
const MOST_EXTENTS = 10_000
const WINDOW_BYTES = 2 ** 30

/** How far a merge is. */
export interface MergeState {
  readonly isDone: boolean
  /** 0..1 */
  readonly fraction: number
}

/** A part of a volume's map. */
export interface MapPart {
  readonly extents: readonly OwnedExtent[]
  /** Where the next part begins; undefined at the end. */
  readonly nextOffset: number | undefined
}

interface Merge {
  readonly volumeId: string
  readonly stopping: AbortController
  fraction: number
  isEnded: boolean
  readonly ended: Promise<void>
}

/** Work on volumes that the control plane asks for and whose end it comes for. */
export class VolumeWork {
  readonly #volumes: OpenVolumes
  readonly #clock: Clock
  readonly #merges = new Map<string, Merge>()

  constructor(volumes: OpenVolumes, clock: Clock) {
    this.#volumes = volumes
    this.#clock = clock
  }

  /**
   * Copies a run of layers (top first) up into the layer over it, or tells how far that is: ask until it is done.
   * What an earlier process has copied is not copied again.
   * @throws DaemonError DISK_FAILED
   */
  async merge(volumeId: string, layerIds: readonly string[]): Promise<MergeState> {
    const key = [volumeId, ...layerIds].join()
    const merge = this.#merges.get(key) ?? this.#begin(key, volumeId, layerIds)
    await Promise.race([merge.ended.catch(ignore), this.#pause()])
    if (!merge.isEnded) return { isDone: false, fraction: merge.fraction }
    this.#merges.delete(key)
    await merge.ended
    return { isDone: true, fraction: 1 }
  }

  /** Which layer shows which part of a volume, from `offset` on. @throws DaemonError DISK_FAILED */
  async map(volumeId: string, offset: number): Promise<MapPart> {
    try {
      return await this.#volumes.withVolume(volumeId, async (volume) => {
        const extents: OwnedExtent[] = []
        let at = offset
        while (at < volume.sizeBytes && extents.length < MOST_EXTENTS) {
          const window = Math.min(WINDOW_BYTES, volume.sizeBytes - at)
          for (const extent of volume.owners(at, window)) append(extents, extent)
          at += window
          await new Promise(setImmediate) // guests go on meanwhile
        }
        return { extents, nextOffset: at < volume.sizeBytes ? at : undefined }
      })
    } catch (err) {
      throw diskFailed(err)
    }
  }

  /** Ends what runs: it goes on when it is asked for again. */
  async stop(): Promise<void> {
    await end([...this.#merges.values()], new BlockError('medium', 'the target process is ending'))
  }

  /** Ends what runs on volumes that another process has from now on: it is to be asked. */
  async letGo(volumeIds: readonly string[]): Promise<void> {
    const merges = [...this.#merges.values()].filter(({ volumeId }) => volumeIds.includes(volumeId))
    await end(merges, new DaemonError('TARGET_UNAVAILABLE', 'the volume has gone to another worker'))
  }

  #begin(key: string, volumeId: string, layerIds: readonly string[]): Merge {
    const stopping = new AbortController()
    const { signal } = stopping
    const onProgress = (fraction: number): void => void (merge.fraction = fraction)
    const copying = this.#volumes.withVolume(volumeId, (volume) =>
      volume.mergeLayers(layerIds, { onProgress, signal }),
    )
    const ended = copying
      .catch((err: unknown) => {
        throw diskFailed(err)
      })
      .finally(() => (merge.isEnded = true))
    ended.catch(ignore) // whoever asks next is told
    const merge: Merge = { volumeId, stopping, fraction: 0, isEnded: false, ended }
    this.#merges.set(key, merge)
    return merge
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(LONGEST_WAIT_MS, resolve))
  }
}

function append(extents: OwnedExtent[], extent: OwnedExtent): void {
  const last = extents.at(-1)
  if (last?.layerId !== extent.layerId || last === undefined) extents.push(extent)
  else extents[extents.length - 1] = { ...last, length: last.length + extent.length }
}

async function end(merges: readonly Merge[], reason: Error): Promise<void> {
  for (const { stopping } of merges) stopping.abort(reason)
  await Promise.allSettled(merges.map(({ ended }) => ended))
}

function diskFailed(err: unknown): DaemonError {
  if (err instanceof DaemonError) return err
  const message = err instanceof Error ? err.message : String(err)
  return new DaemonError('DISK_FAILED', message, { cause: err })
}

function ignore(): void {
  // told when it is asked for
}

import type { BlockDevice, Extent } from '../block-device.js'
import type { LayerSpec } from '../volume/layer.js'
import type { LayerStore } from '../volume/layer-store.js'
import { openShared } from '../volume/open-volume.js'
import type { Volume } from '../volume/volume.js'

/** Why a volume could not follow. */
export interface FollowFailure {
  readonly volumeId: string
  readonly message: string
  /** It has to be closed by all who have it: then whoever opens it again gets what is wished. */
  readonly mustClose: boolean
}

/** What {@link OpenVolumes.follow} did to open volumes. */
export interface FollowResult {
  /** Volumes that have another size than before. */
  readonly grown: readonly string[]
  /** Volumes whose layers are others than before. */
  readonly changed: readonly string[]
  /** Volumes that could not be brought to what is wished; they go on as they were. */
  readonly failed: readonly FollowFailure[]
}

interface Entry {
  readonly volume: Promise<Volume>
  users: number
}

/**
 * The open volumes of a process: each is open once, shared by all who serve it and by those who work on it,
 * and closed when the last of them lets it go.
 */
export class OpenVolumes {
  readonly #store: LayerStore
  readonly #chainOf: (volumeId: string) => readonly LayerSpec[]
  readonly #entries = new Map<string, Entry>()
  readonly #closing = new Map<string, Promise<void>>()

  /** @param chainOf the wished layers of a volume now, top first; empty when there is no such volume */
  constructor(store: LayerStore, chainOf: (volumeId: string) => readonly LayerSpec[]) {
    this.#store = store
    this.#chainOf = chainOf
  }

  /** Ids of the volumes that are open. */
  get openIds(): readonly string[] {
    return [...this.#entries.keys()]
  }

  /** The volume as one user's device: closing it lets the volume go. @throws as `openVolume` */
  async acquire(volumeId: string): Promise<BlockDevice> {
    const entry = this.#entries.get(volumeId) ?? this.#open(volumeId)
    entry.users++
    return new SharedDevice(await entry.volume, () => this.#release(volumeId, entry))
  }

  /** Works on a volume itself (merge, flatten), whether somebody has it open or not. */
  async withVolume<T>(volumeId: string, work: (volume: Volume) => Promise<T>): Promise<T> {
    const entry = this.#entries.get(volumeId) ?? this.#open(volumeId)
    entry.users++
    const volume = await entry.volume
    try {
      return await work(volume)
    } finally {
      await this.#release(volumeId, entry)
    }
  }

  /** Brings every open volume to its wished layers and size, under its running guests. Never rejects. */
  async follow(): Promise<FollowResult> {
    const result = { grown: [] as string[], changed: [] as string[], failed: [] as FollowFailure[] }
    await Promise.all(
      this.openIds.map(async (volumeId) => {
        try {
          await this.withVolume(volumeId, async (volume) => {
            const { sizeBytes, layerIds } = volume
            try {
              await bringTo(volume, this.#chainOf(volumeId))
            } finally {
              if (volume.sizeBytes !== sizeBytes) result.grown.push(volumeId)
              if (volume.layerIds.join() !== layerIds.join()) result.changed.push(volumeId)
            }
          })
        } catch (err) {
          const message = err instanceof Error ? err.message : String(err)
          result.failed.push({ volumeId, message, mustClose: err instanceof MustClose })
        }
      }),
    )
    return result
  }

  #open(volumeId: string): Entry {
    const before = this.#closing.get(volumeId) ?? Promise.resolve()
    const volume = before.then(() => openShared(this.#store, this.#chainOf(volumeId)))
    const entry: Entry = { volume, users: 0 }
    this.#entries.set(volumeId, entry)
    volume.catch(() => this.#forget(volumeId, entry))
    return entry
  }

  async #release(volumeId: string, entry: Entry): Promise<void> {
    if (--entry.users > 0) return
    this.#forget(volumeId, entry)
    const closing = entry.volume.then((volume) => volume.close())
    const closed = closing.then(ignore, ignore).then(() => {
      if (this.#closing.get(volumeId) === closed) this.#closing.delete(volumeId)
    })
    this.#closing.set(volumeId, closed)
    await closing
  }

  #forget(volumeId: string, entry: Entry): void {
    if (this.#entries.get(volumeId) === entry) this.#entries.delete(volumeId)
  }
}

class MustClose extends Error {}

/** Snapshots that were taken, then layers that went, then the size. @throws Error when a live volume cannot get there */
async function bringTo(volume: Volume, wished: readonly LayerSpec[]): Promise<void> {
  const before = volume.layerIds
  const kept = wished.findIndex(({ layerId }) => layerId === before[0])
  if (kept < 0) throw new MustClose('the volume stands on another layer now: it has to be closed first')
  const staying = before.filter((layerId) => wished.some((layer) => layer.layerId === layerId))
  if (wished.slice(kept).some(({ layerId }, i) => layerId !== staying[i])) {
    throw new MustClose('layers were put into the middle of the chain: the volume has to be closed first')
  }
  for (const layer of wished.slice(0, kept).reverse()) await volume.pushLayer(layer)
  for (const run of runsWithout(before, staying)) await volume.dropLayers(run)
  const sizeBytes = wished[0]?.sizeBytes ?? 0
  if (sizeBytes > volume.sizeBytes) await volume.grow(sizeBytes)
}

/** Runs of neighbours that do not stay. */
function runsWithout(layerIds: readonly string[], staying: readonly string[]): string[][] {
  const runs: string[][] = [[]]
  for (const layerId of layerIds) {
    if (staying.includes(layerId)) runs.push([])
    else runs.at(-1)?.push(layerId)
  }
  return runs.filter((run) => run.length > 0)
}

/** One user's view of a volume that others use too. */
class SharedDevice implements BlockDevice {
  readonly #volume: Volume
  #release: (() => Promise<void>) | undefined

  constructor(volume: Volume, release: () => Promise<void>) {
    this.#volume = volume
    this.#release = release
  }

  get sizeBytes(): number {
    return this.#volume.sizeBytes
  }

  get isReadOnly(): boolean {
    return this.#volume.isReadOnly
  }

  read(offset: number, into: Uint8Array): undefined | Promise<void> {
    return this.#volume.read(offset, into)
  }

  write(offset: number, from: Uint8Array): undefined | Promise<void> {
    return this.#volume.write(offset, from)
  }

  flush(): undefined | Promise<void> {
    return this.#volume.flush()
  }

  unmap(offset: number, length: number): undefined | Promise<void> {
    return this.#volume.unmap(offset, length)
  }

  extents(offset: number, length: number): readonly Extent[] {
    return this.#volume.extents(offset, length)
  }

  /** What the user began has ended by then: only it knows. */
  async close(): Promise<void> {
    const release = this.#release
    this.#release = undefined
    await release?.()
  }
}

function ignore(): void {
  // whoever let the volume go is told
}

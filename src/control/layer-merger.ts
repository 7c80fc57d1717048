import type { Clock } from '../clock.js'
import { DaemonError } from '../errors.js'
import type { JobRecord, VolumeRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import type { Claims } from './claims.js'
import type { JobContext, Jobs } from './jobs.js'
import { changeableLayers } from './volumes.js'
import type { WishState } from './wish-state.js'

/** How long a merge waits for a target process that is away, and how often it asks. */
const PATIENCE_MS = 60_000
const RETRY_MS = 1000

/** How far the target is with a merge; asked for again until it is done. */
export interface MergeState {
  readonly isDone: boolean
  /** 0..1 */
  readonly fraction: number
}

/** What merging needs of the other rooms. */
export interface LayerMergerDeps {
  readonly registry: Registry
  readonly clock: Clock
  readonly jobs: Jobs
  readonly claims: Claims
  readonly wishes: WishState
  /**
   * Begins, or goes on with, copying a run of a volume's layers (top first) up into the layer over it; answers
   * after a moment. @throws DaemonError TARGET_UNAVAILABLE, DISK_FAILED
   */
  readonly mergeLayers: (volumeId: string, layerIds: readonly string[]) => Promise<MergeState>
}

/** Has layers merged by the target process, which has the disks. */
export class LayerMerger {
  readonly #deps: LayerMergerDeps

  constructor(deps: LayerMergerDeps) {
    this.#deps = deps
  }

  /** Merges to the end, over restarts of the target process too. @throws DaemonError, or the signal's reason */
  async merge(
    volumeId: string,
    layerIds: readonly string[],
    { signal, progress }: JobContext,
  ): Promise<void> {
    const { clock } = this.#deps
    let heardMs = clock.monotonicMs()
    for (;;) {
      signal.throwIfAborted()
      try {
        const { isDone, fraction } = await this.#deps.mergeLayers(volumeId, layerIds)
        if (isDone) return
        heardMs = clock.monotonicMs()
        progress(fraction, 'copying')
      } catch (err) {
        const isAway = err instanceof DaemonError && err.code === 'TARGET_UNAVAILABLE'
        if (!isAway || clock.monotonicMs() - heardMs > PATIENCE_MS) throw err
        await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve))
      }
    }
  }

  /**
   * Starts to copy all that a volume's parents hold into the volume, which stands alone then; snapshots stay.
   * @throws DaemonError WRONG_STATE when it stands alone already or is being changed
   */
  startFlatten(volume: VolumeRecord): JobRecord {
    const { registry, claims, jobs, wishes } = this.#deps
    wishes.expectLayers('flattening a volume')
    const [, ...parents] = registry.layers.chain(volume.layerId).map(({ id }) => id)
    if (parents.length === 0)
      throw new DaemonError('WRONG_STATE', `volume ${volume.name} stands on no other layer already`)
    const layers = changeableLayers(registry, volume.layerId)
    const release = claims.take(layers, `volume ${volume.name} is being flattened`)
    try {
      return jobs.start('volume-flatten', volume.name, async (context) => {
        try {
          await this.merge(volume.id, parents, context)
          await this.#standAlone(volume.id)
        } finally {
          release()
        }
      })
    } catch (err) {
      release()
      throw err
    }
  }

  async #standAlone(volumeId: string): Promise<void> {
    const { registry, wishes } = this.#deps
    const volume = registry.volumes.get(volumeId)
    if (volume === undefined) return
    registry.transaction(() => {
      registry.layers.setParent(volume.layerId, undefined)
      registry.volumes.update({ ...volume, imageId: undefined })
    })
    await wishes.applyWhenUp()
  }
}

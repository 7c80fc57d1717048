import type { Logger } from 'pino'
import { DaemonError } from '../errors.js'
import type { Registry } from '../registry/registry.js'
import { expectEmbedded, shownLun, type DriverName, type Followed } from '../rootdisk/target/driver.js'

/** What {@link WishState} needs. */
export interface WishStateDeps {
  readonly registry: Registry
  readonly log: Logger
  /** Which target it is; `embedded` when left out. */
  readonly driver?: DriverName
  /** Makes the target follow the registry. @throws DaemonError TARGET_UNAVAILABLE */
  readonly reload: () => Promise<Followed>
  /** Removes a layer's files; no error when there are none. */
  readonly deleteLayer: (layerId: string) => Promise<void>
}

/**
 * The registry is what is wished; the target process follows it. What can only be finished once it has followed is
 * finished here: at every change, and after every start of either process for what a crash left.
 */
export class WishState {
  readonly #deps: WishStateDeps

  constructor(deps: WishStateDeps) {
    this.#deps = deps
  }

  /**
   * Has the target follow. Then snapshots whose layers it has left are `available`, and layers that it has let go
   * lose their files.
   * @throws DaemonError TARGET_UNAVAILABLE; the wish stands
   */
  async apply(): Promise<Followed> {
    const { snapshots, doomedLayers } = this.#deps.registry
    const creating = snapshots.list().filter(({ status }) => status === 'creating')
    const doomed = doomedLayers.list()
    const followed = await this.#deps.reload()
    for (const { id, volumeId } of creating) {
      const isBehind = followed.failed.some((failed) => failed.volumeId === volumeId)
      if (!isBehind && snapshots.get(id)?.status === 'creating') snapshots.setStatus(id, 'available')
    }
    await this.reap(doomed)
    return followed
  }

  /**
   * For what only layers can do.
   * @param what it is, as in `a snapshot`
   * @throws DaemonError UNSUPPORTED when volumes are raw files of another target
   */
  expectLayers(what: string): void {
    expectEmbedded(this.#deps.driver ?? 'embedded', what)
  }

  /** Whether a target that is there takes a new secret; tgtd keeps the one it was made with. */
  get takesNewSecrets(): boolean {
    return (this.#deps.driver ?? 'embedded') === 'embedded'
  }

  /** The LUN that a server finds where the registry has `lun`. */
  shownLun(lun: number): number {
    return shownLun(this.#deps.driver ?? 'embedded', lun)
  }

  /** {@link apply} for a wish that is good without the target too: one that is down reads it when it starts. */
  async applyWhenUp(): Promise<Followed> {
    try {
      return await this.apply()
    } catch (err) {
      if (!(err instanceof DaemonError) || err.code !== 'TARGET_UNAVAILABLE') throw err
      this.#deps.log.warn({ err }, 'the target follows when it is back')
      return { failed: [] }
    }
  }

  /** Removes the files of doomed layers; what cannot be removed now is tried again at the next change. */
  async reap(layerIds: readonly string[] = this.#deps.registry.doomedLayers.list()): Promise<void> {
    for (const layerId of layerIds) {
      try {
        await this.#deps.deleteLayer(layerId)
        this.#deps.registry.doomedLayers.delete(layerId)
      } catch (err) {
        this.#deps.log.error({ err, layerId }, 'files of a layer could not be removed')
      }
    }
  }
}

/** @throws DaemonError DISK_FAILED when the target could not bring this volume to what is wished */
export function expectFollowed(followed: Followed, volumeId: string): void {
  const failure = followed.failed.find((failed) => failed.volumeId === volumeId)
  if (failure === undefined) return
  throw new DaemonError(
    'DISK_FAILED',
    `the disk goes on as it was, and follows at the next change or restart: ${failure.message}`,
  )
}

import type { TargetControl, TargetStatus } from '../control-routes.js'
import type { NbdShare } from '../nbd-shares.js'
import type { ReloadReport } from '../reload.js'
import type { CacheReport } from '../../volume/golden-cache.js'
import type { MapPart, MergeState } from '../volume-work.js'
import type { Placement } from './placement.js'
import type { WorkerPool } from './worker-pool.js'
import type { WorkerProcess } from './worker-process.js'

/** What the control socket asks, answered by the workers that have it. */
export class SpreadTarget implements TargetControl {
  readonly #pool: WorkerPool
  readonly #readPlacement: () => Placement
  #placement: Placement

  /** @param readPlacement who should have what now */
  constructor(pool: WorkerPool, readPlacement: () => Placement) {
    this.#pool = pool
    this.#readPlacement = readPlacement
    this.#placement = readPlacement()
  }

  /** The worker of a target; any that serves where none has it: it refuses, or knows all targets in discovery. */
  ofTarget(iqn: string | undefined): WorkerProcess {
    const index = this.#placement.ofTarget(iqn ?? '')
    if (index !== undefined) return this.#pool.at(index)
    return this.#pool.all.find(({ isUp }) => isUp) ?? this.#pool.at(0)
  }

  async status(): Promise<TargetStatus> {
    const all = await Promise.all(this.#pool.all.map((worker) => worker.call('status')))
    return {
      sessions: all.flatMap(({ sessions }) => sessions),
      openVolumes: all.flatMap(({ openVolumes }) => openVolumes),
      cache: all.map(({ cache }) => cache).reduce(together),
    }
  }

  /** All at once: what one has to let go of is given to another when it has. */
  async reload(): Promise<ReloadReport> {
    const placement = this.#readPlacement()
    this.#placement = placement
    const reports = await Promise.all(
      this.#pool.all.map((worker, index) => worker.call('reload', placement.elsewhere(index))),
    )
    const volumes = reports.map((report) => report.volumes)
    return {
      added: unique(reports.flatMap(({ added }) => added)),
      removed: unique(reports.flatMap(({ removed }) => removed)),
      replaced: unique(reports.flatMap(({ replaced }) => replaced)),
      volumes: {
        grown: unique(volumes.flatMap(({ grown }) => grown)),
        changed: unique(volumes.flatMap(({ changed }) => changed)),
        failed: volumes.flatMap(({ failed }) => failed),
      },
    }
  }

  merge(volumeId: string, layerIds: readonly string[]): Promise<MergeState> {
    return this.#ofVolume(volumeId).call('merge', volumeId, layerIds)
  }

  map(volumeId: string, offset: number): Promise<MapPart> {
    return this.#ofVolume(volumeId).call('map', volumeId, offset)
  }

  beginShare(share: NbdShare): Promise<void> {
    return this.#ofVolume(share.volumeId).call('beginShare', share)
  }

  endShare(volumeId: string): Promise<boolean> {
    return this.#ofVolume(volumeId).call('endShare', volumeId)
  }

  #ofVolume(volumeId: string): WorkerProcess {
    return this.#pool.at(this.#placement.ofVolume(volumeId))
  }
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)]
}

/** Each worker has a cache of its own. */
function together(a: CacheReport, b: CacheReport): CacheReport {
  return {
    hits: a.hits + b.hits,
    misses: a.misses + b.misses,
    readAhead: a.readAhead + b.readAhead,
    usedBytes: a.usedBytes + b.usedBytes,
    budgetBytes: a.budgetBytes + b.budgetBytes,
  }
}

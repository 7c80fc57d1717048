import { createHash } from 'node:crypto'

/** What decides where a server's disks are open. */
export interface PlacedServer {
  readonly id: string
  readonly iqn: string
  readonly createdMs: number
  /** System disk and data volumes. */
  readonly volumeIds: readonly string[]
}

/** A volume with those of its layers that may ever be written: all but a golden image's. */
export interface PlacedVolume {
  readonly id: string
  readonly layerIds: readonly string[]
}

/** Targets and volumes that are another worker's: one that has them open lets them go. */
export interface Elsewhere {
  readonly iqns: readonly string[]
  readonly volumeIds: readonly string[]
}

/**
 * Which worker has which server. A server goes where the hash of its id says. Servers whose disks share a layer
 * that may be written, such as a snapshot, are together, where the oldest of them goes; a volume is where its
 * server is. So no layer but a golden one is wanted by two workers.
 */
export class Placement {
  readonly #workerOf = new Map<string, number>()
  readonly #iqns = new Map<string, string>()
  readonly #volumeIds: readonly string[]

  constructor(workers: number, servers: readonly PlacedServer[], volumes: readonly PlacedVolume[]) {
    const groups = new Groups()
    for (const { id, layerIds } of volumes) for (const layerId of layerIds) groups.join(id, layerId)
    for (const { id, volumeIds } of servers) for (const volumeId of volumeIds) groups.join(id, volumeId)
    const first = new Map<string, string>() // whose hash counts, by group
    const byAge = [...servers].sort((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1))
    const ids = [...byAge.map(({ id }) => id), ...volumes.map(({ id }) => id).sort()]
    for (const id of ids) {
      const group = groups.of(id)
      if (!first.has(group)) first.set(group, id)
      this.#workerOf.set(id, hashed(first.get(group) ?? id) % workers)
    }
    for (const { iqn, id } of servers) this.#iqns.set(iqn, id)
    this.#volumeIds = volumes.map(({ id }) => id)
  }

  /** The worker of a target; undefined when there is no such target. */
  ofTarget(iqn: string): number | undefined {
    return this.#workerOf.get(this.#iqns.get(iqn) ?? '')
  }

  /** The worker of a volume, attached or not; the first one for a volume that nobody knows. */
  ofVolume(volumeId: string): number {
    return this.#workerOf.get(volumeId) ?? 0
  }

  /** What other workers have. */
  elsewhere(worker: number): Elsewhere {
    return {
      iqns: [...this.#iqns.keys()].filter((iqn) => this.ofTarget(iqn) !== worker),
      volumeIds: this.#volumeIds.filter((id) => this.ofVolume(id) !== worker),
    }
  }
}

function hashed(id: string): number {
  return parseInt(createHash('sha256').update(id).digest('hex').slice(0, 8), 16)
}

/** Ids that belong together, by what joins them. */
class Groups {
  readonly #over = new Map<string, string>()

  of(id: string): string {
    let at = id
    for (;;) {
      const over = this.#over.get(at)
      if (over === undefined) return at
      at = over
    }
  }

  join(a: string, b: string): void {
    const [one, other] = [this.of(a), this.of(b)]
    if (one !== other) this.#over.set(one, other)
  }
}

import type { LeaseRecord } from '../../registry/records.js'
import type { LeaseStore } from './lease-store.js'

/**
 * Group commit: the leases of everything received in one turn of the event loop are saved in one transaction,
 * and only then are their ACKs sent. A client whose lease could not be saved hears nothing and asks again.
 */
export class LeaseCommit {
  readonly #store: LeaseStore
  readonly #onFailure: (cause: unknown, count: number) => void
  #leases = new Map<string, LeaseRecord>()
  #afterwards: (() => void)[] = []
  #immediate: NodeJS.Immediate | undefined

  constructor(store: LeaseStore, onFailure: (cause: unknown, count: number) => void) {
    this.#store = store
    this.#onFailure = onFailure
  }

  /** Saves `lease` with the others of this turn, then calls `afterwards`. */
  add(lease: LeaseRecord, afterwards: () => void): void {
    this.#leases.set(lease.ip, lease)
    this.#afterwards.push(afterwards)
    this.#immediate ??= setImmediate(() => this.flush())
  }

  /** Forgets the lease of `ip`, saved or about to be. */
  remove(ip: string): void {
    this.#leases.delete(ip)
    this.#store.remove(ip)
  }

  /** Saves now what is waiting. */
  flush(): void {
    clearImmediate(this.#immediate)
    this.#immediate = undefined
    const leases = latestOfEachMac([...this.#leases.values()])
    const afterwards = this.#afterwards
    this.#leases = new Map()
    this.#afterwards = []
    try {
      if (leases.length > 0) this.#store.save(leases)
    } catch (err) {
      this.#onFailure(err, afterwards.length)
      return
    }
    for (const call of afterwards) call()
  }
}

// The registry holds one lease a MAC; of two in one turn the later counts.
function latestOfEachMac(leases: readonly LeaseRecord[]): LeaseRecord[] {
  return [...new Map(leases.map((lease) => [lease.mac, lease])).values()]
}

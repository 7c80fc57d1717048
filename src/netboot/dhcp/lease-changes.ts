import type { LeaseChange, LeaseRecord } from '../../registry/records.js'

/** The latest change of each address, oldest first: applied in this order they give what all of them gave. */
export class LeaseChanges {
  readonly #byIp = new Map<string, LeaseRecord | undefined>()

  /** How many addresses have changed. */
  get size(): number {
    return this.#byIp.size
  }

  /** Adds a change as the newest. */
  add([ip, lease]: LeaseChange): void {
    this.#byIp.delete(ip)
    this.#byIp.set(ip, lease)
  }

  /** The latest change of an address, if there is one. */
  get(ip: string): LeaseChange | undefined {
    return this.#byIp.has(ip) ? [ip, this.#byIp.get(ip)] : undefined
  }

  [Symbol.iterator](): Iterator<LeaseChange> {
    return this.#byIp.entries()
  }
}

/** `leases` after all of `changes`: an address has one lease and a client one address, the newest wins. */
export function withChanges(
  leases: readonly LeaseRecord[],
  changes: Iterable<LeaseChange>,
): Iterable<LeaseRecord> {
  const byIp = new Map(leases.map((lease) => [lease.ip, lease]))
  const ipOfMac = new Map(leases.map((lease) => [lease.mac, lease.ip]))
  const drop = (ip: string): void => {
    const lease = byIp.get(ip)
    if (lease === undefined) return
    byIp.delete(ip)
    ipOfMac.delete(lease.mac)
  }
  for (const [ip, lease] of changes) {
    drop(ip)
    if (lease === undefined) continue
    drop(ipOfMac.get(lease.mac) ?? '')
    byIp.set(ip, lease)
    ipOfMac.set(lease.mac, ip)
  }
  return byIp.values()
}

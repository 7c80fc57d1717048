import { formatIpv4, parseIpv4 } from '../../wire/ipv4.js'
import type { LeaseRecord } from '../../registry/records.js'
import { LinkedMap } from './linked-map.js'

/** A range of addresses, both ends included, as unsigned 32-bit numbers. */
export interface PoolRange {
  readonly first: number
  readonly last: number
}

interface Binding {
  readonly mac: string
  readonly untilMs: number
}

/**
 * Which pool address is whose. Every question and every change costs the same however large the pool is:
 * free addresses are kept in order of release, offers and leases in order of their end.
 * An expired lease stays until its address is needed, so clients come back to what they had.
 */
export class AddressBook {
  readonly #free = new LinkedMap<true>()
  readonly #offers = new LinkedMap<Binding>()
  readonly #leases = new LinkedMap<Binding>()
  readonly #quarantine = new LinkedMap<number>()
  readonly #ipOfMac = new Map<string, number>()
  readonly #isFixed: (ip: string) => boolean

  /**
   * @param excluded addresses inside the range that are never given (our own, the router's)
   * @param isFixed whether an address belongs to a machine; asked only for the few addresses looked at
   */
  constructor(
    range: PoolRange | undefined,
    excluded: readonly number[],
    leases: readonly LeaseRecord[],
    isFixed: (ip: string) => boolean,
  ) {
    this.#isFixed = isFixed
    if (range !== undefined) for (let ip = range.first; ip <= range.last; ip++) this.#free.set(ip, true)
    for (const ip of excluded) this.#free.delete(ip)
    for (const lease of leases.toSorted((a, b) => a.expiresMs - b.expiresMs)) this.#restore(lease)
  }

  /** Addresses nobody has had yet or that were given back. */
  get freeCount(): number {
    return this.#free.size
  }

  /** The address `mac` has by lease (even an expired one) or by a standing offer. */
  held(mac: string, nowMs: number): number | undefined {
    this.#reap(nowMs)
    const ip = this.#ipOfMac.get(mac)
    if (ip === undefined || !this.#isFixed(formatIpv4(ip))) return ip
    this.#drop(ip) // a machine was given this address since
    return undefined
  }

  /**
   * An address for a client that has none: `wanted` when that is free. Takes nothing yet.
   * @param keepFree so many free addresses are not for this client
   */
  candidate(wanted: number | undefined, nowMs: number, keepFree = 0): number | undefined {
    this.#reap(nowMs)
    if (this.#free.size <= keepFree) return this.#oldestExpired(nowMs)
    if (wanted !== undefined && this.#free.has(wanted) && !this.#isFixed(formatIpv4(wanted))) return wanted
    for (let free = this.#free.oldest; free !== undefined; free = this.#free.oldest) {
      if (!this.#isFixed(formatIpv4(free.key))) return free.key
      this.#free.delete(free.key)
    }
    return this.#oldestExpired(nowMs)
  }

  /** Keeps `ip` for `mac` until then. A lease that still runs needs no offer. */
  offer(ip: number, mac: string, untilMs: number): void {
    const lease = this.#leases.get(ip)
    if (lease?.mac === mac && lease.untilMs >= untilMs) return
    if (this.#take(ip, mac)) this.#offers.set(ip, { mac, untilMs })
  }

  /** Leases `ip` to `mac`. An address outside the pool only ends what the MAC had inside. */
  lease(ip: number, mac: string, untilMs: number): void {
    if (this.#take(ip, mac)) this.#leases.set(ip, { mac, untilMs })
  }

  /** The client took another server's offer. */
  withdraw(mac: string): void {
    const ip = this.#ipOfMac.get(mac)
    if (ip !== undefined && this.#offers.has(ip)) this.release(ip)
  }

  /** Gives `ip` back to the pool, to be used last. */
  release(ip: number): void {
    if (this.#drop(ip)) this.#free.set(ip, true)
  }

  /** Leaves `ip` alone until then. */
  quarantine(ip: number, untilMs: number): void {
    if (this.#drop(ip)) this.#quarantine.set(ip, untilMs)
  }

  #restore({ ip, mac, expiresMs }: LeaseRecord): void {
    const address = parseIpv4(ip)
    if (address !== undefined && this.#free.has(address)) this.lease(address, mac, expiresMs)
  }

  // Ends what `ip` and `mac` had before; false when `ip` is not of this pool (a machine's own).
  #take(ip: number, mac: string): boolean {
    const before = this.#ipOfMac.get(mac)
    if (before !== undefined && before !== ip) this.release(before)
    const isPooled = this.#drop(ip) || this.#free.delete(ip)
    if (isPooled) this.#ipOfMac.set(mac, ip)
    return isPooled
  }

  #drop(ip: number): boolean {
    const binding = this.#offers.get(ip) ?? this.#leases.get(ip)
    if (binding === undefined) return false
    this.#offers.delete(ip)
    this.#leases.delete(ip)
    this.#ipOfMac.delete(binding.mac)
    return true
  }

  #oldestExpired(nowMs: number): number | undefined {
    for (let lease = this.#leases.oldest; lease !== undefined; lease = this.#leases.oldest) {
      if (lease.value.untilMs > nowMs) return undefined
      if (!this.#isFixed(formatIpv4(lease.key))) return lease.key
      this.#drop(lease.key)
    }
    return undefined
  }

  #reap(nowMs: number): void {
    for (let offer = this.#offers.oldest; offer !== undefined; offer = this.#offers.oldest) {
      if (offer.value.untilMs > nowMs) break
      this.release(offer.key)
    }
    for (let rest = this.#quarantine.oldest; rest !== undefined; rest = this.#quarantine.oldest) {
      if (rest.value > nowMs) break
      this.#quarantine.delete(rest.key)
      this.#free.set(rest.key, true)
    }
  }
}

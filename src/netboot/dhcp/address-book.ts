import { formatIpv4, parseIpv4 } from '../../wire/ipv4.js'
import type { LeaseRecord } from '../../registry/records.js'
import { LinkedMap } from './linked-map.js'

/** A range of addresses, both ends included, as unsigned 32-bit numbers. */
export interface PoolRange {
  readonly first: number
  readonly last: number
}

const NO_RANGE: PoolRange = { first: 1, last: 0 }

interface Binding {
  readonly mac: string
  readonly untilMs: number
}

/**
 * Which pool address is whose. Every question and every change costs the same however large the pool is, and memory
 * goes with the addresses in use: those that nobody has had are the ones from a cursor on, those that were given
 * back are a list, offers and leases are kept in order of their end.
 * An expired lease stays until its address is needed, so clients come back to what they had.
 */
export class AddressBook {
  readonly #range: PoolRange
  readonly #excluded: ReadonlySet<number>
  readonly #released = new LinkedMap<true>()
  readonly #offers = new LinkedMap<Binding>()
  readonly #leases = new LinkedMap<Binding>()
  readonly #quarantine = new LinkedMap<number>()
  readonly #ipOfMac = new Map<string, number>()
  readonly #isFixed: (ip: string) => boolean
  /** Nobody has had this one or a later one, unless it is in one of the maps. */
  #cursor: number
  /** Addresses that turned out to be machines'. */
  #fixedCount = 0

  /**
   * @param excluded addresses inside the range that are never given (our own, the router's)
   * @param isFixed whether an address belongs to a machine; asked only for the few addresses looked at
   */
  constructor(
    range: PoolRange | undefined,
    excluded: readonly number[],
    leases: Iterable<LeaseRecord>,
    isFixed: (ip: string) => boolean,
  ) {
    this.#range = range ?? NO_RANGE
    this.#cursor = this.#range.first
    this.#excluded = new Set(excluded.filter((ip) => this.#isInRange(ip)))
    this.#isFixed = isFixed
    for (const lease of [...leases].sort((a, b) => a.expiresMs - b.expiresMs)) this.#restore(lease)
  }

  /** Addresses nobody has had yet or that were given back. */
  get freeCount(): number {
    const { first, last } = this.#range
    const inUse = this.#offers.size + this.#leases.size + this.#quarantine.size
    return last - first + 1 - this.#excluded.size - this.#fixedCount - inUse
  }

  /** The address `mac` has by lease (even an expired one) or by a standing offer. */
  held(mac: string, nowMs: number): number | undefined {
    this.#reap(nowMs)
    const ip = this.#ipOfMac.get(mac)
    if (ip === undefined || !this.#isFixed(formatIpv4(ip))) return ip
    this.release(ip) // a machine was given this address since
    return undefined
  }

  /**
   * An address for a client that has none: `wanted` when that is free. Takes nothing yet.
   * @param keepFree so many free addresses are not for this client
   */
  candidate(wanted: number | undefined, nowMs: number, keepFree = 0): number | undefined {
    this.#reap(nowMs)
    if (this.freeCount <= keepFree) return this.#oldestExpired(nowMs)
    if (wanted !== undefined && this.#isFree(wanted) && !this.#isFixed(formatIpv4(wanted))) return wanted
    return this.#unused() ?? this.#oldestReleased() ?? this.#oldestExpired(nowMs)
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
    if (this.#drop(ip)) this.#released.set(ip, true)
  }

  /** Leaves `ip` alone until then. */
  quarantine(ip: number, untilMs: number): void {
    if (this.#drop(ip)) this.#quarantine.set(ip, untilMs)
  }

  #restore({ ip, mac, expiresMs }: LeaseRecord): void {
    const address = parseIpv4(ip)
    if (address !== undefined && this.#isFree(address)) this.lease(address, mac, expiresMs)
  }

  #isInRange(ip: number): boolean {
    return ip >= this.#range.first && ip <= this.#range.last
  }

  #isFree(ip: number): boolean {
    return this.#released.has(ip) || (ip >= this.#cursor && this.#isUnused(ip))
  }

  #isUnused(ip: number): boolean {
    const isBound = this.#leases.has(ip) || this.#offers.has(ip) || this.#quarantine.has(ip)
    return this.#isInRange(ip) && !isBound && !this.#excluded.has(ip) && !this.#released.has(ip)
  }

  // Ends what `ip` and `mac` had before; false when `ip` is not of this pool (a machine's own).
  #take(ip: number, mac: string): boolean {
    const before = this.#ipOfMac.get(mac)
    if (before !== undefined && before !== ip) this.release(before)
    const isPooled = this.#drop(ip) || this.#isFree(ip)
    if (!isPooled) return false
    this.#released.delete(ip)
    this.#ipOfMac.set(mac, ip)
    return true
  }

  #drop(ip: number): boolean {
    const binding = this.#offers.get(ip) ?? this.#leases.get(ip)
    if (binding === undefined) return false
    this.#offers.delete(ip)
    this.#leases.delete(ip)
    this.#ipOfMac.delete(binding.mac)
    return true
  }

  #unused(): number | undefined {
    for (; this.#cursor <= this.#range.last; this.#cursor++) {
      if (!this.#isUnused(this.#cursor)) continue
      if (!this.#isFixed(formatIpv4(this.#cursor))) return this.#cursor
      this.#fixedCount++
    }
    return undefined
  }

  #oldestReleased(): number | undefined {
    for (let free = this.#released.oldest; free !== undefined; free = this.#released.oldest) {
      if (!this.#isFixed(formatIpv4(free.key))) return free.key
      this.#released.delete(free.key)
      this.#fixedCount++
    }
    return undefined
  }

  #oldestExpired(nowMs: number): number | undefined {
    for (let lease = this.#leases.oldest; lease !== undefined; lease = this.#leases.oldest) {
      if (lease.value.untilMs > nowMs) return undefined
      if (!this.#isFixed(formatIpv4(lease.key))) return lease.key
      this.release(lease.key)
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
      this.#released.set(rest.key, true)
    }
  }
}

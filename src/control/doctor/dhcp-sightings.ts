import type { Clock } from '../../clock.js'
import type { DhcpSighting } from '../../netboot/dhcp/sighting.js'
import { formatIpv4 } from '../../wire/ipv4.js'
import type { SeenRelay } from './network-findings.js'

/** What is remembered of one machine; times of the wall clock in milliseconds. */
export interface MachineSighting {
  /** `secs` of its first message. */
  readonly secs: number
  readonly lastMs: number
  readonly proxiedMs: number | undefined
  readonly pxePortMs: number | undefined
}

/** A machine that was silent for so long begins anew. */
const PAUSE_MS = 60_000
/** Who sends a forged giaddr fills no memory with it. */
const MAX_RELAYS = 256

/** Remembers what DHCP heard, as far as the doctor asks: every relay, and the latest boot of every enrolled machine. */
export class DhcpSightings {
  readonly #clock: Clock
  readonly #machines = new Map<string, MachineSighting>()
  readonly #relays = new Map<number, string | undefined>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes note of one message. */
  saw(sighting: DhcpSighting): void {
    const { giaddr, cidr, mac } = sighting
    const isRelayNoted = this.#relays.has(giaddr) || this.#relays.size < MAX_RELAYS
    if (giaddr !== 0 && isRelayNoted) this.#relays.set(giaddr, cidr)
    if (!sighting.isKnown) return
    const nowMs = this.#clock.nowMs()
    const last = this.#machines.get(mac)
    const isSameBoot = last !== undefined && nowMs - last.lastMs <= PAUSE_MS
    this.#machines.set(mac, isSameBoot ? again(last, sighting, nowMs) : first(sighting, nowMs))
  }

  /** The machine with that MAC, if it was heard. */
  machine(mac: string): MachineSighting | undefined {
    return this.#machines.get(mac)
  }

  /** Every relay that was heard, at most 256. */
  relays(): readonly SeenRelay[] {
    return [...this.#relays].map(([giaddr, cidr]) => ({ address: formatIpv4(giaddr), cidr }))
  }
}

function first({ secs, isPxePort, isProxied }: DhcpSighting, nowMs: number): MachineSighting {
  const proxiedMs = isProxied && !isPxePort ? nowMs : undefined
  return { secs, lastMs: nowMs, proxiedMs, pxePortMs: isPxePort ? nowMs : undefined }
}

function again(last: MachineSighting, sighting: DhcpSighting, nowMs: number): MachineSighting {
  const { proxiedMs, pxePortMs } = first(sighting, nowMs)
  return {
    secs: last.secs,
    lastMs: nowMs,
    proxiedMs: last.proxiedMs ?? proxiedMs,
    pxePortMs: pxePortMs ?? last.pxePortMs,
  }
}

import type { Clock } from '../clock.js'
import type { Stage } from '../events.js'

/** How soon after a loader was fetched its firmware asks again when it will not run it; OVMF takes a second. */
const AGAIN_MS = 120_000

interface Given {
  readonly loader: string
  /** When it was fetched, monotonic; undefined before. */
  readonly fetchedMs: number | undefined
}

/**
 * Notices a UEFI firmware that fetches a loader whole, does not run it, and asks again: Secure Boot refuses what is
 * not signed without a word to the network (OVMF: "Access Denied" on its screen, then its next boot option).
 */
export class RefusalWatch {
  readonly #clock: Clock
  /** By server. */
  readonly #given = new Map<string, Given>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Firmware asks what to boot, and is given `loader`, or nothing.
   * @returns the loader that it fetched before and did not run, if so
   */
  asks(serverId: string, loader: string | undefined): string | undefined {
    const before = this.#given.get(serverId)
    if (loader === undefined) this.#given.delete(serverId)
    else this.#given.set(serverId, { loader, fetchedMs: undefined })
    if (before?.fetchedMs === undefined) return undefined
    return this.#clock.monotonicMs() - before.fetchedMs < AGAIN_MS ? before.loader : undefined
  }

  /** Somebody else than firmware asks: a loader runs. */
  ran(serverId: string): void {
    this.#given.delete(serverId)
  }

  /** To be told every stage that a server reaches. */
  onStage(serverId: string, stage: Stage | 'reported'): void {
    const given = this.#given.get(serverId)
    if (given === undefined || stage === 'dhcp') return
    if (stage === 'loader')
      this.#given.set(serverId, { loader: given.loader, fetchedMs: this.#clock.monotonicMs() })
    else this.ran(serverId)
  }
}

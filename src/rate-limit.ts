import type { Clock } from './clock.js'

const SECOND_MS = 1000
const MAX_SOURCES = 16_384
/** With those that are known: a bound on memory only. */
const MAX_ALL_SOURCES = 65_536
const MAX_KEYS = 1024

/** Bounds the work one source can cause in a second, and how many sources are served in that second. */
export class RateLimit {
  readonly #counts = new Map<string, number>()
  readonly #perSecond: number
  readonly #clock: Clock
  #secondStartMs = -Infinity

  constructor(perSecond: number, clock: Clock) {
    this.#perSecond = perSecond
    this.#clock = clock
  }

  /**
   * Counts one piece of work of `source`; false when it has had its share.
   * @param isKnown asked when a new source comes after too many others: who is known is served all the same
   */
  allows(source: string, isKnown: () => boolean = () => false): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#secondStartMs >= SECOND_MS) {
      this.#counts.clear()
      this.#secondStartMs = nowMs
    }
    const count = this.#counts.get(source) ?? 0
    if (count >= this.#perSecond) return false
    if (
      count === 0 &&
      this.#counts.size >= MAX_SOURCES &&
      (this.#counts.size >= MAX_ALL_SOURCES || !isKnown())
    )
      return false
    this.#counts.set(source, count + 1)
    return true
  }
}

/** Lets each key through once per period, remembering at most 1,024 keys; beyond that new keys are held back. */
export class OncePer {
  readonly #sinceMs = new Map<string, number>()
  readonly #periodMs: number
  readonly #clock: Clock

  constructor(periodMs: number, clock: Clock) {
    this.#periodMs = periodMs
    this.#clock = clock
  }

  /** True the first time in a period. */
  allows(key: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    for (const [old, sinceMs] of this.#sinceMs) {
      if (nowMs - sinceMs < this.#periodMs) break
      this.#sinceMs.delete(old)
    }
    if (this.#sinceMs.has(key) || this.#sinceMs.size >= MAX_KEYS) return false
    this.#sinceMs.set(key, nowMs)
    return true
  }
}

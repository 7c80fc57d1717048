import type { Clock, Timer } from '../../src/clock.js'

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #nowMs = 1_000_000
  readonly #pending = new Set<{ atMs: number; fn: () => void }>()

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(ms: number, fn: () => void): Timer {
    const entry = { atMs: this.#nowMs + ms, fn }
    this.#pending.add(entry)
    return { cancel: () => void this.#pending.delete(entry) }
  }

  /** Calls that wait for their time. */
  get pendingCount(): number {
    return this.#pending.size
  }

  /** Lets `ms` pass; what falls due runs in order of time. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const [next] = [...this.#pending].sort((a, b) => a.atMs - b.atMs)
      if (next === undefined || next.atMs > endMs) break
      this.#pending.delete(next)
      this.#nowMs = next.atMs
      next.fn()
    }
    this.#nowMs = endMs
  }
}

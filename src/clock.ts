/** A pending call made by {@link Clock.after}. */
export interface Timer {
  /** Forgets the call; harmless when it already ran. */
  cancel(): void
}

/** The only source of time, so that tests can own it. */
export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. */
  nowMs(): number
  /** Milliseconds that never go backwards, from an arbitrary start. */
  monotonicMs(): number
  /** Calls `fn` once, `ms` milliseconds from now; does not keep the process alive. */
  after(ms: number, fn: () => void): Timer
}

/** Resolves when `pending` has ended, either way, or after `ms` milliseconds. */
export function atMost(clock: Clock, ms: number, pending: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, resolve)
    const ended = (): void => {
      timer.cancel()
      resolve()
    }
    pending.then(ended, ended)
  })
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(ms, fn) {
    const timeout = setTimeout(fn, ms).unref()
    return { cancel: () => clearTimeout(timeout) }
  },
}

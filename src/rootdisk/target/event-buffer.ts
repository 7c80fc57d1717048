import type { Clock } from '../../clock.js'
import type { DaemonEvent } from '../../events.js'

/** Events kept for a control plane that is away. */
const KEPT_EVENTS = 10_000
/** How long a reader is kept waiting for the next event. */
const LONGEST_WAIT_MS = 20_000

/** An event of the target process with its place in the order and its time. */
export interface BufferedEvent {
  readonly seq: number
  readonly atMs: number
  readonly event: DaemonEvent
}

/** Holds the target's events until the control plane fetches them: it alone writes the registry. */
export class EventBuffer {
  readonly #clock: Clock
  readonly #events: BufferedEvent[] = []
  readonly #waiting = new Set<() => void>()
  #lastSeq: number
  #isClosed = false

  constructor(clock: Clock) {
    this.#clock = clock
    // Begins at the time, so that numbers go on growing when the process is started again.
    this.#lastSeq = clock.nowMs() * 1000
  }

  /** Adds an event; the oldest is forgotten when there are too many. */
  push(event: DaemonEvent): void {
    this.#events.push({ seq: ++this.#lastSeq, atMs: this.#clock.nowMs(), event })
    if (this.#events.length > KEPT_EVENTS) this.#events.shift()
    for (const wake of [...this.#waiting]) wake()
  }

  /**
   * Events after `seq`, at once when there are some, else when the next comes or the wait is over (then none).
   * The reader has those up to `seq`: they are let go.
   */
  async after(seq: number): Promise<readonly BufferedEvent[]> {
    while ((this.#events[0]?.seq ?? Infinity) <= seq) this.#events.shift()
    if (this.#events.length === 0 && !this.#isClosed) await this.#next()
    return [...this.#events]
  }

  /** Lets every waiting reader go; nobody waits any more. */
  close(): void {
    this.#isClosed = true
    for (const wake of [...this.#waiting]) wake()
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake)
        timer.cancel()
        resolve()
      }
      const timer = this.#clock.after(LONGEST_WAIT_MS, wake)
      this.#waiting.add(wake)
    })
  }
}

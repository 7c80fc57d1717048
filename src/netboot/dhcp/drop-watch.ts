import type { Clock, Timer } from '../../clock.js'
import type { EmitEvent } from '../../events.js'

const LOOK_MS = 10_000
const QUIET_MS = 600_000

/** Looks now and then whether the kernel dropped datagrams, and tells of it once in ten minutes. */
export class DropWatch {
  readonly #clock: Clock
  readonly #drops: () => Promise<number>
  readonly #emit: EmitEvent
  #timer: Timer | undefined
  #told = 0
  #toldMs = -Infinity

  /** @param drops how many there were since the start */
  constructor(clock: Clock, drops: () => Promise<number>, emit: EmitEvent) {
    this.#clock = clock
    this.#drops = drops
    this.#emit = emit
  }

  start(): void {
    this.#told = 0
    this.#timer = this.#clock.after(LOOK_MS, () => void this.look())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** Looks once, and again later unless it was stopped. */
  async look(): Promise<void> {
    const drops = await this.#drops()
    if (this.#timer === undefined) return
    this.#timer = this.#clock.after(LOOK_MS, () => void this.look())
    const nowMs = this.#clock.monotonicMs()
    if (drops <= this.#told || nowMs - this.#toldMs < QUIET_MS) return
    const message = `${drops - this.#told} DHCP requests were lost in a full receive buffer`
    this.#told = drops
    this.#toldMs = nowMs
    this.#emit({ kind: 'dhcp.dropped', message })
  }
}

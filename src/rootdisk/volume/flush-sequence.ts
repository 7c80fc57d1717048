/**
 * Decides when a flush has to run: one at a time, and one flush serves all who asked before it began.
 * A flush covers the changes that were acknowledged before it began.
 */
export class FlushSequence {
  readonly #run: () => Promise<void>
  /** Counts acknowledged changes. Begins ahead: what a process that died left unflushed is not known. */
  #changes = 1
  #flushed = 0
  #running: { readonly covers: number; readonly promise: Promise<void> } | undefined
  #next: Promise<void> | undefined

  /** @param run takes its snapshot before its first await */
  constructor(run: () => Promise<void>) {
    this.#run = run
  }

  /** Whether every change noted so far was covered by a flush that succeeded. */
  get isFlushed(): boolean {
    return this.#flushed === this.#changes
  }

  /** To be called before a change is acknowledged. */
  noteChange(): void {
    this.#changes++
  }

  /** Done when every change noted before the call was covered by a flush that succeeded. */
  flush(): undefined | Promise<void> {
    if (this.isFlushed) return undefined
    if (this.#next !== undefined) return this.#next // it has not begun, so it will cover this too
    const running = this.#running
    if (running === undefined) return this.#start()
    if (running.covers === this.#changes) return running.promise
    this.#next = running.promise.then(this.#startNext, this.#startNext)
    return this.#next
  }

  readonly #startNext = (): Promise<void> => {
    this.#next = undefined
    return this.#start()
  }

  #start(): Promise<void> {
    const covers = this.#changes
    const promise = this.#run().then(
      () => {
        this.#running = undefined
        this.#flushed = covers
      },
      (err: unknown) => {
        this.#running = undefined
        throw err
      },
    )
    this.#running = { covers, promise }
    return promise
  }
}

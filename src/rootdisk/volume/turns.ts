/** Runs asynchronous work one after the other, in order of arrival; a failure is its caller's alone. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** Done, or failed, as `work` is. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work)
    this.#last = mine
    mine.catch(ignore)
    return mine
  }
}

function ignore(): void {
  // the caller has the same promise
}

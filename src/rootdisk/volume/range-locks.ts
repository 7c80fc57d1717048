/** A range of clusters that one operation has, or waits for. */
export interface RangeLock {
  readonly first: number
  readonly last: number
}

interface Entry extends RangeLock {
  /** Earlier entries that overlap this one. */
  blockers: number
  readonly run: (lock: RangeLock) => void
}

/**
 * First come, first served locks on ranges of clusters; operations that do not overlap never wait.
 * The list is as long as the queue depth, so a scan is cheaper than any tree.
 */
export class RangeLocks {
  #entries: Entry[] = []

  /** Calls `run` when no earlier holder overlaps `first..last`: at once, or from a later {@link release}. */
  acquire(first: number, last: number, run: (lock: RangeLock) => void): void {
    const entry: Entry = { first, last, run, blockers: 0 }
    for (const other of this.#entries) if (overlaps(entry, other)) entry.blockers++
    this.#entries.push(entry)
    if (entry.blockers === 0) run(entry)
  }

  /** Runs `work` while it alone has clusters `first` to `last`. */
  hold<T>(first: number, last: number, work: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.acquire(first, last, (lock) => {
        const end = (): void => this.release(lock)
        void Promise.resolve().then(work).finally(end).then(resolve, reject)
      })
    })
  }

  /** Gives a range back; those that waited for it only run now, in order of arrival. */
  release(lock: RangeLock): void {
    const at = this.#entries.findIndex((entry) => entry === lock)
    const later = this.#entries.slice(at + 1)
    this.#entries.splice(at, 1)
    for (const entry of later) {
      if (!overlaps(entry, lock)) continue
      entry.blockers--
      if (entry.blockers === 0) entry.run(entry)
    }
  }
}

function overlaps(a: RangeLock, b: RangeLock): boolean {
  return a.first <= b.last && b.first <= a.last
}

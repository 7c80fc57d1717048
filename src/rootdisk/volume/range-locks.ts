import type { ClusterRange } from './cluster-map.js'

/** A range of clusters that one operation has, or waits for; see {@link RangeLocks.acquire}. */
export interface RangeLock extends ClusterRange {
  /** Earlier ones that overlap this one. */
  blockers: number
  /** Later ones that this one keeps waiting. */
  followers: number
  previous: RangeLock | undefined
  next: RangeLock | undefined
  readonly run: (lock: RangeLock) => void
}

/**
 * First come, first served locks on ranges of clusters; operations that do not overlap never wait.
 * The list is as long as the queue depth, so a scan is cheaper than any tree.
 */
export class RangeLocks {
  /** In order of arrival; undefined stands before the first and behind the last. */
  #first: RangeLock | undefined
  #last: RangeLock | undefined

  /** Calls `run` when no earlier holder overlaps `first..last`: at once, or from a later {@link release}. */
  acquire(first: number, last: number, run: (lock: RangeLock) => void): void {
    const previous = this.#last
    const lock: RangeLock = { first, last, run, blockers: 0, followers: 0, previous, next: undefined }
    for (let other = this.#first; other !== undefined; other = other.next) {
      if (!overlaps(lock, other)) continue
      lock.blockers++
      other.followers++
    }
    if (previous === undefined) this.#first = lock
    else previous.next = lock
    this.#last = lock
    if (lock.blockers === 0) run(lock)
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
    const { previous, next: later } = lock
    if (previous === undefined) this.#first = later
    else previous.next = later
    if (later === undefined) this.#last = previous
    else later.previous = previous
    if (lock.followers === 0) return
    const free: RangeLock[] = []
    for (let other = later; other !== undefined; other = other.next) {
      if (!overlaps(other, lock)) continue
      other.blockers--
      if (other.blockers === 0) free.push(other)
    }
    for (const each of free) each.run(each)
  }
}

function overlaps(a: ClusterRange, b: ClusterRange): boolean {
  return a.first <= b.last && b.first <= a.last
}

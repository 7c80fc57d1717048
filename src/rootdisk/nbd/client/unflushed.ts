import type { Wish } from './operation.js'

/** A change that the server acknowledged and might still lose with its own power. */
interface Change {
  readonly number: number
  readonly wish: Wish
}

/** Changes since the last flush, in the order of their answers, to be made again on a server that was lost. */
export class Unflushed {
  #changes: Change[] = []
  #last = 0
  #bytes = 0

  /** Memory that is held. */
  get bytes(): number {
    return this.#bytes
  }

  /** The number of the last change: what a flush that begins now will cover. */
  get last(): number {
    return this.#last
  }

  /** Keeps a change, with a copy of its data. */
  add(wish: Wish): void {
    const { data } = wish
    const kept = data === undefined ? wish : { ...wish, data: Uint8Array.from(data) }
    this.#changes.push({ number: ++this.#last, wish: kept })
    this.#bytes += costOf(kept)
  }

  /** A flush that covers everything up to `last` is done. */
  flushed(last: number): void {
    const left = this.#changes.findIndex(({ number }) => number > last)
    const gone = this.#changes.splice(0, left < 0 ? this.#changes.length : left)
    for (const { wish } of gone) this.#bytes -= costOf(wish)
  }

  /** What has to be made again, one after the other: later changes may lie over earlier ones. */
  wishes(): Wish[] {
    return this.#changes.map(({ wish }) => wish)
  }
}

/** Also a change without data costs its place in the list. */
function costOf({ data }: Wish): number {
  return 256 + (data?.length ?? 0)
}

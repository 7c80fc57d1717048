const SMALLEST_BITS = 12
const LARGEST_BITS = 22

/** Memory for write data, reused by size so that a large write costs no page faults. */
export class BufferPool {
  readonly #free: Buffer[][] = Array.from({ length: LARGEST_BITS + 1 }, () => [])
  readonly #keptLimitBytes: number
  #keptBytes = 0

  /** @param keptLimitBytes free memory held back for reuse */
  constructor(keptLimitBytes: number) {
    this.#keptLimitBytes = keptLimitBytes
  }

  /** A buffer of at least `length` bytes with undefined content; above 4 MiB it is never kept. */
  take(length: number): Buffer {
    const bits = Math.max(SMALLEST_BITS, 32 - Math.clz32(Math.max(length, 1) - 1))
    const kept = this.#free[bits]?.pop()
    if (kept === undefined) return Buffer.allocUnsafeSlow(2 ** bits)
    this.#keptBytes -= kept.length
    return kept
  }

  /** Gives back what {@link take} gave; nobody may use it any more. */
  give(buffer: Buffer): void {
    const free = this.#free[31 - Math.clz32(buffer.length)]
    if (free === undefined || this.#keptBytes + buffer.length > this.#keptLimitBytes) return
    free.push(buffer)
    this.#keptBytes += buffer.length
  }
}

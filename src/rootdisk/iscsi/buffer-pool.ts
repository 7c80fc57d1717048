const SMALLEST_BITS = 12
const LARGEST_BITS = 22

/** Node's own, for whoever shares memory with nobody. */
export const ordinaryMemory = (sizeBytes: number): Buffer => Buffer.allocUnsafeSlow(sizeBytes)

/** Memory for write data, reused by size so that a large write costs no page faults. */
export class BufferPool {
  /** In use now. */
  takenBytes = 0
  readonly #free: Buffer[][] = Array.from({ length: LARGEST_BITS + 1 }, () => [])
  readonly #kept = new WeakSet<Buffer>()
  readonly #keptLimitBytes: number
  readonly #allocate: (sizeBytes: number) => Buffer
  #keptBytes = 0

  /**
   * @param keptLimitBytes memory held back for reuse; what a crowd needs beyond it goes with the crowd
   * @param allocate memory for the buffers that are kept for good
   */
  constructor(keptLimitBytes: number, allocate: (sizeBytes: number) => Buffer = ordinaryMemory) {
    this.#keptLimitBytes = keptLimitBytes
    this.#allocate = allocate
  }

  /** A buffer of at least `length` bytes with undefined content; above 4 MiB it is never kept. */
  take(length: number): Buffer {
    const bits = Math.max(SMALLEST_BITS, 32 - Math.clz32(Math.max(length, 1) - 1))
    const sizeBytes = 1 << bits
    this.takenBytes += sizeBytes
    return this.#free[bits]?.pop() ?? this.#make(sizeBytes)
  }

  /** Gives back what {@link take} gave; nobody may use it any more. */
  give(buffer: Buffer): void {
    this.takenBytes -= buffer.length
    if (this.#kept.has(buffer)) this.#free[31 - Math.clz32(buffer.length)]?.push(buffer)
  }

  #make(sizeBytes: number): Buffer {
    const isKept = sizeBytes <= 1 << LARGEST_BITS && this.#keptBytes + sizeBytes <= this.#keptLimitBytes
    if (!isKept) return ordinaryMemory(sizeBytes)
    this.#keptBytes += sizeBytes
    const buffer = this.#allocate(sizeBytes)
    this.#kept.add(buffer)
    return buffer
  }
}

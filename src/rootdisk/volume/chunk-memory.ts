/** Bytes that a cache reads, keeps and drops together. */
export const CACHE_CHUNK_BYTES = 64 << 10

/** Chunks are cut from pieces of this. */
const PIECE_BYTES = 4 << 20

/** Memory for chunks, used again and again: fresh memory costs a page fault for each 4 KiB of it. */
export class ChunkMemory {
  readonly #allocate: (sizeBytes: number) => Buffer
  readonly #free: Buffer[] = []

  /** @param allocate gives memory that is never given back */
  constructor(allocate: (sizeBytes: number) => Buffer) {
    this.#allocate = allocate
  }

  /** A chunk's memory with undefined content. */
  take(): Buffer {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const piece = this.#allocate(PIECE_BYTES)
    for (let at = CACHE_CHUNK_BYTES; at < PIECE_BYTES; at += CACHE_CHUNK_BYTES) {
      this.#free.push(piece.subarray(at, at + CACHE_CHUNK_BYTES))
    }
    return piece.subarray(0, CACHE_CHUNK_BYTES)
  }

  /** Gives back what {@link take} gave; nobody may use it any more. */
  give(bytes: Buffer): void {
    this.#free.push(bytes)
  }
}

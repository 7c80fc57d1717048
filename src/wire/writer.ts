/** A growing big-endian byte buffer, the counterpart of `ByteReader`. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(512)
  #at = 0

  get length(): number {
    return this.#at
  }

  u8(value: number): this {
    return this.#number(value, 1)
  }

  u16(value: number): this {
    return this.#number(value, 2)
  }

  u24(value: number): this {
    return this.#number(value, 3)
  }

  u32(value: number): this {
    return this.#number(value, 4)
  }

  u64(value: bigint): this {
    return this.#number(Number(value >> 32n), 4).#number(Number(value & 0xffffffffn), 4)
  }

  put(bytes: Uint8Array): this {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
    return this
  }

  /** Bytes of `text` in `encoding`, without a terminator. */
  text(text: string, encoding: 'latin1' | 'utf8' = 'utf8'): this {
    return this.put(Buffer.from(text, encoding))
  }

  zeros(count: number): this {
    this.#room(count)
    this.#bytes.fill(0, this.#at, this.#at + count)
    this.#at += count
    return this
  }

  /** What was written: a view, good until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  /** Begins anew. */
  clear(): this {
    this.#at = 0
    return this
  }

  /** What was written: a copy that the caller owns. */
  bytes(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#at))
  }

  #number(value: number, size: number): this {
    this.#room(size)
    for (let shift = 8 * (size - 1); shift >= 0; shift -= 8) this.#bytes[this.#at++] = value >>> shift
    return this
  }

  #room(count: number): void {
    if (this.#at + count <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + count))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}

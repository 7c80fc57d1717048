/** A growing big-endian byte buffer, the counterpart of `ByteReader`. */
export class ByteWriter {
  #bytes = Buffer.alloc(512)
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

  /** What was written: a copy that the caller owns. */
  bytes(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#at))
  }

  #number(value: number, size: number): this {
    this.#room(size)
    let left = value
    for (let i = size - 1; i >= 0; i--) {
      this.#bytes[this.#at + i] = left % 256
      left = Math.floor(left / 256)
    }
    this.#at += size
    return this
  }

  #room(count: number): void {
    if (this.#at + count <= this.#bytes.length) return
    const grown = Buffer.alloc(Math.max(this.#bytes.length * 2, this.#at + count))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}

import { MalformedPacket } from './malformed-packet.js'

/**
 * A bounds-checked cursor over bytes from outside, big-endian unless said.
 * Every read past the end throws {@link MalformedPacket}; nothing else is ever thrown.
 */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #what: string
  #at = 0

  /** @param what names the structure in errors. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#what = what
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#at
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#at
  }

  /** Unsigned 8 bits. */
  u8(): number {
    return this.#number(1)
  }

  /** Unsigned 16 bits. */
  u16(): number {
    return this.#number(2)
  }

  /** Unsigned 24 bits. */
  u24(): number {
    return this.#number(3)
  }

  /** Unsigned 32 bits. */
  u32(): number {
    return this.#number(4)
  }

  /** Unsigned 64 bits. */
  u64(): bigint {
    const high = BigInt(this.#number(4))
    return (high << 32n) | BigInt(this.#number(4))
  }

  /** The next `count` bytes: a view, not a copy. */
  take(count: number): Uint8Array {
    this.#need(count)
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }

  /** Everything not read yet: a view, not a copy. */
  rest(): Uint8Array {
    return this.take(this.remaining)
  }

  /** Bytes up to a NUL (consumed, not returned) as latin1. */
  cString(): string {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end < 0) throw new MalformedPacket(this.#what, this.#at, 'string has no terminating NUL')
    const text = Buffer.from(this.take(end - this.#at)).toString('latin1')
    this.#at++
    return text
  }

  skip(count: number): void {
    this.take(count)
  }

  #number(size: number): number {
    this.#need(size)
    let value = 0
    for (let i = 0; i < size; i++) value = value * 256 + (this.#bytes[this.#at + i] ?? 0)
    this.#at += size
    return value
  }

  #need(count: number): void {
    if (count >= 0 && count <= this.remaining) return
    throw new MalformedPacket(this.#what, this.#at, `needs ${count} more bytes, has ${this.remaining}`)
  }
}

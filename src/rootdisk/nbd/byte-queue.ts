import { MalformedPacket } from '../../wire/malformed-packet.js'

/** A handshake never sends that much ahead of the answers that it must wait for. */
const MAX_QUEUED_BYTES = 512 << 10

interface Taker {
  readonly count: number
  resolve(bytes: Buffer): void
  reject(cause: Error): void
}

/** Bytes as they come, taken in the lengths that a handshake wants. One taker at a time. */
export class ByteQueue {
  #bytes: Buffer = Buffer.alloc(0)
  #taker: Taker | undefined
  #end: Error | undefined

  /** Bytes that nobody took yet. */
  get length(): number {
    return this.#bytes.length
  }

  /** Adds a copy of `bytes`. @throws MalformedPacket when too much is queued */
  push(bytes: Uint8Array): void {
    if (this.#bytes.length + bytes.length > MAX_QUEUED_BYTES) {
      throw new MalformedPacket('NBD handshake', 0, `more than ${MAX_QUEUED_BYTES} bytes sent ahead`)
    }
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    this.#serve()
  }

  /** The next `count` bytes. Rejects with what {@link end} was given when they never come. */
  take(count: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#taker = { count, resolve, reject }
      this.#serve()
    })
  }

  /** Everything that is queued. */
  rest(): Buffer {
    const bytes = this.#bytes
    this.#bytes = Buffer.alloc(0)
    return bytes
  }

  /** No more bytes come: whoever waits for some is told `cause`. */
  end(cause: Error): void {
    this.#end ??= cause
    this.#serve()
  }

  #serve(): void {
    const taker = this.#taker
    if (taker === undefined) return
    if (this.#bytes.length >= taker.count) {
      this.#taker = undefined
      const taken = this.#bytes.subarray(0, taker.count)
      this.#bytes = this.#bytes.subarray(taker.count)
      taker.resolve(taken)
    } else if (this.#end !== undefined) {
      this.#taker = undefined
      taker.reject(this.#end)
    }
  }
}

import type { Socket } from 'node:net'

/** Cuts what it is fed into PDUs; stops where its sink is held. */
export interface Feed {
  feed(chunk: Buffer, from: number, to: number): number
}

/** What the inbound side asks of its connection. */
export interface InboundDeps {
  /** No further PDU may be fed for now. */
  isHeld(): boolean
  /** A chunk is through: what it brought about may be sent. */
  onTurnEnd(): void
  onError(err: unknown): void
}

/** Bytes of a connection on their way to its receiver; keeps what a held receiver left, and stops the socket. */
export class Inbound {
  /** Replaced when full feature phase begins with digests; only between two PDUs. */
  receiver: Feed
  /** A chunk is being fed: whatever is sent now goes out at the end of its turn. */
  isFeeding = false
  readonly #socket: Socket
  readonly #deps: InboundDeps
  #stash: Buffer = Buffer.alloc(0)
  #isPaused = false

  constructor(socket: Socket, receiver: Feed, deps: InboundDeps) {
    this.#socket = socket
    this.receiver = receiver
    this.#deps = deps
  }

  /** Takes a chunk that is good during the call only; false when the socket must be read no further. */
  take(chunk: Buffer, length: number): boolean {
    if (this.#stash.length > 0) {
      this.#stash = Buffer.concat([this.#stash, chunk.subarray(0, length)])
      return false
    }
    const taken = this.#feed(chunk, length)
    if (taken < length) this.#stash = Buffer.from(chunk.subarray(taken, length))
    this.#isPaused = this.#stash.length > 0 || this.#deps.isHeld()
    return !this.#isPaused
  }

  /** Goes on where the receiver was held, if it is held no more. */
  resume(): void {
    if (this.isFeeding || !this.#isPaused || this.#deps.isHeld()) return
    const stash = this.#stash
    this.#stash = Buffer.alloc(0)
    const taken = this.#feed(stash, stash.length)
    if (taken < stash.length) this.#stash = stash.subarray(taken)
    if (this.#stash.length > 0 || this.#deps.isHeld()) return
    this.#isPaused = false
    this.#socket.resume()
  }

  #feed(chunk: Buffer, length: number): number {
    this.isFeeding = true
    try {
      return this.receiver.feed(chunk, 0, length)
    } catch (err) {
      this.#deps.onError(err)
      return length
    } finally {
      this.isFeeding = false
      this.#deps.onTurnEnd()
    }
  }
}

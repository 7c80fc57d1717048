import { MalformedPacket } from '../../wire/malformed-packet.js'
import { copyBytes } from '../copy-bytes.js'
import { COMMAND, MAGIC, MAX_PAYLOAD_BYTES, REQUEST_BYTES } from './protocol.js'

/** A request of the transmission phase (doc/proto.md "Request message"). */
export interface Request {
  readonly flags: number
  readonly type: number
  /** The client's mark for its reply, as two halves of 32 bits. */
  readonly cookieHigh: number
  readonly cookieLow: number
  /** Bytes; above 2^53 not exact, and then beyond the end of any disk. */
  readonly offset: number
  /** Bytes. */
  readonly length: number
}

/** Where the parser brings what it found. */
export interface RequestSink {
  /** True to be fed no further request for now. */
  readonly isHeld: boolean
  /** A write: where its data goes (room for all of it), or undefined to drop the data. */
  placeFor(request: Request): Uint8Array | undefined
  /** A whole request; its data is where it was asked to go. */
  onRequest(request: Request, data: Uint8Array | undefined): void
}

/** Cuts a byte stream into requests; a header that is whole in the chunk is read in place. */
export class RequestParser {
  readonly #sink: RequestSink
  readonly #header = Buffer.alloc(REQUEST_BYTES)
  #headerBytes = 0
  #write: Request | undefined
  #place: Uint8Array | undefined
  #filled = 0

  constructor(sink: RequestSink) {
    this.#sink = sink
  }

  /**
   * Takes bytes `from`..`to` of `chunk`; returns where it stopped because the sink is held, else `to`.
   * @throws MalformedPacket for what is no request, or a write longer than 32 MiB: the stream is lost then
   */
  feed(chunk: Buffer, from: number, to: number): number {
    let at = from
    while (at < to) {
      if (this.#write !== undefined) at = this.#takeData(this.#write, chunk, at, to)
      else if (this.#headerBytes === 0 && this.#sink.isHeld) return at
      else at = this.#takeHeader(chunk, at, to)
    }
    return at
  }

  #takeHeader(chunk: Buffer, at: number, to: number): number {
    if (this.#headerBytes === 0 && to - at >= REQUEST_BYTES) {
      this.#start(decodeRequest(chunk, at))
      return at + REQUEST_BYTES
    }
    const taken = Math.min(REQUEST_BYTES - this.#headerBytes, to - at)
    chunk.copy(this.#header, this.#headerBytes, at, at + taken)
    this.#headerBytes += taken
    if (this.#headerBytes === REQUEST_BYTES) {
      this.#headerBytes = 0
      this.#start(decodeRequest(this.#header, 0))
    }
    return at + taken
  }

  #start(request: Request): void {
    if (request.type !== COMMAND.WRITE || request.length === 0) {
      this.#sink.onRequest(request, undefined)
      return
    }
    if (request.length > MAX_PAYLOAD_BYTES) {
      throw new MalformedPacket('NBD request', 24, `a write of ${request.length} bytes`)
    }
    this.#write = request
    this.#place = this.#sink.placeFor(request)
    this.#filled = 0
  }

  #takeData(write: Request, chunk: Buffer, at: number, to: number): number {
    const taken = Math.min(write.length - this.#filled, to - at)
    if (this.#place !== undefined) copyBytes(chunk.subarray(at, at + taken), this.#place, this.#filled)
    this.#filled += taken
    if (this.#filled === write.length) {
      const data = this.#place
      this.#write = undefined
      this.#place = undefined
      this.#sink.onRequest(write, data)
    }
    return at + taken
  }
}

/** The hot path: read in place after one length check, hence no ByteReader. */
function decodeRequest(bytes: Buffer, at: number): Request {
  if (bytes.readUInt32BE(at) !== MAGIC.REQUEST) throw new MalformedPacket('NBD request', 0, 'bad magic')
  return {
    flags: bytes.readUInt16BE(at + 4),
    type: bytes.readUInt16BE(at + 6),
    cookieHigh: bytes.readUInt32BE(at + 8),
    cookieLow: bytes.readUInt32BE(at + 12),
    offset: bytes.readUInt32BE(at + 16) * 2 ** 32 + bytes.readUInt32BE(at + 20),
    length: bytes.readUInt32BE(at + 24),
  }
}

import { MalformedPacket } from '../../wire/malformed-packet.js'
import { copyBytes } from '../copy-bytes.js'
import { BHS_BYTES, padding } from './pdu.js'

/** Where the receiver brings what it found. */
export interface PduSink {
  /** True to be fed no further PDU for now. */
  readonly isHeld: boolean
  /**
   * A header with a data segment: where its bytes go (room for all of them), or undefined to drop them.
   * `bytes` is only good during the call.
   */
  placeFor(bytes: Buffer, at: number, length: number): Uint8Array | undefined
  /** A whole PDU; its header is at `at`, only good during the call. Its data is where it was asked to go. */
  onPdu(bytes: Buffer, at: number): void
}

/** Cuts a byte stream into PDUs in place: a header that is whole in the chunk is never copied. */
export class Receiver {
  /** Largest data segment that is taken. */
  maxDataBytes: number
  readonly #sink: PduSink
  readonly #header = Buffer.alloc(BHS_BYTES)
  #headerBytes = 0
  #place: Uint8Array | undefined
  #filled = 0
  #dataLeft = 0
  #skipBefore = 0
  #skipAfter = 0

  constructor(sink: PduSink, maxDataBytes: number) {
    this.#sink = sink
    this.maxDataBytes = maxDataBytes
  }

  /** The header that was last copied, for a Reject. */
  get header(): Uint8Array {
    return this.#header
  }

  /**
   * Takes bytes `from`..`to` of `chunk`; returns where it stopped because the sink is held, else `to`.
   * @throws MalformedPacket for a data segment larger than agreed
   */
  feed(chunk: Buffer, from: number, to: number): number {
    let at = from
    while (at < to) {
      if (this.#headerBytes < BHS_BYTES) {
        if (this.#headerBytes === 0 && this.#sink.isHeld) return at
        at = this.#takeHeader(chunk, at, to)
      } else {
        at = this.#takeBody(chunk, at, to)
      }
    }
    return at
  }

  #takeHeader(chunk: Buffer, at: number, to: number): number {
    if (this.#headerBytes === 0 && to - at >= BHS_BYTES && isBare(chunk, at)) {
      this.#sink.onPdu(chunk, at)
      return at + BHS_BYTES
    }
    const taken = Math.min(BHS_BYTES - this.#headerBytes, to - at)
    chunk.copy(this.#header, this.#headerBytes, at, at + taken)
    this.#headerBytes += taken
    if (this.#headerBytes === BHS_BYTES) this.#startBody()
    return at + taken
  }

  #startBody(): void {
    const header = this.#header
    const length = header.readUIntBE(5, 3)
    if (length > this.maxDataBytes) throw tooLong(length, this.maxDataBytes)
    this.#skipBefore = (header[4] ?? 0) * 4
    this.#skipAfter = padding(length)
    this.#dataLeft = length
    this.#filled = 0
    this.#place = length > 0 ? this.#sink.placeFor(header, 0, length) : undefined
    if (this.#skipBefore + length === 0) this.#finish()
  }

  #takeBody(chunk: Buffer, from: number, to: number): number {
    let at = from
    const before = Math.min(this.#skipBefore, to - at)
    this.#skipBefore -= before
    at += before
    const taken = Math.min(this.#dataLeft, to - at)
    if (taken > 0) {
      if (this.#place !== undefined) copyBytes(chunk.subarray(at, at + taken), this.#place, this.#filled)
      this.#filled += taken
      this.#dataLeft -= taken
      at += taken
    }
    const after = this.#dataLeft === 0 ? Math.min(this.#skipAfter, to - at) : 0
    this.#skipAfter -= after
    if (this.#skipBefore + this.#dataLeft + this.#skipAfter === 0) this.#finish()
    return at + after
  }

  #finish(): void {
    this.#headerBytes = 0
    this.#place = undefined
    this.#sink.onPdu(this.#header, 0)
  }
}

/** A data segment larger than agreed. */
export function tooLong(length: number, maxDataBytes: number): MalformedPacket {
  return new MalformedPacket('iSCSI PDU', 5, `data segment of ${length} bytes, at most ${maxDataBytes}`)
}

/** No additional header and no data segment follow. */
function isBare(chunk: Buffer, at: number): boolean {
  return chunk.readUInt32BE(at + 4) === 0
}

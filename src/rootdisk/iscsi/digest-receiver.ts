import { MalformedPacket } from '../../wire/malformed-packet.js'
import { crc32c } from '../../wire/crc32c.js'
import { copyBytes } from '../copy-bytes.js'
import { BHS_BYTES, DIGEST_BYTES, padding } from './pdu.js'
import { tooLong, type PduSink } from './receiver.js'

const MAX_AHS_BYTES = 255 * 4

/** Which digests a connection has after its login (RFC 7143 §13.1). */
export interface Digests {
  readonly header: boolean
  readonly data: boolean
}

/** A header that is not what was sent: nothing behind it can be found any more (RFC 7143 §7.8). */
export class HeaderDamaged extends MalformedPacket {
  constructor() {
    super('iSCSI PDU', BHS_BYTES, 'the header digest does not fit')
  }
}

/**
 * The receiver of a connection with digests: headers and data are checked before they count.
 * The one without digests stays apart, so that it does not pay for them.
 */
export class DigestReceiver {
  maxDataBytes: number
  readonly #sink: PduSink
  readonly #onDamaged: (header: Buffer) => void
  readonly #digests: Digests
  readonly #head = Buffer.alloc(BHS_BYTES + MAX_AHS_BYTES + DIGEST_BYTES)
  readonly #tail = Buffer.alloc(3 + DIGEST_BYTES)
  #headBytes = 0
  #headTotal = BHS_BYTES
  #place: Uint8Array | undefined
  #filled = 0
  #dataLeft = 0
  #tailBytes = 0
  #tailTotal = 0
  #crc = 0

  /** @param onDamaged gets the header of a PDU whose data is not what was sent, instead of `onPdu` */
  constructor(
    sink: PduSink,
    onDamaged: (header: Buffer) => void,
    digests: Digests & { maxDataBytes: number },
  ) {
    this.#sink = sink
    this.#onDamaged = onDamaged
    this.#digests = digests
    this.maxDataBytes = digests.maxDataBytes
  }

  /** The last header. */
  get header(): Uint8Array {
    return this.#head.subarray(0, BHS_BYTES)
  }

  /**
   * Takes bytes `from`..`to` of `chunk`; returns where it stopped because the sink is held, else `to`.
   * @throws HeaderDamaged; MalformedPacket for a data segment larger than agreed
   */
  feed(chunk: Buffer, from: number, to: number): number {
    let at = from
    while (at < to) {
      if (this.#headBytes === 0 && this.#sink.isHeld) return at
      if (this.#headBytes < this.#headTotal) at += this.#takeHead(chunk, at, to)
      else if (this.#dataLeft > 0) at += this.#takeData(chunk, at, to)
      else at += this.#takeTail(chunk, at, to)
    }
    return at
  }

  #takeHead(chunk: Buffer, at: number, to: number): number {
    const taken = Math.min(this.#headTotal - this.#headBytes, to - at)
    chunk.copy(this.#head, this.#headBytes, at, at + taken)
    this.#headBytes += taken
    if (this.#headBytes < this.#headTotal) return taken
    const total = BHS_BYTES + (this.#head[4] ?? 0) * 4 + (this.#digests.header ? DIGEST_BYTES : 0)
    const isWhole = this.#headTotal === total
    this.#headTotal = total
    if (isWhole) this.#startData()
    return taken
  }

  #startData(): void {
    const head = this.#head
    if (this.#digests.header && !fits(head, this.#headTotal)) throw new HeaderDamaged()
    const length = head.readUIntBE(5, 3)
    if (length > this.maxDataBytes) throw tooLong(length, this.maxDataBytes)
    this.#dataLeft = length
    this.#filled = 0
    this.#crc = 0
    this.#tailBytes = 0
    this.#tailTotal = length === 0 ? 0 : padding(length) + (this.#digests.data ? DIGEST_BYTES : 0)
    if (length > 0) this.#place = this.#sink.placeFor(head, 0, length)
    else this.#finish()
  }

  #takeData(chunk: Buffer, at: number, to: number): number {
    const taken = Math.min(this.#dataLeft, to - at)
    const bytes = chunk.subarray(at, at + taken)
    if (this.#place !== undefined) copyBytes(bytes, this.#place, this.#filled)
    if (this.#digests.data) this.#crc = crc32c(bytes, this.#crc)
    this.#filled += taken
    this.#dataLeft -= taken
    if (this.#dataLeft + this.#tailTotal === 0) this.#finish()
    return taken
  }

  #takeTail(chunk: Buffer, at: number, to: number): number {
    const taken = Math.min(this.#tailTotal - this.#tailBytes, to - at)
    chunk.copy(this.#tail, this.#tailBytes, at, at + taken)
    this.#tailBytes += taken
    if (this.#tailBytes === this.#tailTotal) this.#finish()
    return taken
  }

  #finish(): void {
    const isDamaged = this.#tailTotal >= DIGEST_BYTES && !fits(this.#tail, this.#tailTotal, this.#crc)
    this.#headBytes = 0
    this.#headTotal = BHS_BYTES
    this.#place = undefined
    if (isDamaged) this.#onDamaged(this.#head)
    else this.#sink.onPdu(this.#head, 0)
  }
}

/** Whether the last four bytes up to `end` are the digest of what is before them. */
function fits(bytes: Buffer, end: number, before = 0): boolean {
  const at = end - DIGEST_BYTES
  return crc32c(bytes.subarray(0, at), before) === bytes.readUInt32LE(at)
}

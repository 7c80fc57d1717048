import { MalformedPacket } from '../../wire/malformed-packet.js'
import type { Channel } from './channel.js'
import { BHS_BYTES, NO_TAG, REJECT_REASON } from './pdu.js'
import { sendReject, sendText } from './responses.js'
import { decodeText, encodeText, MAX_TEXT_BYTES, type TextPairs } from './text.js'

const FINAL = 0x80
const CONTINUE = 0x40
/** Our tag of the one exchange that may be open. */
const OPEN_TAG = 1

/** Text requests of a session and their answers, each over as many PDUs as it takes (RFC 7143 §6.2, §11.10). */
export class TextExchange {
  readonly #channel: Channel
  readonly #answerTo: (pairs: TextPairs) => TextPairs
  #isOpen = false
  #text: Buffer = Buffer.alloc(0)
  #answer: Buffer = Buffer.alloc(0)

  constructor(channel: Channel, answerTo: (pairs: TextPairs) => TextPairs) {
    this.#channel = channel
    this.#answerTo = answerTo
  }

  /**
   * A Text Request whose header is at `at`, with its data segment.
   * @throws MalformedPacket for text that is none, or too long
   */
  onRequest(bytes: Buffer, at: number, segment: Buffer): void {
    const flags = bytes[at + 1] ?? 0
    const [itt, ttt] = [bytes.readUInt32BE(at + 16), bytes.readUInt32BE(at + 20)]
    const isContinued = (flags & CONTINUE) !== 0
    if (ttt === NO_TAG) this.#reset() // a new exchange ends the one before
    const isInterrupted = this.#answer.length > 0 && segment.length > 0
    if (isInterrupted || (ttt !== NO_TAG && !this.#isOpen)) {
      sendReject(this.#channel, REJECT_REASON.INVALID_PDU_FIELD, bytes.subarray(at, at + BHS_BYTES))
      return
    }
    if (this.#answer.length === 0) this.#take(segment, isContinued)
    this.#send(itt, (flags & (FINAL | CONTINUE)) === FINAL)
  }

  #reset(): void {
    this.#isOpen = false
    this.#text = Buffer.alloc(0)
    this.#answer = Buffer.alloc(0)
  }

  #take(segment: Buffer, isContinued: boolean): void {
    if (this.#text.length + segment.length > MAX_TEXT_BYTES) {
      throw new MalformedPacket('iSCSI text', 0, `longer than ${MAX_TEXT_BYTES} bytes`)
    }
    this.#text = Buffer.concat([this.#text, segment])
    if (isContinued) return
    this.#answer = encodeText(this.#answerTo(decodeText(this.#text)))
    this.#text = Buffer.alloc(0)
  }

  /** As much as the initiator takes in one PDU; it asks for the rest, or goes on, with our tag. */
  #send(itt: number, mayEnd: boolean): void {
    const part = this.#answer.subarray(0, this.#channel.parameters.peerMaxRecvDataSegmentLength)
    this.#answer = this.#answer.subarray(part.length)
    const hasMore = this.#answer.length > 0
    this.#isOpen = hasMore || !mayEnd
    const flags = hasMore ? CONTINUE : mayEnd ? FINAL : 0
    sendText(this.#channel, itt, { flags, ttt: this.#isOpen ? OPEN_TAG : NO_TAG }, part)
  }
}

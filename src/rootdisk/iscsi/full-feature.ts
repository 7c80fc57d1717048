import { MalformedPacket } from '../../wire/malformed-packet.js'
import type { Channel } from './channel.js'
import { negotiate } from './parameters.js'
import { BHS_BYTES, NO_TAG, REJECT_REASON, REQUEST, RESPONSE } from './pdu.js'
import type { PduSink } from './receiver.js'
import { sendNopIn, sendPlain, sendReject } from './responses.js'
import type { Session } from './session.js'
import type { TaskManagement } from './task-management.js'
import { MAX_TEXT_BYTES, type TextPairs } from './text.js'
import { TextExchange } from './text-exchange.js'

/** What a connection in full feature phase needs from around it. */
export interface FullFeatureDeps {
  readonly channel: Channel
  /** Undefined in a discovery session. */
  readonly session: Session | undefined
  /** Undefined in a discovery session. */
  readonly taskManagement: TaskManagement | undefined
  /** Key=value pairs that answer SendTargets with this value. */
  sendTargets(value: string): TextPairs
  isHeld(): boolean
  /** Closes the connection once everything queued is sent. */
  end(): void
}

/** Full feature phase of one connection: everything but the SCSI commands themselves (RFC 7143 §11). */
export class FullFeature implements PduSink {
  readonly #deps: FullFeatureDeps
  readonly #text: TextExchange
  #segment: Buffer = Buffer.alloc(0)

  constructor(deps: FullFeatureDeps) {
    this.#deps = deps
    this.#text = new TextExchange(deps.channel, (pairs) => pairs.flatMap((pair) => this.#answerTo(pair)))
  }

  get isHeld(): boolean {
    return this.#deps.isHeld()
  }

  placeFor(bytes: Buffer, at: number, length: number): Uint8Array | undefined {
    const opcode = (bytes[at] ?? 0) & 0x3f
    if (opcode === REQUEST.SCSI_COMMAND) return this.#session(opcode).placeImmediate(bytes, at, length)
    if (opcode === REQUEST.DATA_OUT) return this.#session(opcode).placeDataOut(bytes, at, length)
    if (length > MAX_TEXT_BYTES)
      throw new MalformedPacket('iSCSI PDU', 5, `${length} bytes for opcode ${opcode}`)
    this.#segment = Buffer.alloc(length)
    return this.#segment
  }

  onPdu(bytes: Buffer, at: number): void {
    const opcode = (bytes[at] ?? 0) & 0x3f
    switch (opcode) {
      case REQUEST.SCSI_COMMAND:
        this.#session(opcode).onCommand(bytes, at)
        return
      case REQUEST.DATA_OUT:
        this.#session(opcode).onDataOut(bytes, at)
        return
      default:
        this.#onControl(opcode, bytes, at)
        this.#segment = Buffer.alloc(0)
    }
  }

  /** The data segment of this PDU is not what was sent: it does not count (RFC 7143 §7.8). */
  onDamaged(bytes: Buffer): void {
    const opcode = (bytes[0] ?? 0) & 0x3f
    this.#segment = Buffer.alloc(0)
    sendReject(this.#deps.channel, REJECT_REASON.DATA_DIGEST, bytes.subarray(0, BHS_BYTES))
    if (opcode === REQUEST.SCSI_COMMAND || opcode === REQUEST.DATA_OUT) this.#session(opcode).onDamaged(bytes)
    else this.#deps.channel.accept(bytes, 0)
  }

  #session(opcode: number): Session {
    return this.#deps.session ?? onlyDiscovery(opcode)
  }

  #onControl(opcode: number, bytes: Buffer, at: number): void {
    if (opcode === REQUEST.SNACK) {
      sendReject(this.#deps.channel, REJECT_REASON.SNACK, bytes.subarray(at, at + 48)) // ErrorRecoveryLevel 0
      return
    }
    if (this.#deps.channel.accept(bytes, at)) this.#onOrdered(opcode, bytes, at)
  }

  #onOrdered(opcode: number, bytes: Buffer, at: number): void {
    const itt = bytes.readUInt32BE(at + 16)
    switch (opcode) {
      case REQUEST.NOP_OUT:
        this.#onNop(bytes, at, itt)
        return
      case REQUEST.TEXT:
        this.#text.onRequest(bytes, at, this.#segment)
        return
      case REQUEST.TASK_MANAGEMENT:
        ;(this.#deps.taskManagement ?? onlyDiscovery(opcode)).onRequest(bytes, at)
        return
      case REQUEST.LOGOUT:
        sendPlain(this.#deps.channel, RESPONSE.LOGOUT, itt, ((bytes[at + 1] ?? 0) & 0x7f) === 2 ? 2 : 0)
        this.#deps.end()
        return
      default:
        sendReject(this.#deps.channel, REJECT_REASON.COMMAND_NOT_SUPPORTED, bytes.subarray(at, at + 48))
    }
  }

  #onNop(bytes: Buffer, at: number, itt: number): void {
    if (itt === NO_TAG) return // an answer to a ping of ours
    const { channel } = this.#deps
    const data = this.#segment.subarray(0, channel.parameters.peerMaxRecvDataSegmentLength)
    sendNopIn(channel, itt, Buffer.from(bytes.subarray(at + 8, at + 16)), data)
  }

  /** Nothing but what we may receive can change after the login (RFC 7143 §13). */
  #answerTo([key, value]: readonly [string, string]): TextPairs {
    if (key === 'SendTargets') return this.#deps.sendTargets(value)
    if (key !== 'MaxRecvDataSegmentLength') return [[key, 'Reject']]
    negotiate(key, value, this.#deps.channel.parameters)
    return []
  }
}

function onlyDiscovery(opcode: number): never {
  throw new MalformedPacket('iSCSI PDU', 0, `opcode ${opcode} in a discovery session`)
}

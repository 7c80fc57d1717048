import { ByteReader } from '../../wire/reader.js'
import { ByteWriter } from '../../wire/writer.js'
import { padding, REQUEST, RESPONSE } from './pdu.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'

/** Login stages (RFC 7143 §11.12.3). */
export const LOGIN_STAGE = { SECURITY: 0, OPERATIONAL: 1, FULL_FEATURE: 3 } as const

/** A Login Request (RFC 7143 §11.12). */
export interface LoginRequest {
  /** T: the initiator is ready for `nextStage`. */
  readonly isTransit: boolean
  /** C: the text goes on in the next PDU. */
  readonly isContinued: boolean
  readonly stage: number
  readonly nextStage: number
  readonly versionMin: number
  /** Initiator part of the session identifier, 12 hex digits. */
  readonly isid: string
  readonly tsih: number
  readonly itt: number
  readonly cid: number
  readonly cmdSn: number
  readonly expStatSn: number
}

/** A Login Response (RFC 7143 §11.13). */
export interface LoginResponse {
  readonly isTransit: boolean
  readonly isContinued: boolean
  readonly stage: number
  readonly nextStage: number
  readonly isid: string
  readonly tsih: number
  readonly itt: number
  readonly statSn: number
  readonly expCmdSn: number
  readonly maxCmdSn: number
  /** Class and detail in one number: 0x0201 is an authentication failure. */
  readonly status: number
  readonly text: Uint8Array
}

/**
 * The header of a Login Request.
 * @throws MalformedPacket when it is none, or names stages that are not
 */
export function decodeLoginRequest(bytes: Uint8Array): LoginRequest {
  const reader = new ByteReader(bytes, 'iSCSI login request')
  const opcode = reader.u8()
  if ((opcode & 0x3f) !== REQUEST.LOGIN)
    throw new MalformedPacket('iSCSI login', 0, 'expected a login request')
  const flags = reader.u8()
  reader.skip(1) // version-max
  const versionMin = reader.u8()
  reader.skip(4) // segment lengths
  const isid = Buffer.from(reader.take(6)).toString('hex')
  const tsih = reader.u16()
  const itt = reader.u32()
  const cid = reader.u16()
  reader.skip(2)
  const stage = (flags >> 2) & 3
  const isTransit = (flags & 0x80) !== 0
  const nextStage = flags & 3
  const isContinued = (flags & 0x40) !== 0
  const isBadStage = stage > 1 || (isTransit && (nextStage === 2 || nextStage <= stage || isContinued))
  if (isBadStage)
    throw new MalformedPacket('iSCSI login request', 1, `stages ${stage} to ${nextStage} do not fit`)
  const [cmdSn, expStatSn] = [reader.u32(), reader.u32()]
  return { isTransit, isContinued, stage, nextStage, versionMin, isid, tsih, itt, cid, cmdSn, expStatSn }
}

/** The PDU of a Login Response, padded. */
export function encodeLoginResponse(response: LoginResponse): Buffer {
  const { text } = response
  const flags = (response.isTransit ? 0x80 | response.nextStage : 0) | (response.stage << 2)
  return new ByteWriter()
    .u8(RESPONSE.LOGIN)
    .u8(flags | (response.isContinued ? 0x40 : 0))
    .u16(0) // version-max, version-active
    .u8(0)
    .u24(text.length)
    .put(Buffer.from(response.isid, 'hex'))
    .u16(response.tsih)
    .u32(response.itt)
    .u32(0)
    .u32(response.statSn)
    .u32(response.expCmdSn)
    .u32(response.maxCmdSn)
    .u16(response.status)
    .zeros(10)
    .put(text)
    .zeros(padding(text.length))
    .bytes()
}

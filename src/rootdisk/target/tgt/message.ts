import { endianness } from 'node:os'
import { MalformedPacket } from '../../../wire/malformed-packet.js'

// One conversation of tgtd's management socket (tgt 1.0.85; bytes recorded in fixtures/tgt), in the host's byte order:
// a request of 120 bytes and its parameters as text with a NUL, then the reply, then tgtd closes.
//
//    0 mode u32      8 lld, 64 bytes    80 sid u64        96 cid u32           108 direction u32
//    4 operation u32 72 length u32      88 lun u64        100 host number u32  112 pack u32
//                    76 tid i32                           104 device type u32  116 force u32
//
// The reply: 0 error u32, 4 length u32 (these 8 bytes counted), 8 text with a NUL.

const REQUEST_BYTES = 120
const REPLY_BYTES = 8
/** More than a show of some thousand targets. */
const REPLY_LIMIT_BYTES = 16 << 20
const LLD = 'iscsi'
const IS_LITTLE_ENDIAN = endianness() === 'LE'

const MODE = { system: 0, target: 1, logicalunit: 2, account: 7 } as const
const OP = { new: 0, delete: 1, show: 2, bind: 3, unbind: 4, update: 5, stat: 6 } as const

/** Errors of tgtd that are not the end of a plan: it is so already, and not yet. */
export const TGT_ERROR = { noAccount: 15, unitActive: 20 } as const

/** What tgtadm says of the errors that a plan can meet. */
const ERROR_TEXT: Readonly<Record<number, string>> = {
  4: 'no such target',
  5: 'no such logical unit',
  9: 'the target exists already',
  10: 'the logical unit exists already',
  12: 'the access rule exists already',
  14: 'the account exists already',
  15: 'no such account',
  17: 'invalid request (its own log says more)',
  19: 'the target is in use',
  20: 'a logical unit is in use',
}

/** One request, in the words of tgtadm's options. */
export interface TgtRequest {
  readonly mode: keyof typeof MODE
  readonly op: keyof typeof OP
  readonly tid?: number
  readonly lun?: number
  /** Ends sessions, where the target has some. */
  readonly force?: boolean
  /** Names and values, such as `targetname`, `path`, `user`; an `update` takes a device's parameters. */
  readonly values?: Readonly<Record<string, string>>
}

/** What tgtd answered; `error` 0 is good. */
export interface TgtReply {
  readonly error: number
  readonly text: string
}

/** Bytes of a request. @throws Error for a value that would end before its end (a comma or NUL in it) */
export function encodeRequest(request: TgtRequest): Uint8Array {
  const text = encodeValues(request)
  const bytes = new Uint8Array(REQUEST_BYTES + text.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MODE[request.mode], IS_LITTLE_ENDIAN)
  view.setUint32(4, OP[request.op], IS_LITTLE_ENDIAN)
  bytes.set(Buffer.from(LLD), 8)
  view.setUint32(72, bytes.length, IS_LITTLE_ENDIAN)
  view.setInt32(76, request.tid ?? -1, IS_LITTLE_ENDIAN)
  view.setBigInt64(88, BigInt(request.lun ?? -1), IS_LITTLE_ENDIAN)
  view.setUint32(116, request.force === true ? 1 : 0, IS_LITTLE_ENDIAN)
  bytes.set(text, REQUEST_BYTES)
  return bytes
}

/** The whole reply, or undefined while bytes are missing. @throws MalformedPacket */
export function decodeReply(bytes: Uint8Array): TgtReply | undefined {
  if (bytes.length < REPLY_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const length = view.getUint32(4, IS_LITTLE_ENDIAN)
  if (length < REPLY_BYTES || length > REPLY_LIMIT_BYTES) {
    throw new MalformedPacket('reply of tgtd', 4, `length ${length} is none`)
  }
  if (bytes.length < length) return undefined
  const text = Buffer.from(bytes.subarray(REPLY_BYTES, length)).toString('utf8')
  return { error: view.getUint32(0, IS_LITTLE_ENDIAN), text: text.replace(/\0.*$/s, '') }
}

/** An error number in words. */
export function errorText(error: number): string {
  return ERROR_TEXT[error] ?? `error ${error}`
}

/** A request as the command line of tgtadm that does the same, for people; no secret is in it. */
export function shownRequest({ mode, op, tid, lun }: TgtRequest): string {
  const numbers = { tid, lun }
  const options = Object.entries(numbers).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name} ${value}`],
  )
  return ['tgtadm', `--mode ${mode}`, `--op ${op}`, ...options].join(' ')
}

function encodeValues({ op, values }: TgtRequest): Uint8Array {
  if (values === undefined) return Buffer.alloc(0)
  const pairs = Object.entries(values).map(([name, value]) => {
    if (/[,\0]/.test(value)) throw new Error(`tgtd takes no comma in ${name}`)
    return `${name}=${value}`
  })
  return Buffer.from(op === 'update' ? `targetOps ${pairs.join(',')},\0` : `${pairs.join(',')}\0`)
}

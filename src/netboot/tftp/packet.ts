// TFTP packets: RFC 1350 §5, option extension RFC 2347.
//
//   RRQ, WRQ | 1 or 2 | filename | 0 | mode | 0 | option | 0 | value | 0 | ...
//   DATA     | 3      | block #  | data (0..blksize)
//   ACK      | 4      | block #  |
//   ERROR    | 5      | code     | message | 0 |
//   OACK     | 6      | option   | 0 | value | 0 | ...
//
// Opcode, block number and code are 16 bits, big-endian; texts are NUL-terminated bytes (latin1 here).
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { ByteReader } from '../../wire/reader.js'
import { ByteWriter } from '../../wire/writer.js'

/** Packet opcodes. */
export const OPCODE = { RRQ: 1, WRQ: 2, DATA: 3, ACK: 4, ERROR: 5, OACK: 6 } as const

/** Error codes of RFC 1350 §5 and RFC 2347. */
export const TFTP_ERROR = {
  NOT_DEFINED: 0,
  FILE_NOT_FOUND: 1,
  ACCESS_VIOLATION: 2,
  ILLEGAL_OPERATION: 4,
  OPTION_REFUSED: 8,
} as const

/** Option names in lower case, values as sent; of a repeated option the first counts. */
export type TftpOptions = ReadonlyMap<string, string>

/** Any TFTP packet. `filename` and `mode` are latin1, `mode` in lower case; `data` is a view. */
export type TftpPacket =
  | {
      readonly op: 'rrq' | 'wrq'
      readonly filename: string
      readonly mode: string
      readonly options: TftpOptions
    }
  | { readonly op: 'data'; readonly block: number; readonly data: Uint8Array }
  | { readonly op: 'ack'; readonly block: number }
  | { readonly op: 'error'; readonly code: number; readonly message: string }
  | { readonly op: 'oack'; readonly options: TftpOptions }

/**
 * Reads one datagram.
 * @throws MalformedPacket
 */
export function decodeTftp(bytes: Uint8Array): TftpPacket {
  const reader = new ByteReader(bytes, 'TFTP packet')
  const opcode = reader.u16()
  switch (opcode) {
    case OPCODE.RRQ:
    case OPCODE.WRQ:
      return decodeRequest(reader, opcode === OPCODE.RRQ ? 'rrq' : 'wrq')
    case OPCODE.DATA:
      return { op: 'data', block: reader.u16(), data: reader.rest() }
    case OPCODE.ACK:
      return { op: 'ack', block: reader.u16() }
    case OPCODE.ERROR:
      return { op: 'error', code: reader.u16(), message: lenientText(reader) }
    case OPCODE.OACK:
      return { op: 'oack', options: decodeOptions(reader) }
    default:
      throw new MalformedPacket('TFTP packet', 0, `unknown opcode ${opcode}`)
  }
}

/** The bytes of `packet`. */
export function encodeTftp(packet: TftpPacket): Buffer {
  const writer = new ByteWriter()
  switch (packet.op) {
    case 'rrq':
    case 'wrq':
      writer.u16(packet.op === 'rrq' ? OPCODE.RRQ : OPCODE.WRQ)
      writer.text(packet.filename, 'latin1').u8(0).text(packet.mode, 'latin1').u8(0)
      return encodeOptions(writer, packet.options)
    case 'data':
      return writer.u16(OPCODE.DATA).u16(packet.block).put(packet.data).bytes()
    case 'ack':
      return writer.u16(OPCODE.ACK).u16(packet.block).bytes()
    case 'error':
      return writer.u16(OPCODE.ERROR).u16(packet.code).text(packet.message, 'latin1').u8(0).bytes()
    case 'oack':
      return encodeOptions(writer.u16(OPCODE.OACK), packet.options)
  }
}

/** Bytes before the data of a DATA packet. */
export const DATA_HEADER_BYTES = 4

/**
 * Writes DATA of block `block` (modulo 65536) at `offset` of `into`, for those that send thousands: nothing is made.
 * @returns the offset behind the packet
 */
export function writeData(into: Uint8Array, offset: number, block: number, data: Uint8Array): number {
  into[offset] = 0
  into[offset + 1] = OPCODE.DATA
  into[offset + 2] = (block >>> 8) & 0xff
  into[offset + 3] = block & 0xff
  into.set(data, offset + DATA_HEADER_BYTES)
  return offset + DATA_HEADER_BYTES + data.length
}

/** The block number of an ACK, or undefined for every other packet: {@link decodeTftp} for the hot path. */
export function ackedBlock(bytes: Uint8Array): number | undefined {
  const [zero, opcode, high, low] = bytes
  return zero === 0 && opcode === OPCODE.ACK && high !== undefined && low !== undefined
    ? (high << 8) | low
    : undefined
}

function decodeRequest(reader: ByteReader, op: 'rrq' | 'wrq'): TftpPacket {
  const filename = reader.cString()
  const mode = reader.cString().toLowerCase()
  return { op, filename, mode, options: decodeOptions(reader) }
}

function decodeOptions(reader: ByteReader): TftpOptions {
  const options = new Map<string, string>()
  while (reader.remaining > 0) {
    const name = reader.cString().toLowerCase() // RFC 2347: case-insensitive
    const value = reader.cString()
    if (!options.has(name)) options.set(name, value)
  }
  return options
}

/** Some firmware leaves the last NUL of an ERROR message away; nothing depends on it. */
function lenientText(reader: ByteReader): string {
  const text = Buffer.from(reader.rest()).toString('latin1')
  const end = text.indexOf('\0')
  return end < 0 ? text : text.slice(0, end)
}

function encodeOptions(writer: ByteWriter, options: TftpOptions): Buffer {
  for (const [name, value] of options) writer.text(name, 'latin1').u8(0).text(value, 'latin1').u8(0)
  return writer.bytes()
}

// A DHCP message (RFC 2131 §2):
//
//    0                   1                   2                   3
//   +---------------+---------------+---------------+---------------+
//   |     op (1)    |   htype (1)   |   hlen (1)    |   hops (1)    |
//   +---------------+---------------+---------------+---------------+
//   |                            xid (4)                            |
//   +-------------------------------+-------------------------------+
//   |           secs (2)            |           flags (2)           |
//   +-------------------------------+-------------------------------+
//   |                          ciaddr  (4)                          |
//   |                          yiaddr  (4)                          |
//   |                          siaddr  (4)                          |
//   |                          giaddr  (4)                          |
//   |                          chaddr  (16)                         |
//   |                          sname   (64)                         |
//   |                          file    (128)                        |
//   |                          cookie  (4)  63 82 53 63             |
//   |                          options (variable)                   |
//   +---------------------------------------------------------------+
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { ByteReader } from '../../wire/reader.js'
import { ByteWriter } from '../../wire/writer.js'
import { collectOptions, decodeOptions, encodeOptions } from './options.js'
import type { Options, RawOptions } from './options.js'

const COOKIE = 0x63825363
const FIXED_BYTES = 240
const MIN_BYTES = 241
const CHADDR_BYTES = 16
/** IANA hardware type 32: its 20-byte address does not fit chaddr (RFC 4390 §2.1). */
export const HTYPE_INFINIBAND = 32
const SNAME_BYTES = 64
const FILE_BYTES = 128
/** RFC 1542 §2.1: BOOTP's own size; some relays and ROMs drop less. */
export const BOOTP_BYTES = 300
const IP_UDP_HEADERS = 28
const OVERLOAD_FILE = 1
const OVERLOAD_SNAME = 2

/** `op`: who speaks. */
export const OP = { REQUEST: 1, REPLY: 2 } as const

/** The one flag in use (RFC 2131 §2): answer by broadcast. */
export const FLAG_BROADCAST = 0x8000

/** Values of option 53 (RFC 2132 §9.6). */
export const MESSAGE = {
  DISCOVER: 1,
  OFFER: 2,
  REQUEST: 3,
  DECLINE: 4,
  ACK: 5,
  NAK: 6,
  RELEASE: 7,
  INFORM: 8,
} as const

/** A DHCP message; addresses are unsigned 32-bit numbers, 0 when unset. */
export interface DhcpPacket {
  readonly op: number
  readonly htype: number
  readonly hops: number
  readonly xid: number
  readonly secs: number
  readonly flags: number
  readonly ciaddr: number
  readonly yiaddr: number
  readonly siaddr: number
  readonly giaddr: number
  /** The hardware address, as many bytes as `hlen` says (0 to 16; none of InfiniBand's 20): a copy. */
  readonly chaddr: Uint8Array
  /** Empty when the field was overloaded with options. */
  readonly sname: string
  /** Empty when the field was overloaded with options. */
  readonly file: string
  readonly options: Options
}

/**
 * Decodes a client's or relay's message.
 * @throws MalformedPacket on anything that is not a BOOTREQUEST with the DHCP cookie or an empty vendor area
 */
export function decodeRequest(datagram: Uint8Array): DhcpPacket {
  const packet = decodePacket(datagram)
  if (packet.op !== OP.REQUEST) throw new MalformedPacket('DHCP packet', 0, `expected op 1, got ${packet.op}`)
  return packet
}

/**
 * Decodes a DHCP message of either direction.
 * @throws MalformedPacket on any break of the format
 */
export function decodePacket(datagram: Uint8Array): DhcpPacket {
  if (datagram.length < MIN_BYTES) {
    throw new MalformedPacket('DHCP packet', 0, `needs at least ${MIN_BYTES} bytes, has ${datagram.length}`)
  }
  const reader = new ByteReader(datagram, 'DHCP packet')
  const op = reader.u8()
  const htype = reader.u8()
  const hlen = addressLength(htype, reader.u8())
  const hops = reader.u8()
  const xid = reader.u32()
  const secs = reader.u16()
  const flags = reader.u16()
  const ciaddr = reader.u32()
  const yiaddr = reader.u32()
  const siaddr = reader.u32()
  const giaddr = reader.u32()
  const chaddr = new Uint8Array(reader.take(CHADDR_BYTES).subarray(0, hlen))
  const snameField = reader.take(SNAME_BYTES)
  const fileField = reader.take(FILE_BYTES)
  const { raw, overload } = hasCookie(reader.u32())
    ? collectFields(reader.rest(), fileField, snameField)
    : { raw: new Map<number, Uint8Array[]>(), overload: 0 }
  return {
    op,
    htype,
    hops,
    xid,
    secs,
    flags,
    ciaddr,
    yiaddr,
    siaddr,
    giaddr,
    chaddr,
    sname: (overload & OVERLOAD_SNAME) === 0 ? paddedText(snameField) : '',
    file: (overload & OVERLOAD_FILE) === 0 ? paddedText(fileField) : '',
    options: decodeOptions(raw),
  }
}

/**
 * Encodes a message of at most `budgetBytes` and at least 300; options that do not fit are left out.
 * @param budgetBytes from {@link replyBudget}: at least 300
 */
export function encodePacket(packet: DhcpPacket, budgetBytes: number): Buffer {
  const writer = new ByteWriter()
  writer.u8(packet.op).u8(packet.htype).u8(packet.chaddr.length).u8(packet.hops)
  writer.u32(packet.xid).u16(packet.secs).u16(packet.flags)
  writer.u32(packet.ciaddr).u32(packet.yiaddr).u32(packet.siaddr).u32(packet.giaddr)
  writer.put(packet.chaddr.subarray(0, CHADDR_BYTES)).zeros(CHADDR_BYTES - packet.chaddr.length)
  putPadded(writer, packet.sname, SNAME_BYTES)
  putPadded(writer, packet.file, FILE_BYTES)
  writer.u32(COOKIE)
  writer.put(encodeOptions(packet.options, budgetBytes - FIXED_BYTES))
  return writer.zeros(Math.max(0, BOOTP_BYTES - writer.length)).bytes()
}

/**
 * How many bytes of UDP payload a client takes: its option 57 within 576 and 1500, less the headers.
 * RFC 2131 §2 counts the IP datagram; OVMF's REQUEST says 65280 (2022), which no Ethernet carries.
 */
export function replyBudget(maxMessageSize: number | undefined): number {
  return Math.min(Math.max(maxMessageSize ?? 0, 576), 1500) - IP_UDP_HEADERS
}

/** Whether `text` fits a header field with its closing NUL. */
export function fitsFileField(text: string): boolean {
  return text.length < FILE_BYTES
}

function addressLength(htype: number, hlen: number): number {
  if (hlen <= CHADDR_BYTES) return hlen
  if (htype === HTYPE_INFINIBAND) return 0
  throw new MalformedPacket('DHCP packet', 2, `hlen ${hlen} is more than 16`)
}

// BOOTP of before RFC 1048 leaves its vendor area empty.
function hasCookie(word: number): boolean {
  if (word === COOKIE || word === 0) return word === COOKIE
  throw new MalformedPacket('DHCP packet', 236, 'no DHCP cookie')
}

// RFC 3396 §5: options, then file, then sname, as one sequence; only the options field may say 52.
function collectFields(
  options: Uint8Array,
  file: Uint8Array,
  sname: Uint8Array,
): { raw: RawOptions; overload: number } {
  const raw: RawOptions = new Map()
  collectOptions(options, 'DHCP options', raw)
  const overload = raw.get(52)?.[0]?.[0] ?? 0
  if ((overload & OVERLOAD_FILE) !== 0) collectOptions(file, 'DHCP file as options', raw)
  if ((overload & OVERLOAD_SNAME) !== 0) collectOptions(sname, 'DHCP sname as options', raw)
  return { raw, overload }
}

function paddedText(field: Uint8Array): string {
  if (field[0] === 0) return '' // as nearly always
  const end = field.indexOf(0)
  return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString('latin1')
}

function putPadded(writer: ByteWriter, text: string, size: number): void {
  if (text === '') {
    writer.zeros(size)
    return
  }
  const encoded = Buffer.from(text, 'latin1').subarray(0, size)
  writer.put(encoded).zeros(size - encoded.length)
}

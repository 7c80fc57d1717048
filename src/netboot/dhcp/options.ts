// DHCP options (RFC 2132 §2):
//
//    code  len  value...            0 = pad and 255 = end have neither length nor value
//   +-----+-----+-----+-----+---
//   |  c  |  n  |  v1 |  v2 | ...
//   +-----+-----+-----+-----+---
//
// A code that occurs more than once is one value in pieces (RFC 3396).
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { ByteReader } from '../../wire/reader.js'
import { ByteWriter } from '../../wire/writer.js'
import { bytes, classlessRoutes, domains, ip, ips, seconds, text, u16, u16s, u8 } from './option-types.js'
import type { OptionType } from './option-types.js'

const PAD = 0
const END = 255
const LONGEST_PIECE = 255
const EMPTY = new Uint8Array()

/** The options this server reads or writes. Everything else in a request is stepped over. */
export const OPTION = {
  messageType: { code: 53, type: u8 }, // RFC 2132 §9.6
  serverId: { code: 54, type: ip }, // §9.7
  leaseSeconds: { code: 51, type: seconds }, // §9.2
  subnetMask: { code: 1, type: ip }, // §3.3
  router: { code: 3, type: ips }, // §3.5
  vendorClass: { code: 60, type: text }, // §9.13
  bootFile: { code: 67, type: text }, // §9.5
  tftpServerName: { code: 66, type: text }, // §9.4
  ipxe: { code: 175, type: bytes }, // iPXE's encapsulated options
  vendorSpecific: { code: 43, type: bytes }, // §8.4; PXE 2.1 §2.2
  dnsServers: { code: 6, type: ips }, // §3.8
  renewalSeconds: { code: 58, type: seconds }, // §9.11
  rebindingSeconds: { code: 59, type: seconds }, // §9.12
  broadcastAddress: { code: 28, type: ip }, // §5.3
  clientUuid: { code: 97, type: bytes }, // RFC 4578 §2.3
  clientId: { code: 61, type: bytes }, // RFC 2132 §9.14; echoed by RFC 6842
  hostName: { code: 12, type: text }, // §3.14
  classlessRoutes: { code: 121, type: classlessRoutes }, // RFC 3442
  // [MS-DHCPE] §2.2.8: 121's bytes, under a code that is any site's own, so clients may mean something else by it
  windowsRoutes: { code: 249, type: bytes },
  staticRoutes: { code: 33, type: ips }, // RFC 2132 §5.8: destination and router, by turns
  mtu: { code: 26, type: u16 }, // RFC 2132 §5.1
  ntpServers: { code: 42, type: ips }, // §8.3
  domainName: { code: 15, type: text }, // RFC 2132 §3.17
  domainSearch: { code: 119, type: domains }, // RFC 3397
  message: { code: 56, type: text }, // §9.9
  requestedIp: { code: 50, type: ip }, // §9.1
  overload: { code: 52, type: u8 }, // §9.3
  parameterList: { code: 55, type: bytes }, // §9.8
  maxMessageSize: { code: 57, type: u16 }, // §9.10
  userClass: { code: 77, type: bytes }, // RFC 3004; iPXE sends bare text
  clientArch: { code: 93, type: u16s }, // RFC 4578 §2.1
  clientNdi: { code: 94, type: bytes }, // RFC 4578 §2.2
  subnetSelection: { code: 118, type: ip }, // RFC 3011
  relayInfo: { code: 82, type: bytes }, // RFC 3046: echoed byte for byte, last
} as const

type Value<O> = O extends { type: OptionType<infer T> } ? T : never

/** The options of one packet by name; the table's order is the order (and the importance) in a reply. */
export type Options = { -readonly [K in keyof typeof OPTION]?: Value<(typeof OPTION)[K]> }

interface Row {
  readonly name: string
  /** In errors. */
  readonly what: string
  readonly code: number
  readonly type: OptionType<unknown>
}

// Each row's type fits its own value only; `Options` is what keeps name and value together.
const ROWS = Object.entries(OPTION).map(
  ([name, { code, type }]) => ({ name, what: `DHCP option ${name}`, code, type }) as Row,
)
const [RELAY_INFO] = ROWS.filter(({ name }) => name === 'relayInfo') as [Row] // a row of the table above
const ROW_OF_CODE = new Map(ROWS.map((row) => [row.code, row]))

/** Raw values by code, as the pieces in which they came (RFC 3396 §7): views, not copies. */
export type RawOptions = Map<number, Uint8Array[]>

/**
 * Reads one options field into `into`, after what is already there.
 * @param what names the field in errors
 * @throws MalformedPacket when an option runs past the end of the field. A missing END is forgiven.
 */
export function collectOptions(field: Uint8Array, what: string, into: RawOptions): void {
  const reader = new ByteReader(field, what)
  while (reader.remaining > 0) {
    const code = reader.u8()
    if (code === END) return
    if (code === PAD) continue
    const value = reader.take(reader.u8())
    const before = into.get(code)
    if (before === undefined) into.set(code, [value])
    else before.push(value)
  }
}

/**
 * The options of the table, decoded.
 * @throws MalformedPacket when a value is too short or too long for its type
 */
export function decodeOptions(raw: RawOptions): Options {
  const options: Record<string, unknown> = {}
  for (const [code, pieces] of raw) {
    const row = ROW_OF_CODE.get(code)
    if (row === undefined) continue
    const [only = EMPTY] = pieces
    const reader = new ByteReader(pieces.length === 1 ? only : Buffer.concat(pieces), row.what)
    options[row.name] = row.type.decode(reader)
    if (reader.remaining === 0) continue
    throw new MalformedPacket(row.what, reader.offset, `${reader.remaining} bytes too many`)
  }
  return options // each value was made by the type of its own row
}

/**
 * Writes `options` in table order into at most `budgetBytes`, END included. What does not fit is left out,
 * except that room for the relay's option 82 is kept from the start.
 */
export function encodeOptions(options: Options, budgetBytes: number): Buffer {
  const given: Record<string, unknown> = options
  const [writer, value] = [new ByteWriter(), new ByteWriter()]
  let left = budgetBytes - encodedBytes(given['relayInfo'], RELAY_INFO, value) - 1
  for (const row of ROWS) {
    if (row === RELAY_INFO || given[row.name] === undefined) continue
    const size = encodedBytes(given[row.name], row, value)
    if (size > left) continue
    putOption(writer, row.code, value.view())
    left -= size
  }
  if (encodedBytes(given['relayInfo'], RELAY_INFO, value) > 0)
    putOption(writer, RELAY_INFO.code, value.view())
  return writer.u8(END).bytes()
}

/** One level of options inside an option (RFC 2132 §8.4): vendor options 43 and iPXE's 175. */
export function encapsulate(
  inner: readonly (readonly [code: number, value: readonly number[]])[],
): Uint8Array {
  return Uint8Array.from(inner.flatMap(([code, value]) => [code, value.length, ...value]))
}

/** Leaves the encoded value in `into`; its bytes as an option, headers included, or 0 without a value. */
function encodedBytes(value: unknown, row: Row, into: ByteWriter): number {
  into.clear()
  if (value === undefined) return 0
  row.type.encode(into, value)
  return into.length + 2 * Math.max(1, Math.ceil(into.length / LONGEST_PIECE))
}

// RFC 3396 §5: longer values are split; an empty one still is one option.
function putOption(writer: ByteWriter, code: number, whole: Uint8Array): void {
  for (let at = 0; at === 0 || at < whole.length; at += LONGEST_PIECE) {
    const piece = whole.length <= LONGEST_PIECE ? whole : whole.subarray(at, at + LONGEST_PIECE)
    writer.u8(code).u8(piece.length).put(piece)
  }
}

// DHCP for the zoo, on purpose apart from src/netboot/dhcp/codec.ts: an error made alike in reading and in writing
// would otherwise never be seen.

const COOKIE = Buffer.from([0x63, 0x82, 0x53, 0x63])
const HEADER_BYTES = 236
const PADDED_BYTES = 300

/** Names of option 53's values (RFC 2132 §9.6); BOOTP has none. */
export const MESSAGE_TYPES = [
  ...['BOOTP', 'DISCOVER', 'OFFER', 'REQUEST', 'DECLINE', 'ACK', 'NAK', 'RELEASE', 'INFORM'],
]

/** A message to write; what is absent is 0 or empty. `chaddr` and option values are bytes. */
export interface DhcpFields {
  readonly op?: number | undefined
  readonly htype?: number | undefined
  readonly hlen?: number | undefined
  readonly hops?: number | undefined
  readonly xid?: number | undefined
  readonly secs?: number | undefined
  readonly flags?: number | undefined
  readonly ciaddr?: string | undefined
  readonly yiaddr?: string | undefined
  readonly siaddr?: string | undefined
  readonly giaddr?: string | undefined
  readonly chaddr: Uint8Array
  readonly sname?: string | undefined
  readonly file?: string | undefined
  readonly options: readonly (readonly [code: number, value: Uint8Array])[]
}

/** A message as it was read. */
export interface DhcpSeen {
  readonly type: string
  readonly op: number
  readonly htype: number
  readonly hops: number
  readonly xid: number
  readonly flags: number
  readonly ciaddr: string
  readonly yiaddr: string
  readonly siaddr: string
  readonly giaddr: string
  readonly chaddr: string
  readonly sname: string
  readonly file: string
  /** Pieces of one code joined (RFC 3396). */
  readonly options: ReadonlyMap<number, Buffer>
  /** Codes in the order in which they first came. */
  readonly order: readonly number[]
  readonly length: number
}

/** The bytes of a message, padded to 300 as BOOTP's were unless `isPadded` is false. */
export function writeDhcp(fields: DhcpFields, isPadded = true): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  const { op = 1, htype = 1, hlen = fields.chaddr.length, hops = 0 } = fields
  header.set([op, htype, hlen, hops])
  header.writeUInt32BE(fields.xid ?? 0, 4)
  header.writeUInt16BE(fields.secs ?? 0, 8)
  header.writeUInt16BE(fields.flags ?? 0, 10)
  for (const [at, address] of [fields.ciaddr, fields.yiaddr, fields.siaddr, fields.giaddr].entries())
    header.set(quad(address ?? '0.0.0.0'), 12 + 4 * at)
  header.set(fields.chaddr.subarray(0, 16), 28)
  header.write(fields.sname ?? '', 44, 64, 'latin1')
  header.write(fields.file ?? '', 108, 128, 'latin1')
  const options = fields.options.flatMap(([code, value]) => pieces(code, value))
  const bytes = Buffer.concat([header, COOKIE, ...options, Buffer.of(255)])
  return isPadded && bytes.length < PADDED_BYTES
    ? Buffer.concat([bytes, Buffer.alloc(PADDED_BYTES - bytes.length)])
    : bytes
}

/** @throws Error saying what is wrong with the bytes; a request's missing END is forgiven */
export function readDhcp(bytes: Buffer): DhcpSeen {
  if (bytes.length <= HEADER_BYTES + 4) throw new Error(`a DHCP message of ${String(bytes.length)} bytes`)
  if (!bytes.subarray(HEADER_BYTES, HEADER_BYTES + 4).equals(COOKIE)) throw new Error('no DHCP cookie')
  const { options, order } = readOptions(bytes.subarray(HEADER_BYTES + 4), bytes[0] === 1)
  if (options.get(52)?.[0] === 1) readOptions(bytes.subarray(108, 236), true, options)
  const hlen = bytes.readUInt8(2)
  return {
    type: MESSAGE_TYPES[options.get(53)?.[0] ?? 0] ?? 'unknown',
    op: bytes.readUInt8(0),
    htype: bytes.readUInt8(1),
    hops: bytes.readUInt8(3),
    xid: bytes.readUInt32BE(4),
    flags: bytes.readUInt16BE(10),
    ciaddr: dotted(bytes.subarray(12, 16)),
    yiaddr: dotted(bytes.subarray(16, 20)),
    siaddr: dotted(bytes.subarray(20, 24)),
    giaddr: dotted(bytes.subarray(24, 28)),
    chaddr: bytes.toString('hex', 28, 28 + hlen),
    sname: textUpToNul(bytes.subarray(44, 108)),
    file: textUpToNul(bytes.subarray(108, 236)),
    options,
    order,
    length: bytes.length,
  }
}

/** `198.18.0.1` as four bytes. */
export function quad(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number))
}

/** Four bytes as `198.18.0.1`. */
export function dotted(bytes: Uint8Array): string {
  return [...bytes].join('.')
}

function pieces(code: number, value: Uint8Array): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at === 0 || at < value.length; at += 255) {
    const piece = value.subarray(at, at + 255)
    found.push(Buffer.from([code, piece.length, ...piece]))
  }
  return found
}

function readOptions(
  field: Buffer,
  isRequest: boolean,
  options = new Map<number, Buffer>(),
): { options: Map<number, Buffer>; order: number[] } {
  for (let at = 0; ;) {
    const code = field[at++]
    if (code === undefined && !isRequest) throw new Error('options without an end')
    if (code === undefined || code === 255) return { options, order: [...options.keys()] }
    if (code === 0) continue
    const length = field[at++] ?? 255
    if (at + length > field.length) throw new Error(`option ${String(code)} runs past the end`)
    options.set(code, Buffer.concat([options.get(code) ?? Buffer.alloc(0), field.subarray(at, at + length)]))
    at += length
  }
}

function textUpToNul(field: Buffer): string {
  const end = field.indexOf(0)
  return field.toString('latin1', 0, end < 0 ? field.length : end)
}

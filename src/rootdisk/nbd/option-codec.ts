import { MalformedPacket } from '../../wire/malformed-packet.js'
import { ByteReader } from '../../wire/reader.js'
import { ByteWriter } from '../../wire/writer.js'
import { HANDSHAKE, INFO, MAGIC, MAX_STRING_BYTES, OPTION, REP } from './protocol.js'

/** Bytes before an option's content: IHAVEOPT, option, length. */
export const OPTION_HEADER_BYTES = 16
/** Content longer than that is nobody's honest wish: a name and its queries fit in a quarter. */
export const MAX_OPTION_BYTES = 64 << 10

/** Header of an option (doc/proto.md "Option haggling"). */
export interface OptionHeader {
  readonly option: number
  /** Bytes of content that follow, at most {@link MAX_OPTION_BYTES}. */
  readonly length: number
}

/** What a client asks of an export; `queries` only from the META_CONTEXT options. */
export type Option =
  | { readonly kind: 'export-name'; readonly name: string }
  | { readonly kind: 'info'; readonly name: string; readonly wants: readonly number[] }
  | { readonly kind: 'go'; readonly name: string; readonly wants: readonly number[] }
  | {
      readonly kind: 'list-contexts' | 'set-contexts'
      readonly name: string
      readonly queries: readonly string[]
    }
  | { readonly kind: 'abort' }
  | { readonly kind: 'list' | 'starttls' | 'structured-reply' }
  | { readonly kind: 'unknown' }

const UNKNOWN: Option = { kind: 'unknown' }
const CONTENT = new Map<number, (reader: ByteReader) => Option>([
  [OPTION.EXPORT_NAME, (reader) => ({ kind: 'export-name', name: text(reader, reader.remaining) })],
  [OPTION.ABORT, () => ({ kind: 'abort' })],
  [OPTION.LIST, () => ({ kind: 'list' })],
  [OPTION.STARTTLS, () => ({ kind: 'starttls' })],
  [OPTION.INFO, (reader) => ({ kind: 'info', ...goContent(reader) })],
  [OPTION.GO, (reader) => ({ kind: 'go', ...goContent(reader) })],
  [OPTION.STRUCTURED_REPLY, () => ({ kind: 'structured-reply' })],
  [OPTION.LIST_META_CONTEXT, (reader) => ({ kind: 'list-contexts', ...contextContent(reader) })],
  [OPTION.SET_META_CONTEXT, (reader) => ({ kind: 'set-contexts', ...contextContent(reader) })],
])

/** The server's first words. */
export function encodeGreeting(): Uint8Array {
  const flags = HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES
  return new ByteWriter().u64(MAGIC.NBDMAGIC).u64(MAGIC.IHAVEOPT).u16(flags).bytes()
}

/** The client's 4 bytes of flags; true when EXPORT_NAME's reply goes without its 124 zeros. */
export function decodeClientFlags(bytes: Uint8Array): { readonly hasNoZeroes: boolean } {
  const flags = new ByteReader(bytes, 'NBD client flags').u32()
  if ((flags & HANDSHAKE.FIXED_NEWSTYLE) === 0 || flags > 3) {
    throw new MalformedPacket('NBD client flags', 0, `expected fixed newstyle, got ${flags}`)
  }
  return { hasNoZeroes: (flags & HANDSHAKE.NO_ZEROES) !== 0 }
}

/** The first {@link OPTION_HEADER_BYTES} of an option. */
export function decodeOptionHeader(bytes: Uint8Array): OptionHeader {
  const reader = new ByteReader(bytes, 'NBD option')
  if (reader.u64() !== MAGIC.IHAVEOPT) throw new MalformedPacket('NBD option', 0, 'expected IHAVEOPT')
  const header = { option: reader.u32(), length: reader.u32() }
  if (header.length <= MAX_OPTION_BYTES) return header
  throw new MalformedPacket('NBD option', 12, `content of ${header.length} bytes`)
}

/** An option's content. */
export function decodeOption(option: number, content: Uint8Array): Option {
  const reader = new ByteReader(content, `NBD option ${option}`)
  const decoded = CONTENT.get(option)?.(reader) ?? UNKNOWN
  // ABORT is honoured whatever stands in it, and of an option that we do not know we know no length.
  const isExact = decoded.kind !== 'abort' && decoded.kind !== 'unknown'
  if (!isExact || reader.remaining === 0) return decoded
  throw new MalformedPacket(`NBD option ${option}`, reader.offset, `${reader.remaining} bytes too many`)
}

/** An option with its content, as a client sends it. */
export function encodeOption(option: number, content: Uint8Array = new Uint8Array()): Uint8Array {
  return new ByteWriter().u64(MAGIC.IHAVEOPT).u32(option).u32(content.length).put(content).bytes()
}

/** Content of GO and INFO: a name and the kinds of information wished for. */
export function encodeGo(name: string, wants: readonly number[]): Uint8Array {
  const bytes = Buffer.from(name)
  const writer = new ByteWriter().u32(bytes.length).put(bytes).u16(wants.length)
  for (const want of wants) writer.u16(want)
  return writer.bytes()
}

/** Content of the META_CONTEXT options. */
export function encodeContextQuery(name: string, queries: readonly string[]): Uint8Array {
  const bytes = Buffer.from(name)
  const writer = new ByteWriter().u32(bytes.length).put(bytes).u32(queries.length)
  for (const query of queries.map((each) => Buffer.from(each))) writer.u32(query.length).put(query)
  return writer.bytes()
}

/** One reply to an option. */
export function encodeOptionReply(
  option: number,
  type: number,
  content: Uint8Array | string = '',
): Uint8Array {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  const writer = new ByteWriter().u64(MAGIC.OPTION_REPLY).u32(option).u32(type)
  return writer.u32(bytes.length).put(bytes).bytes()
}

/** Bytes before a reply's content. */
export const OPTION_REPLY_BYTES = 20

/** Header of a reply, as a client reads it. */
export function decodeOptionReply(bytes: Uint8Array): { option: number; type: number; length: number } {
  const reader = new ByteReader(bytes, 'NBD option reply')
  if (reader.u64() !== MAGIC.OPTION_REPLY) throw new MalformedPacket('NBD option reply', 0, 'bad magic')
  const reply = { option: reader.u32(), type: reader.u32(), length: reader.u32() }
  if (reply.length <= MAX_OPTION_BYTES) return reply
  throw new MalformedPacket('NBD option reply', 16, `content of ${reply.length} bytes`)
}

/** The INFO_EXPORT block: size and transmission flags. */
export function encodeExportInfo(sizeBytes: number, flags: number): Uint8Array {
  return new ByteWriter().u16(INFO.EXPORT).u64(BigInt(sizeBytes)).u16(flags).bytes()
}

/** The INFO_BLOCK_SIZE block. */
export function encodeBlockSizes(minimum: number, preferred: number, maximum: number): Uint8Array {
  return new ByteWriter().u16(INFO.BLOCK_SIZE).u32(minimum).u32(preferred).u32(maximum).bytes()
}

/** The INFO_NAME or INFO_DESCRIPTION block. */
export function encodeInfoText(kind: number, value: string): Uint8Array {
  return new ByteWriter().u16(kind).put(Buffer.from(value)).bytes()
}

/** REP_SERVER: one line of a list; what follows the name is for people. */
export function encodeServerReply(name: string, description: string): Uint8Array {
  const bytes = Buffer.from(name)
  const content = new ByteWriter().u32(bytes.length).put(bytes).put(Buffer.from(description)).bytes()
  return encodeOptionReply(OPTION.LIST, REP.SERVER, content)
}

/** REP_META_CONTEXT: a context by id and name. */
export function encodeContext(id: number, name: string): Uint8Array {
  return new ByteWriter().u32(id).put(Buffer.from(name)).bytes()
}

function text(reader: ByteReader, length: number): string {
  if (length > MAX_STRING_BYTES) {
    throw new MalformedPacket('NBD string', reader.offset, `at most ${MAX_STRING_BYTES} bytes, got ${length}`)
  }
  return Buffer.from(reader.take(length)).toString('utf8')
}

function goContent(reader: ByteReader): { name: string; wants: number[] } {
  const name = text(reader, reader.u32())
  return { name, wants: Array.from({ length: reader.u16() }, () => reader.u16()) }
}

function contextContent(reader: ByteReader): { name: string; queries: string[] } {
  const name = text(reader, reader.u32())
  const count = reader.u32()
  const queries: string[] = []
  while (queries.length < count) queries.push(text(reader, reader.u32()))
  return { name, queries }
}

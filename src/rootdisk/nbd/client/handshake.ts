import { MalformedPacket } from '../../../wire/malformed-packet.js'
import { ByteReader } from '../../../wire/reader.js'
import { ByteWriter } from '../../../wire/writer.js'
import type { ByteQueue } from '../byte-queue.js'
import {
  decodeOptionReply,
  encodeContextQuery,
  encodeGo,
  encodeOption,
  OPTION_REPLY_BYTES,
} from '../option-codec.js'
import { BASE_ALLOCATION, HANDSHAKE, INFO, MAGIC, MAX_PAYLOAD_BYTES, OPTION, REP } from '../protocol.js'

/** A server while we negotiate. */
export interface ServerChannel {
  readonly received: ByteQueue
  send(bytes: Uint8Array): void
  /** Present when the connection must be encrypted. */
  readonly startTls: (() => Promise<void>) | undefined
}

/** What a server told of its export. */
export interface RemoteExport {
  readonly sizeBytes: number
  /** EXPORT_FLAG bits. */
  readonly flags: number
  readonly isStructured: boolean
  readonly hasAllocation: boolean
  /** Longest read and write it takes. */
  readonly maxPayloadBytes: number
}

/** A server's refusal of what we need. */
export class NbdRefused extends Error {
  override readonly name = 'NbdRefused'
}

/** Our own reads and writes are multiples of a sector at least. */
const LARGEST_MINIMUM_BYTES = 512

/**
 * Negotiates as a client up to the transmission phase (doc/proto.md "Handshake phase").
 * @throws MalformedPacket, NbdRefused, or what the queue of received bytes was ended with
 */
export async function attachExport(channel: ServerChannel, name: string): Promise<RemoteExport> {
  const greeting = new ByteReader(await channel.received.take(18), 'NBD greeting')
  const isNewstyle = greeting.u64() === MAGIC.NBDMAGIC && greeting.u64() === MAGIC.IHAVEOPT
  const flags = greeting.u16()
  if (!isNewstyle || (flags & HANDSHAKE.FIXED_NEWSTYLE) === 0) {
    throw new MalformedPacket('NBD greeting', 0, 'expected fixed newstyle')
  }
  channel.send(new ByteWriter().u32(flags & (HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES)).bytes())
  if (channel.startTls !== undefined) await startTls(channel, channel.startTls)
  const isStructured = (await ask(channel, OPTION.STRUCTURED_REPLY)).error === undefined
  const hasAllocation = isStructured && (await selectAllocation(channel, name))
  return { ...(await go(channel, name)), isStructured, hasAllocation }
}

async function startTls(channel: ServerChannel, upgrade: () => Promise<void>): Promise<void> {
  const { error } = await ask(channel, OPTION.STARTTLS)
  if (error !== undefined) throw new NbdRefused(`the NBD server does not speak TLS: ${error}`)
  if (channel.received.length > 0) throw new MalformedPacket('NBD option reply', 0, 'bytes follow before TLS')
  await upgrade()
}

async function selectAllocation(channel: ServerChannel, name: string): Promise<boolean> {
  const query = encodeContextQuery(name, [BASE_ALLOCATION])
  const { replies } = await ask(channel, OPTION.SET_META_CONTEXT, query)
  return replies.some(({ type, content }) => {
    return type === REP.META_CONTEXT && content.subarray(4).toString() === BASE_ALLOCATION
  })
}

async function go(
  channel: ServerChannel,
  name: string,
): Promise<Pick<RemoteExport, 'sizeBytes' | 'flags' | 'maxPayloadBytes'>> {
  const { replies, error } = await ask(channel, OPTION.GO, encodeGo(name, [INFO.BLOCK_SIZE]))
  if (error !== undefined) throw new NbdRefused(`the NBD server refuses the export "${name}": ${error}`)
  let found: { sizeBytes: number; flags: number } | undefined
  let maxPayloadBytes = MAX_PAYLOAD_BYTES
  for (const { type, content } of replies) {
    if (type !== REP.INFO) continue
    const info = new ByteReader(content, 'NBD export information')
    const kind = info.u16()
    if (kind === INFO.EXPORT) found = { sizeBytes: Number(info.u64()), flags: info.u16() }
    if (kind === INFO.BLOCK_SIZE) maxPayloadBytes = payloadLimit(info)
  }
  if (found === undefined || !Number.isSafeInteger(found.sizeBytes)) {
    throw new MalformedPacket('NBD export information', 0, 'no usable size')
  }
  return { ...found, maxPayloadBytes }
}

function payloadLimit(info: ByteReader): number {
  const [minimum, , maximum] = [info.u32(), info.u32(), info.u32()]
  if (minimum > LARGEST_MINIMUM_BYTES) {
    throw new NbdRefused(`the NBD server wants blocks of ${minimum} bytes: at most ${LARGEST_MINIMUM_BYTES}`)
  }
  const limit = Math.min(maximum, MAX_PAYLOAD_BYTES)
  return Math.max(limit - (limit % LARGEST_MINIMUM_BYTES), LARGEST_MINIMUM_BYTES)
}

interface Reply {
  readonly type: number
  readonly content: Buffer
}

/** Sends an option; its replies up to the last, and the words of a refusal. */
async function ask(
  channel: ServerChannel,
  option: number,
  content?: Uint8Array,
): Promise<{ replies: Reply[]; error: string | undefined }> {
  channel.send(encodeOption(option, content))
  const replies: Reply[] = []
  for (;;) {
    const { type, length } = decodeOptionReply(await channel.received.take(OPTION_REPLY_BYTES))
    const reply = { type, content: await channel.received.take(length) }
    if (type === REP.ACK) return { replies, error: undefined }
    if (type >= REP.ERR_UNSUP) return { replies, error: reply.content.toString() || `error ${type & 0xffff}` }
    replies.push(reply)
  }
}

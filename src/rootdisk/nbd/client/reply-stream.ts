import { MalformedPacket } from '../../../wire/malformed-packet.js'
import { CHUNK, CHUNK_DONE, CHUNK_ERROR, MAGIC } from '../protocol.js'

/** Largest content of a chunk that is not read data: descriptors and messages. */
const MAX_CHUNK_BYTES = 1 << 20

/** Where the parts of replies go; a cookie that nobody waits for is refused by throwing MalformedPacket. */
export interface ReplySink {
  /** Of a simple reply: where the data goes that follows, empty when none does. */
  simple(cookie: bigint, error: number): Uint8Array
  /** Where data at `offset` of the disk goes. */
  placeFor(cookie: bigint, offset: number, length: number): Uint8Array
  hole(cookie: bigint, offset: number, length: number): void
  /** Pairs of length and flags, in the order of the disk. */
  status(cookie: bigint, descriptors: Buffer): void
  error(cookie: bigint, error: number): void
  /** The reply is whole. */
  done(cookie: bigint): void
}

/**
 * The replies of a server as one endless walk: each step names the memory that the next bytes go to.
 * @throws MalformedPacket for what is no reply
 */
export function* replySteps(sink: ReplySink): Generator<Uint8Array, never, undefined> {
  const header = Buffer.alloc(20)
  for (;;) {
    yield header.subarray(0, 16) // what simple replies and chunks have alike
    const magic = header.readUInt32BE(0)
    const cookie = header.readBigUInt64BE(8)
    if (magic === MAGIC.SIMPLE_REPLY) {
      yield sink.simple(cookie, header.readUInt32BE(4))
      sink.done(cookie)
    } else if (magic === MAGIC.STRUCTURED_REPLY) {
      yield header.subarray(16)
      const type = header.readUInt16BE(6)
      yield* chunkSteps(sink, cookie, type, header.readUInt32BE(16))
      if ((header.readUInt16BE(4) & CHUNK_DONE) !== 0) sink.done(cookie)
    } else {
      throw new MalformedPacket('NBD reply', 0, 'bad magic')
    }
  }
}

function* chunkSteps(
  sink: ReplySink,
  cookie: bigint,
  type: number,
  length: number,
): Generator<Uint8Array, void, undefined> {
  const least = type >= CHUNK_ERROR ? 6 : LEAST_BYTES.get(type)
  if (least === undefined || length < least || (type === CHUNK.NONE && length > 0)) {
    throw new MalformedPacket('NBD chunk', 6, `type ${type} with ${length} bytes`)
  }
  if (type === CHUNK.OFFSET_DATA) {
    const offset = Buffer.alloc(8)
    yield offset
    yield sink.placeFor(cookie, Number(offset.readBigUInt64BE()), length - 8)
  } else {
    if (length > MAX_CHUNK_BYTES) throw new MalformedPacket('NBD chunk', 16, `${length} bytes`)
    const content = Buffer.alloc(length)
    yield content
    tell(sink, cookie, type, content)
  }
}

function tell(sink: ReplySink, cookie: bigint, type: number, content: Buffer): void {
  if (type >= CHUNK_ERROR) sink.error(cookie, content.readUInt32BE(0))
  else if (type === CHUNK.BLOCK_STATUS) sink.status(cookie, content.subarray(4))
  else if (type === CHUNK.OFFSET_HOLE) {
    sink.hole(cookie, Number(content.readBigUInt64BE(0)), content.readUInt32BE(8))
  }
}

/** A hole's content is exact in all servers; more would be skipped. */
const LEAST_BYTES: ReadonlyMap<number, number> = new Map([
  [CHUNK.NONE, 0],
  [CHUNK.OFFSET_DATA, 9],
  [CHUNK.OFFSET_HOLE, 12],
  [CHUNK.BLOCK_STATUS, 12],
])

/** Feeds a walk of {@link replySteps} with a byte stream, copying each byte once. */
export class ReplyStream {
  readonly #steps: Generator<Uint8Array, never, undefined>
  #place: Uint8Array
  #filled = 0

  constructor(sink: ReplySink) {
    this.#steps = replySteps(sink)
    this.#place = this.#steps.next().value
  }

  /** Takes all of `chunk`. @throws MalformedPacket; the stream is lost then */
  feed(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      const taken = Math.min(this.#place.length - this.#filled, chunk.length - at)
      this.#place.set(chunk.subarray(at, at + taken), this.#filled)
      this.#filled += taken
      at += taken
      while (this.#filled === this.#place.length) {
        this.#place = this.#steps.next().value
        this.#filled = 0
      }
    }
  }
}

import type { Output } from '../iscsi/output.js'
import { CHUNK, CHUNK_DONE, CHUNK_HEADER_BYTES, MAGIC, SIMPLE_REPLY_BYTES } from './protocol.js'
import type { Request } from './request-parser.js'

/** The part of a request that its replies repeat. */
export type Cookie = Pick<Request, 'cookieHigh' | 'cookieLow'>

/** What an error chunk says besides its number; 0 bytes because clients have the number's name. */
const ERROR_PAYLOAD_BYTES = 6

/** Writes the header of a simple reply at `at` (doc/proto.md "Simple reply message"). */
export function frameSimpleReply(bytes: Buffer, at: number, cookie: Cookie, error: number): void {
  bytes.writeUInt32BE(MAGIC.SIMPLE_REPLY, at)
  bytes.writeUInt32BE(error, at + 4)
  bytes.writeUInt32BE(cookie.cookieHigh, at + 8)
  bytes.writeUInt32BE(cookie.cookieLow, at + 12)
}

/** A chunk's header: its type, whether it is the last of its reply, and how many bytes follow. */
export interface ChunkHeader {
  readonly type: number
  readonly isLast: boolean
  readonly payloadBytes: number
}

/** Writes the header of a chunk at `at` (doc/proto.md "Structured reply chunk message"). */
export function frameChunk(bytes: Buffer, at: number, cookie: Cookie, header: ChunkHeader): void {
  bytes.writeUInt32BE(MAGIC.STRUCTURED_REPLY, at)
  bytes.writeUInt16BE(header.isLast ? CHUNK_DONE : 0, at + 4)
  bytes.writeUInt16BE(header.type, at + 6)
  bytes.writeUInt32BE(cookie.cookieHigh, at + 8)
  bytes.writeUInt32BE(cookie.cookieLow, at + 12)
  bytes.writeUInt32BE(header.payloadBytes, at + 16)
}

/** Writes an offset as 64 bits. */
export function putOffset(bytes: Buffer, at: number, offset: number): void {
  bytes.writeUInt32BE(Math.floor(offset / 2 ** 32), at)
  bytes.writeUInt32BE(offset % 2 ** 32, at + 4)
}

/** A whole simple reply without data. */
export function sendSimpleReply(output: Output, cookie: Cookie, error: number): void {
  const at = output.room(SIMPLE_REPLY_BYTES)
  frameSimpleReply(output.bytes, at, cookie, error)
  output.commit(SIMPLE_REPLY_BYTES)
}

/** The chunk that ends a structured reply: an error, or nothing when `error` is 0. */
export function sendLastChunk(output: Output, cookie: Cookie, error: number): void {
  const payloadBytes = error === 0 ? 0 : ERROR_PAYLOAD_BYTES
  const at = output.room(CHUNK_HEADER_BYTES + payloadBytes)
  const type = error === 0 ? CHUNK.NONE : CHUNK.ERROR
  frameChunk(output.bytes, at, cookie, { type, isLast: true, payloadBytes })
  if (error !== 0) {
    output.bytes.writeUInt32BE(error, at + CHUNK_HEADER_BYTES)
    output.bytes.writeUInt16BE(0, at + CHUNK_HEADER_BYTES + 4)
  }
  output.commit(CHUNK_HEADER_BYTES + payloadBytes)
}

/** A range that reads as zeros, without its bytes. */
export function sendHole(
  output: Output,
  cookie: Cookie,
  range: { readonly offset: number; readonly length: number },
  isLast: boolean,
): void {
  const at = output.room(CHUNK_HEADER_BYTES + 12)
  frameChunk(output.bytes, at, cookie, { type: CHUNK.OFFSET_HOLE, isLast, payloadBytes: 12 })
  putOffset(output.bytes, at + CHUNK_HEADER_BYTES, range.offset)
  output.bytes.writeUInt32BE(range.length, at + CHUNK_HEADER_BYTES + 8)
  output.commit(CHUNK_HEADER_BYTES + 12)
}

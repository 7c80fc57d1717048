import type { FastifyReply, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import type { BootFile } from './boot-files.js'

/** Bytes read at a time. */
const READ_BYTES = 256 << 10

/** Bytes `first` to `last`, both included. */
interface ByteRange {
  readonly first: number
  readonly last: number
}

/**
 * Answers a GET or HEAD with a file: whole, one range of it (206), or what is wrong with the range (416); 304 when the
 * client has it (RFC 9110 §13, §14). Always with a Content-Length: UEFI's HTTP boot asks for it by HEAD. Closes the file.
 * @param onBeginning called before the first byte of the file is sent; of one fetched in pieces, for the first alone
 */
export async function sendBootFile(
  request: FastifyRequest,
  reply: FastifyReply,
  file: BootFile,
  onBeginning?: () => void,
): Promise<FastifyReply> {
  const { etag, sizeBytes } = file
  void reply.type('application/octet-stream').header('accept-ranges', 'bytes')
  if (etag !== undefined) void reply.header('etag', etag)
  const range = wantedRange(request, file)
  if (etag !== undefined && hasIt(request.headers['if-none-match'], etag)) {
    await file.close()
    return reply.code(304).send()
  }
  if (range === 'unsatisfiable') {
    await file.close()
    return reply.code(416).header('content-range', `bytes */${sizeBytes}`).send()
  }
  const { first, last } = range ?? { first: 0, last: sizeBytes - 1 }
  if (range !== undefined) void reply.code(206).header('content-range', `bytes ${first}-${last}/${sizeBytes}`)
  void reply.header('content-length', last - first + 1)
  if (request.method === 'HEAD') {
    await file.close()
    return reply.send(null)
  }
  if (first === 0) onBeginning?.()
  return reply.send(Readable.from(pieces(file, first, last), { objectMode: false }))
}

/** Undefined: the whole file, also for ranges that a server may ignore (several of them, another unit, old version). */
function wantedRange(request: FastifyRequest, file: BootFile): ByteRange | 'unsatisfiable' | undefined {
  const { range } = request.headers
  const condition = request.headers['if-range']
  if (range === undefined || (condition !== undefined && condition !== file.etag)) return undefined
  return parseRange(range, file.sizeBytes)
}

/** One `Range: bytes=...` of a file of `sizeBytes` (RFC 9110 §14.1.2); undefined when it is to be ignored. */
export function parseRange(text: string, sizeBytes: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text.replace(/\s/g, ''))
  if (match === null) return undefined
  const [, from = '', to = ''] = match
  if (from === '') return to === '' ? undefined : suffix(Number(to), sizeBytes)
  const [first, end] = [Number(from), to === '' ? Infinity : Number(to)]
  if (end < first) return undefined
  if (first >= sizeBytes) return 'unsatisfiable'
  return { first, last: Math.min(end, sizeBytes - 1) }
}

function suffix(length: number, sizeBytes: number): ByteRange | 'unsatisfiable' {
  if (length === 0 || sizeBytes === 0) return 'unsatisfiable'
  return { first: Math.max(0, sizeBytes - length), last: sizeBytes - 1 }
}

function hasIt(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  const tags = ifNoneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return tags.includes('*') || tags.includes(etag)
}

async function* pieces(file: BootFile, first: number, last: number): AsyncGenerator<Uint8Array> {
  try {
    for (let offset = first; offset <= last; offset += READ_BYTES) {
      yield await file.read(offset, Math.min(READ_BYTES, last + 1 - offset))
    }
  } finally {
    await file.close()
  }
}

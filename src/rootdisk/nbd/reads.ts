import type { Extent } from '../block-device.js'
import type { Region } from '../iscsi/output.js'
import { errorNumber } from './failure.js'
import type { Link } from './link.js'
import { CHUNK, CHUNK_HEADER_BYTES, COMMAND_FLAG, SIMPLE_REPLY_BYTES } from './protocol.js'
import {
  frameChunk,
  frameSimpleReply,
  putOffset,
  sendHole,
  sendLastChunk,
  sendSimpleReply,
} from './replies.js'
import type { Request } from './request-parser.js'

/** Longest piece that a device fills at once: with its header it fits an output slab. */
const PIECE_BYTES = (1 << 20) - 4096
/** A hole shorter than that is sent as bytes: asking for extents and a chunk of its own cost more. */
const SMALLEST_HOLE_BYTES = 64 << 10
const DATA_HEADER_BYTES = CHUNK_HEADER_BYTES + 8

interface Piece {
  readonly offset: number
  readonly length: number
  readonly isHole: boolean
}

/** A reply of several chunks, in whatever order the device fills them. */
interface Chunked {
  readonly request: Request
  left: number
  error: number
}

/** Reads from a device straight into the output; no promise and no copy while the device answers at once. */
export class Reads {
  readonly #link: Link
  /** Reads that wait for the device. */
  pending = 0

  constructor(link: Link) {
    this.#link = link
  }

  /** Runs a read that was found good. */
  start(request: Request): void {
    const { isStructured, output } = this.#link
    const { offset, length, flags } = request
    const isOne = !isStructured || (flags & COMMAND_FLAG.DF) !== 0
    if (isStructured && length === 0) sendLastChunk(output, request, 0)
    else if (length < SMALLEST_HOLE_BYTES || (isOne && length <= PIECE_BYTES)) {
      this.#piece({ request, left: 1, error: 0 }, { offset, length, isHole: false })
    } else if (isOne) this.#whole(request)
    else this.#chunked(request)
  }

  #chunked(request: Request): void {
    const extents = this.#link.device.extents(request.offset, request.length)
    if (extents instanceof Promise) void this.#chunkedLater(request, extents)
    else this.#sendChunks(request, extents)
  }

  async #chunkedLater(request: Request, asked: Promise<readonly Extent[]>): Promise<void> {
    let extents: readonly Extent[] = []
    const error = await this.#settled(asked.then((found) => void (extents = found)))
    if (error !== 0) this.#fail(request, error)
    else if (!this.#link.isClosed) this.#sendChunks(request, extents)
    this.#link.onProgress()
  }

  #sendChunks(request: Request, extents: readonly Extent[]): void {
    const pieces = piecesOf(request, extents)
    const reply = { request, left: pieces.length, error: 0 }
    for (const piece of pieces) {
      if (piece.isHole) {
        sendHole(this.#link.output, request, piece, reply.left === 1 && reply.error === 0)
        this.#ended(reply, 0)
      } else {
        this.#piece(reply, piece)
      }
    }
  }

  /** Bytes before the first data of a reply, or of a chunk. */
  get #headerBytes(): number {
    return this.#link.isStructured ? DATA_HEADER_BYTES : SIMPLE_REPLY_BYTES
  }

  #piece(reply: Chunked, piece: Piece): void {
    const { output, device } = this.#link
    const header = this.#headerBytes
    const size = header + piece.length
    const at = output.room(size)
    let done: undefined | Promise<void>
    try {
      done = device.read(piece.offset, output.bytes.subarray(at + header, at + size))
    } catch (err) {
      this.#ended(reply, errorNumber(this.#link, err))
      return
    }
    if (done !== undefined) {
      void this.#pieceLater(reply, piece, { done, region: output.detach(size) })
      return
    }
    this.#frame(output.bytes, at, reply, piece)
    output.commit(size)
    this.#ended(reply, 0)
  }

  async #pieceLater(
    reply: Chunked,
    piece: Piece,
    { done, region }: { done: Promise<void>; region: Region },
  ): Promise<void> {
    const error = await this.#settled(done)
    const { output, isClosed } = this.#link
    if (error === 0 && !isClosed) {
      this.#frame(region.slab.bytes, region.start, reply, piece)
      output.attach(region, region.end - region.start)
    } else {
      output.discard(region)
    }
    this.#ended(reply, error)
    this.#link.onProgress()
  }

  /** The last good piece says that the reply is over, unless an error has to. */
  #ended(reply: Chunked, error: number): void {
    reply.left--
    if (reply.error === 0) reply.error = error
    if (reply.left === 0 && reply.error !== 0) this.#fail(reply.request, reply.error)
  }

  #fail(request: Request, error: number): void {
    const { output, isClosed, isStructured } = this.#link
    if (!isClosed) (isStructured ? sendLastChunk : sendSimpleReply)(output, request, error)
  }

  /** One header and then all of the data in order: nothing may be sent before all of it is read. */
  #whole(request: Request): void {
    const { output, device } = this.#link
    const regions: Region[] = []
    const waits: Promise<void>[] = []
    let error = 0
    for (let read = 0; read < request.length && error === 0;) {
      const header = read === 0 ? this.#headerBytes : 0
      const bytes = Math.min(request.length - read, PIECE_BYTES)
      const at = output.room(header + bytes)
      const into = output.bytes.subarray(at + header, at + header + bytes)
      regions.push(output.detach(header + bytes))
      try {
        const done = device.read(request.offset + read, into)
        if (done !== undefined) waits.push(done)
      } catch (err) {
        error = errorNumber(this.#link, err)
      }
      read += bytes
    }
    if (waits.length === 0) this.#sendWhole(request, regions, error)
    else void this.#wholeLater(request, regions, waits, error)
  }

  async #wholeLater(
    request: Request,
    regions: readonly Region[],
    waits: readonly Promise<void>[],
    failed: number,
  ): Promise<void> {
    const errors = await Promise.all(waits.map((wait) => this.#settled(wait)))
    this.#sendWhole(request, regions, failed === 0 ? (errors.find((error) => error !== 0) ?? 0) : failed)
    this.#link.onProgress()
  }

  #sendWhole(request: Request, regions: readonly Region[], error: number): void {
    const { output, isClosed } = this.#link
    const [first] = regions
    if (error !== 0 || isClosed || first === undefined) {
      for (const region of regions) output.discard(region)
      this.#fail(request, error)
      return
    }
    this.#frame(first.slab.bytes, first.start, { request, left: 1, error: 0 }, request)
    for (const region of regions) output.attach(region, region.end - region.start)
  }

  #frame(bytes: Buffer, at: number, reply: Chunked, range: { offset: number; length: number }): void {
    if (!this.#link.isStructured) {
      frameSimpleReply(bytes, at, reply.request, 0)
      return
    }
    const isLast = reply.left === 1 && reply.error === 0
    frameChunk(bytes, at, reply.request, { type: CHUNK.OFFSET_DATA, isLast, payloadBytes: 8 + range.length })
    putOffset(bytes, at + CHUNK_HEADER_BYTES, range.offset)
  }

  async #settled(done: Promise<void>): Promise<number> {
    this.pending++
    try {
      await done
      return 0
    } catch (err) {
      return errorNumber(this.#link, err)
    } finally {
      this.pending--
    }
  }
}

function piecesOf({ offset, length }: Request, extents: readonly Extent[]): readonly Piece[] {
  const pieces: Piece[] = []
  let dataFrom = offset
  const addData = (to: number): void => {
    for (; dataFrom < to; dataFrom += PIECE_BYTES) {
      pieces.push({ offset: dataFrom, length: Math.min(to - dataFrom, PIECE_BYTES), isHole: false })
    }
  }
  for (const extent of extents) {
    if (extent.kind === 'data' || extent.length < SMALLEST_HOLE_BYTES) continue
    addData(extent.offset)
    pieces.push({ offset: extent.offset, length: extent.length, isHole: true })
    dataFrom = extent.offset + extent.length
  }
  addData(offset + length)
  return pieces
}

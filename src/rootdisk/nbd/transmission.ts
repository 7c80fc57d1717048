import { sendBlockStatus } from './block-status.js'
import { errorNumber } from './failure.js'
import type { Link } from './link.js'
import { COMMAND, COMMAND_FLAG, MAX_PAYLOAD_BYTES, NBD_ERROR } from './protocol.js'
import { Reads } from './reads.js'
import { sendLastChunk, sendSimpleReply } from './replies.js'
import type { Request, RequestSink } from './request-parser.js'

/** Bytes of one connection that wait for the device or for the client; beyond, no request is taken. */
const MAX_WAITING_BYTES = 16 << 20
/** Requests of one connection that wait for the device. */
const MAX_WAITING_REQUESTS = 1024
const ZEROS = Buffer.alloc(1 << 20)
const NOTHING = new Uint8Array()

const { FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO } = COMMAND_FLAG
/** What a command may have; FUA is allowed on all of them and means nothing where nothing is written. */
const RULES: ReadonlyMap<number, { readonly flags: number; readonly isWriting: boolean }> = new Map([
  [COMMAND.READ, { flags: FUA | DF, isWriting: false }],
  [COMMAND.WRITE, { flags: FUA, isWriting: true }],
  [COMMAND.FLUSH, { flags: FUA, isWriting: false }],
  [COMMAND.TRIM, { flags: FUA, isWriting: true }],
  [COMMAND.CACHE, { flags: FUA, isWriting: false }],
  [COMMAND.WRITE_ZEROES, { flags: FUA | NO_HOLE | FAST_ZERO, isWriting: true }],
  [COMMAND.BLOCK_STATUS, { flags: FUA | REQ_ONE, isWriting: false }],
])

/** Executes the requests of one connection. */
export class Transmission implements RequestSink {
  /** The export is no more: requests are answered with ESHUTDOWN. */
  isGone = false
  readonly #link: Link
  readonly #reads: Reads
  readonly #onDisconnect: () => void
  #waiting = 0
  #waitingBytes = 0
  /** Data of the write that is being received or was just received. */
  #buffer: Buffer | undefined
  #isEnding = false

  /** @param onDisconnect called for the client's DISC; requests before it are still answered */
  constructor(link: Link, onDisconnect: () => void) {
    this.#link = link
    this.#reads = new Reads(link)
    this.#onDisconnect = onDisconnect
  }

  get isHeld(): boolean {
    const bytes = this.#waitingBytes + this.#link.output.backlogBytes
    return bytes > MAX_WAITING_BYTES || this.waiting > MAX_WAITING_REQUESTS
  }

  /** Requests that the device works on. */
  get waiting(): number {
    return this.#waiting + this.#reads.pending
  }

  placeFor(request: Request): Uint8Array | undefined {
    if (this.#isEnding || this.#refusal(request) !== 0) return undefined
    this.#buffer = this.#link.buffers.take(request.length)
    return this.#buffer.subarray(0, request.length)
  }

  onRequest(request: Request, data: Uint8Array | undefined): void {
    const buffer = this.#buffer
    this.#buffer = undefined
    if (this.#isEnding) {
      this.#giveBack(buffer)
      return
    }
    if (request.type === COMMAND.DISC) {
      this.#isEnding = true
      this.#onDisconnect()
      return
    }
    const error = this.#refusal(request) || dropped(request, data)
    if (error !== 0) {
      this.#answer(request, error)
      this.#giveBack(buffer)
    } else if (request.type === COMMAND.READ) {
      this.#reads.start(request)
    } else {
      this.#run(request, data, buffer)
    }
  }

  /** The connection is gone: a half received write is dropped. */
  drop(): void {
    this.#isEnding = true
    this.#giveBack(this.#buffer)
    this.#buffer = undefined
  }

  #run(request: Request, data: Uint8Array | undefined, buffer: Buffer | undefined): void {
    let done: undefined | Promise<void>
    try {
      done = this.#execute(request, data)
    } catch (err) {
      this.#answer(request, errorNumber(this.#link, err))
      this.#giveBack(buffer)
      return
    }
    if (done !== undefined) {
      void this.#later(request, done, buffer)
      return
    }
    this.#answer(request, 0)
    this.#giveBack(buffer)
  }

  async #later(request: Request, done: Promise<void>, buffer: Buffer | undefined): Promise<void> {
    const bytes = buffer?.length ?? 0
    this.#waiting++
    this.#waitingBytes += bytes
    let error = 0
    try {
      await done
    } catch (err) {
      error = errorNumber(this.#link, err)
    }
    this.#waiting--
    this.#waitingBytes -= bytes
    this.#giveBack(buffer)
    const isAnswered = error === 0 && request.type === COMMAND.BLOCK_STATUS
    if (!this.#link.isClosed && !isAnswered) this.#answer(request, error)
    this.#link.onProgress()
  }

  #execute(request: Request, data: Uint8Array | undefined): undefined | Promise<void> {
    const { device } = this.#link
    const { type, offset, length } = request
    switch (type) {
      case COMMAND.WRITE:
        return this.#fua(request, device.write(offset, data ?? NOTHING))
      case COMMAND.TRIM:
        return this.#fua(request, device.unmap(offset, length))
      case COMMAND.WRITE_ZEROES:
        return this.#fua(request, this.#writeZeroes(request))
      case COMMAND.CACHE:
        return this.#cache(request)
      case COMMAND.BLOCK_STATUS:
        return sendBlockStatus(this.#link, request)
      default:
        return device.flush()
    }
  }

  #fua(request: Request, done: undefined | Promise<void>): undefined | Promise<void> {
    if ((request.flags & FUA) === 0) return done
    const { device } = this.#link
    return done === undefined ? device.flush() : done.then(() => device.flush())
  }

  /** A hole reads as zeros and costs no write, so only NO_HOLE is slow and refused to FAST_ZERO. */
  #writeZeroes({ flags, offset, length }: Request): undefined | Promise<void> {
    const { device } = this.#link
    if ((flags & NO_HOLE) === 0) return device.unmap(offset, length)
    return this.#inPieces(offset, length, (at, bytes) => device.write(at, ZEROS.subarray(0, bytes)))
  }

  /** Reading is what fills whatever cache the device has. */
  #cache({ offset, length }: Request): Promise<void> {
    const buffer = this.#link.buffers.take(Math.min(length, ZEROS.length))
    const { device, buffers } = this.#link
    const done = this.#inPieces(offset, length, (at, bytes) => device.read(at, buffer.subarray(0, bytes)))
    return done.finally(() => buffers.give(buffer))
  }

  async #inPieces(
    offset: number,
    length: number,
    each: (offset: number, length: number) => undefined | Promise<void>,
  ): Promise<void> {
    for (let done = 0; done < length && !this.#link.isClosed; done += ZEROS.length) {
      await each(offset + done, Math.min(length - done, ZEROS.length))
    }
  }

  /** Why a request is not even tried, as an error number; 0 when it is. */
  #refusal(request: Request): number {
    const { type, flags } = request
    const rule = RULES.get(type)
    if (this.isGone) return NBD_ERROR.ESHUTDOWN
    if (rule === undefined || (flags & ~rule.flags) !== 0) return NBD_ERROR.EINVAL
    if (rule.isWriting && this.#link.device.isReadOnly) return NBD_ERROR.EPERM
    return type === COMMAND.FLUSH ? 0 : this.#rangeRefusal(request, rule.isWriting)
  }

  #rangeRefusal({ type, flags, offset, length }: Request, isWriting: boolean): number {
    const { device, hasAllocation } = this.#link
    if (offset + length > device.sizeBytes) return isWriting ? NBD_ERROR.ENOSPC : NBD_ERROR.EINVAL
    if (type === COMMAND.READ && length > MAX_PAYLOAD_BYTES) {
      return (flags & DF) === 0 ? NBD_ERROR.EINVAL : NBD_ERROR.EOVERFLOW
    }
    if (type === COMMAND.BLOCK_STATUS) return hasAllocation && length > 0 ? 0 : NBD_ERROR.EINVAL
    const isSlow = (flags & (FAST_ZERO | NO_HOLE)) === (FAST_ZERO | NO_HOLE)
    return isSlow ? NBD_ERROR.ENOTSUP : 0
  }

  #answer(request: Request, error: number): void {
    const { output, isStructured } = this.#link
    const isChunk = request.type === COMMAND.READ || request.type === COMMAND.BLOCK_STATUS
    if (isStructured && isChunk) sendLastChunk(output, request, error)
    else sendSimpleReply(output, request, error)
  }

  #giveBack(buffer: Buffer | undefined): void {
    if (buffer !== undefined) this.#link.buffers.give(buffer)
  }
}

/** A write that was refused when its data began to come stays refused, whatever the device became since. */
function dropped({ type, length }: Request, data: Uint8Array | undefined): number {
  return type === COMMAND.WRITE && length > 0 && data === undefined ? NBD_ERROR.EIO : 0
}

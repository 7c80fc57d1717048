import { BlockError, type BlockErrorKind, type Extent } from '../../block-device.js'
import { MalformedPacket } from '../../../wire/malformed-packet.js'
import { ALLOCATION, COMMAND, NBD_ERROR, MAGIC, REQUEST_BYTES } from '../protocol.js'

/** What a client asks of a server; kept until it is answered, so that another connection may ask it again. */
export interface Wish {
  readonly type: number
  readonly flags: number
  readonly offset: number
  readonly length: number
  /** Of a write: its data. */
  readonly data?: Uint8Array
  /** Of a read: where its data goes. */
  readonly into?: Uint8Array
}

const KINDS = new Map<number, BlockErrorKind>([
  [NBD_ERROR.ENOSPC, 'no-space'],
  [NBD_ERROR.EPERM, 'read-only'],
])

/** One wish on its way. */
export class Operation {
  readonly wish: Wish
  readonly done: Promise<void>
  /** Of a block status: as far as the server told. */
  extents: Extent[] = []
  #error = 0
  #receivedBytes = 0
  #settle: ((failure?: BlockError) => void) | undefined

  constructor(wish: Wish) {
    this.wish = wish
    this.done = new Promise((resolve, reject) => {
      this.#settle = (failure) => {
        if (failure === undefined) resolve()
        else reject(failure)
      }
    })
  }

  /** Forgets what a lost connection had answered. */
  reset(): void {
    this.extents = []
    this.#error = 0
    this.#receivedBytes = 0
  }

  /** Where `length` bytes of the disk at `offset` go. @throws MalformedPacket when nobody asked for them */
  placeFor(offset: number, length: number): Uint8Array {
    const { into } = this.wish
    const at = offset - this.wish.offset
    if (into === undefined || at < 0 || at + length > into.length) {
      throw new MalformedPacket('NBD chunk', 20, `${length} bytes of ${offset} were not asked for`)
    }
    this.#receivedBytes += length
    return into.subarray(at, at + length)
  }

  /** Takes a block status. @throws MalformedPacket when it is none of this range */
  describe(descriptors: Buffer): void {
    let at = this.wish.offset
    for (let i = 0; i + 8 <= descriptors.length; i += 8) {
      const length = descriptors.readUInt32BE(i)
      const isZero = (descriptors.readUInt32BE(i + 4) & ALLOCATION.ZERO) !== 0
      if (length === 0) throw new MalformedPacket('NBD block status', i, 'an extent of no length')
      this.extents.push({ offset: at, length, kind: isZero ? 'zero' : 'data' })
      at += length
    }
  }

  failed(error: number): void {
    if (this.#error === 0) this.#error = error === 0 ? NBD_ERROR.EIO : error
  }

  /** The reply is whole. @throws MalformedPacket when data of a good read is missing */
  finish(): void {
    const { type, length, offset } = this.wish
    if (this.#error !== 0) {
      this.fail(failureOf(this.#error, this.wish))
      return
    }
    const isShort = type === COMMAND.READ && this.#receivedBytes !== length
    if (isShort || (type === COMMAND.BLOCK_STATUS && this.extents.length === 0)) {
      throw new MalformedPacket('NBD reply', 0, `not all of ${length} bytes at ${offset} came`)
    }
    this.#settle?.()
  }

  /** Gives up on it. */
  fail(failure: BlockError): void {
    this.#settle?.(failure)
  }
}

/** The header that asks for it. */
export function encodeRequest({ type, flags, offset, length }: Wish, cookie: bigint): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES)
  bytes.writeUInt32BE(MAGIC.REQUEST, 0)
  bytes.writeUInt16BE(flags, 4)
  bytes.writeUInt16BE(type, 6)
  bytes.writeBigUInt64BE(cookie, 8)
  bytes.writeBigUInt64BE(BigInt(offset), 16)
  bytes.writeUInt32BE(length, 24)
  return bytes
}

function failureOf(error: number, { offset, length }: Wish): BlockError {
  return new BlockError(
    KINDS.get(error) ?? 'medium',
    `the NBD server answered error ${error} for ${length} bytes at ${offset}`,
  )
}

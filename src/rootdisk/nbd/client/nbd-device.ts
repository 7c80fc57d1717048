import type { Clock } from '../../../clock.js'
import { BlockError, type BlockDevice, type Extent } from '../../block-device.js'
import { COMMAND, EXPORT_FLAG } from '../protocol.js'
import { Operation, type Wish } from './operation.js'
import { ServerConnection, type NbdLocation } from './server-connection.js'
import { Unflushed } from './unflushed.js'

/** How patient a device is. */
export interface NbdPatience {
  /** For one attempt to connect. Default 10000. */
  readonly attemptMs?: number
  /** Requests wait that long for a server that was lost, then they fail; it is looked for until close. Default 30000. */
  readonly outageMs?: number
  /** Called for every attempt that failed and every return. */
  readonly onConnection?: (state: 'lost' | 'back', cause?: Error) => void
}

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2000
/** Changes kept for a server that may lose them; beyond, a flush is asked for and writes wait for it. */
const MAX_UNFLUSHED_BYTES = 64 << 20
/** Longest range of a request without data: a multiple of every block size. */
const MAX_RANGE_BYTES = 1 << 30
const ZEROS = new Uint8Array(1 << 20)

/**
 * A disk behind any NBD server. A server that goes away is waited for: requests in flight are made again, and so are
 * changes that it had acknowledged but not flushed. The disk's size is read anew at each return.
 */
export class NbdDevice implements BlockDevice {
  readonly #location: NbdLocation
  readonly #clock: Clock
  readonly #patience: NbdPatience
  readonly #unflushed = new Unflushed()
  /** In the order they were asked for. */
  readonly #pending = new Set<Operation>()
  #remote: ServerConnection['remote']
  /** Undefined while the server is away, and while old changes are made again. */
  #connection: ServerConnection | undefined
  #isClosed = false
  #isGivenUp = false
  #flushing: Promise<void> | undefined
  #onClose: (() => void) | undefined

  private constructor(location: NbdLocation, clock: Clock, patience: NbdPatience, first: ServerConnection) {
    this.#location = location
    this.#clock = clock
    this.#patience = patience
    this.#remote = first.remote
    this.#use(first)
  }

  /** Attaches an export. @throws MalformedPacket, NbdRefused or what connecting fails with */
  static async open(location: NbdLocation, clock: Clock, patience: NbdPatience = {}): Promise<NbdDevice> {
    const first = await ServerConnection.open(location, clock, patience.attemptMs ?? 10_000)
    return new NbdDevice(location, clock, patience, first)
  }

  get sizeBytes(): number {
    return this.#remote.sizeBytes
  }

  get isReadOnly(): boolean {
    return this.#has(EXPORT_FLAG.READ_ONLY)
  }

  read(offset: number, into: Uint8Array): undefined | Promise<void> {
    if (into.length === 0) return undefined
    return this.#inParts(offset, into.length, this.#remote.maxPayloadBytes, (at, length) => {
      const part = into.subarray(at - offset, at - offset + length)
      return this.#ask({ type: COMMAND.READ, flags: 0, offset: at, length, into: part }).done
    })
  }

  write(offset: number, from: Uint8Array): undefined | Promise<void> {
    if (from.length === 0) return undefined
    return this.#inParts(offset, from.length, this.#remote.maxPayloadBytes, (at, length) => {
      const data = from.subarray(at - offset, at - offset + length)
      return this.#change({ type: COMMAND.WRITE, flags: 0, offset: at, length, data })
    })
  }

  flush(): undefined | Promise<void> {
    if (!this.#has(EXPORT_FLAG.SEND_FLUSH)) return undefined // such a server has nothing to flush
    const covered = this.#unflushed.last
    const { done } = this.#ask({ type: COMMAND.FLUSH, flags: 0, offset: 0, length: 0 })
    return done.then(() => this.#unflushed.flushed(covered))
  }

  /** Zeros, and a hole where the server can make one: TRIM promises nothing of what is read later. */
  unmap(offset: number, length: number): undefined | Promise<void> {
    if (length === 0) return undefined
    if (this.#has(EXPORT_FLAG.SEND_WRITE_ZEROES)) {
      return this.#inParts(offset, length, MAX_RANGE_BYTES, (at, bytes) =>
        this.#change({ type: COMMAND.WRITE_ZEROES, flags: 0, offset: at, length: bytes }),
      )
    }
    const longest = Math.min(ZEROS.length, this.#remote.maxPayloadBytes)
    return this.#inParts(offset, length, longest, (at, bytes) => {
      const data = ZEROS.subarray(0, bytes)
      return this.#change({ type: COMMAND.WRITE, flags: 0, offset: at, length: bytes, data })
    })
  }

  extents(offset: number, length: number): readonly Extent[] | Promise<readonly Extent[]> {
    if (!this.#remote.hasAllocation || length === 0) return [{ offset, length, kind: 'data' }]
    return this.#allExtents(offset, length)
  }

  /** Flushes, then leaves. @throws BlockError when the flush failed */
  async close(): Promise<void> {
    if (this.#isClosed) return
    try {
      if (!this.isReadOnly) await this.flush()
    } finally {
      this.#isClosed = true
      this.#onClose?.()
      this.#failAll(closedError())
      await this.#connection?.close()
    }
  }

  async #allExtents(offset: number, length: number): Promise<readonly Extent[]> {
    const found: Extent[] = []
    const end = offset + length
    for (let at = offset; at < end;) {
      const bytes = Math.min(end - at, MAX_RANGE_BYTES)
      const asked = this.#ask({ type: COMMAND.BLOCK_STATUS, flags: 0, offset: at, length: bytes })
      await asked.done
      for (const extent of asked.extents) {
        if (extent.offset >= end) break
        append(found, { ...extent, length: Math.min(extent.length, end - extent.offset) })
        at = extent.offset + extent.length
      }
    }
    return found
  }

  async #change(wish: Wish): Promise<void> {
    if (this.isReadOnly) throw new BlockError('read-only', 'the NBD export is read-only')
    await this.#ask(wish).done
    if (!this.#has(EXPORT_FLAG.SEND_FLUSH)) return
    this.#unflushed.add(wish)
    if (this.#unflushed.bytes > MAX_UNFLUSHED_BYTES) await this.#flushSoon()
  }

  #flushSoon(): Promise<void> {
    this.#flushing ??= Promise.resolve(this.flush()).finally(() => (this.#flushing = undefined))
    return this.#flushing
  }

  #ask(wish: Wish): Operation {
    const operation = new Operation(wish)
    if (this.#isClosed) operation.fail(closedError())
    else if (this.#isGivenUp) operation.fail(awayError())
    else {
      this.#pending.add(operation)
      const forget = (): void => void this.#pending.delete(operation)
      operation.done.then(forget, forget)
      this.#connection?.ask(operation)
    }
    return operation
  }

  #use(connection: ServerConnection): void {
    this.#connection = connection
    void connection.ended.then(() => {
      this.#connection = undefined
      if (!this.#isClosed) void this.#comeBack()
    })
  }

  /** Looks for the server until it is back or the device is closed. */
  async #comeBack(): Promise<void> {
    this.#patience.onConnection?.('lost')
    const { outageMs = 30_000, attemptMs = 10_000 } = this.#patience
    const patience = this.#clock.after(outageMs, () => {
      this.#isGivenUp = true
      this.#failAll(awayError())
    })
    for (let pauseMs = FIRST_PAUSE_MS; !this.#isClosed; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        await this.#resume(await ServerConnection.open(this.#location, this.#clock, attemptMs))
        break
      } catch (err) {
        this.#patience.onConnection?.('lost', err instanceof Error ? err : new Error(String(err)))
        await this.#pause(pauseMs)
      }
    }
    patience.cancel()
  }

  /** Makes again what the server may have lost, in order, and only then what it never answered. */
  async #resume(connection: ServerConnection): Promise<void> {
    try {
      if (connection.remote.sizeBytes < this.sizeBytes) {
        throw new BlockError('medium', 'the NBD export came back smaller than it was')
      }
      for (const wish of this.#unflushed.wishes()) await askAlone(connection, wish)
      if (this.#isClosed) throw closedError()
    } catch (err) {
      await connection.close()
      throw err
    }
    this.#remote = connection.remote
    this.#isGivenUp = false
    for (const operation of this.#pending) connection.ask(operation)
    this.#use(connection)
    this.#patience.onConnection?.('back')
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(ms, resolve)
      this.#onClose = () => {
        timer.cancel()
        resolve()
      }
    })
  }

  #failAll(failure: BlockError): void {
    for (const operation of this.#pending) operation.fail(failure)
    this.#pending.clear()
  }

  #has(flag: number): boolean {
    return (this.#remote.flags & flag) !== 0
  }

  #inParts(
    offset: number,
    length: number,
    longest: number,
    each: (offset: number, length: number) => Promise<void>,
  ): Promise<void> {
    if (length <= longest) return each(offset, length)
    const parts = Array.from({ length: Math.ceil(length / longest) }, (_, i) =>
      each(offset + i * longest, Math.min(longest, length - i * longest)),
    )
    // All of them, also after a failure: the buffer is ours until the last one ended.
    return Promise.allSettled(parts).then(() => Promise.all(parts).then(ignore))
  }
}

/** Asks where nothing else is asked. @throws BlockError, also when the connection is lost */
async function askAlone(connection: ServerConnection, wish: Wish): Promise<void> {
  const operation = new Operation(wish)
  connection.ask(operation)
  void connection.ended.then(() => operation.fail(awayError()))
  await operation.done
}

function append(found: Extent[], extent: Extent): void {
  const last = found.at(-1)
  if (last?.kind === extent.kind) found[found.length - 1] = { ...last, length: last.length + extent.length }
  else found.push(extent)
}

function awayError(): BlockError {
  return new BlockError('medium', 'the NBD server is away')
}

function closedError(): BlockError {
  return new BlockError('medium', 'the NBD device is closed')
}

function ignore(): void {
  // turns Promise<void[]> into Promise<void>
}

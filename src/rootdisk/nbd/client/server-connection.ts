import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import type { Clock } from '../../../clock.js'
import { MalformedPacket } from '../../../wire/malformed-packet.js'
import { ByteQueue } from '../byte-queue.js'
import { COMMAND } from '../protocol.js'
import { attachExport, type RemoteExport } from './handshake.js'
import { encodeRequest, type Operation } from './operation.js'
import { ReplyStream, type ReplySink } from './reply-stream.js'

/** Where a disk is. */
export interface NbdLocation {
  readonly server: { readonly socketPath: string } | { readonly host: string; readonly port: number }
  readonly exportName: string
  /** Presence asks for TLS: what the server is checked with, and who we are. */
  readonly tls?: Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'servername'>
}

/** What a server has to close its side after our good-bye. */
const CLOSE_LIMIT_MS = 2000

/** One connection to an NBD server in its transmission phase. */
export class ServerConnection implements ReplySink {
  readonly remote: RemoteExport
  /** Resolves when it is lost or closed; nothing that is still open will be answered. */
  readonly ended: Promise<void>
  readonly #clock: Clock
  readonly #socket: Socket
  readonly #open = new Map<bigint, Operation>()
  #cookie = 0n
  #isCorked = false

  private constructor(socket: Socket, remote: RemoteExport, early: Buffer, clock: Clock) {
    this.#clock = clock
    this.#socket = socket
    this.remote = remote
    this.ended = new Promise((resolve) => socket.once('close', () => resolve()))
    const stream = new ReplyStream(this)
    const feed = (chunk: Buffer): void => {
      try {
        stream.feed(chunk)
      } catch (err) {
        socket.destroy(err instanceof Error ? err : undefined)
      }
    }
    socket.removeAllListeners('data').on('data', feed)
    if (early.length > 0) feed(early)
  }

  /** Connects and negotiates, at most `limitMs` long. */
  static async open(location: NbdLocation, clock: Clock, limitMs: number): Promise<ServerConnection> {
    const received = new ByteQueue()
    let socket: Socket
    const watch = (watched: Socket): Socket => {
      const end = (err?: Error): void =>
        received.end(err ?? new Error('the NBD server closed the connection'))
      watched.on('data', (chunk: Buffer) => push(received, watched, chunk))
      return watched.on('error', end).on('close', () => end())
    }
    const { server, tls, exportName } = location
    socket = watch('socketPath' in server ? connectTcp({ path: server.socketPath }) : connectTcp(server))
    socket.setNoDelay(true)
    const timer = clock.after(limitMs, () => socket.destroy(new Error('the NBD server does not answer')))
    const upgrade = (): Promise<void> =>
      new Promise((resolve, reject) => {
        socket.removeAllListeners('data')
        const secured = connectTls({ ...tls, socket }, resolve)
        secured.once('error', reject)
        socket = watch(secured)
      })
    const send = (bytes: Uint8Array): void => void socket.write(bytes)
    try {
      const startTls = tls === undefined ? undefined : upgrade
      const remote = await attachExport({ received, send, startTls }, exportName)
      return new ServerConnection(socket, remote, received.rest(), clock)
    } catch (err) {
      socket.destroy()
      throw err
    } finally {
      timer.cancel()
    }
  }

  /** Sends a wish. */
  ask(operation: Operation): void {
    operation.reset()
    const cookie = ++this.#cookie
    this.#open.set(cookie, operation)
    this.#cork()
    this.#socket.write(encodeRequest(operation.wish, cookie))
    if (operation.wish.data !== undefined) this.#socket.write(operation.wish.data)
  }

  /** Says good-bye, then closes. */
  async close(): Promise<void> {
    const bye = { type: COMMAND.DISC, flags: 0, offset: 0, length: 0 }
    const timer = this.#clock.after(CLOSE_LIMIT_MS, () => this.#socket.destroy())
    if (!this.#socket.destroyed) this.#socket.end(encodeRequest(bye, 0n))
    await this.ended
    timer.cancel()
  }

  simple(cookie: bigint, error: number): Uint8Array {
    const operation = this.#operation(cookie)
    if (error !== 0) operation.failed(error)
    const { into, offset, length } = operation.wish
    return error !== 0 || into === undefined ? new Uint8Array() : operation.placeFor(offset, length)
  }

  placeFor(cookie: bigint, offset: number, length: number): Uint8Array {
    return this.#operation(cookie).placeFor(offset, length)
  }

  hole(cookie: bigint, offset: number, length: number): void {
    this.placeFor(cookie, offset, length).fill(0)
  }

  status(cookie: bigint, descriptors: Buffer): void {
    this.#operation(cookie).describe(descriptors)
  }

  error(cookie: bigint, error: number): void {
    this.#operation(cookie).failed(error)
  }

  done(cookie: bigint): void {
    const operation = this.#operation(cookie)
    this.#open.delete(cookie)
    operation.finish()
  }

  #operation(cookie: bigint): Operation {
    const operation = this.#open.get(cookie)
    if (operation === undefined) throw new MalformedPacket('NBD reply', 8, 'nobody asked for it')
    return operation
  }

  /** What is asked in one turn of the event loop is written at once. */
  #cork(): void {
    if (this.#isCorked) return
    this.#isCorked = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#isCorked = false
      this.#socket.uncork()
    })
  }
}

function push(received: ByteQueue, socket: Socket, chunk: Buffer): void {
  try {
    received.push(chunk)
  } catch (err) {
    socket.destroy(err instanceof Error ? err : undefined)
  }
}

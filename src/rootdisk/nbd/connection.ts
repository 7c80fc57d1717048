import type { Socket } from 'node:net'
import type { Timer } from '../../clock.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { readInPlace } from '../accepted-socket.js'
import { Output } from '../iscsi/output.js'
import { ByteQueue } from './byte-queue.js'
import type { HandedClient } from './handover.js'
import type { Link } from './link.js'
import { Negotiation, type Agreement } from './negotiation.js'
import { RequestParser } from './request-parser.js'
import type { NbdPeer, ServerCore } from './server-core.js'
import { startServerTls, type TlsIdentity } from './tls-upgrade.js'
import { Transmission } from './transmission.js'

/** How a connection comes to us. */
export interface Beginning {
  readonly tls?: TlsIdentity | undefined
  readonly handed?: HandedClient
}

/** What a client that is told to end has to take its answers and go. */
const END_LIMIT_MS = 2000

/** One client from accept to close. */
export class NbdConnection implements NbdPeer {
  readonly remoteAddress: string
  /** Set with the transmission phase. */
  exportName: string | undefined
  exportId: string | undefined
  readonly #core: ServerCore
  readonly #received = new ByteQueue()
  readonly #timer: Timer
  #socket: Socket
  #link: Link | undefined
  #agreement: Agreement | undefined
  #transmission: Transmission | undefined
  #parser: RequestParser | undefined
  #stash: Buffer = Buffer.alloc(0)
  #isFeeding = false
  #isPaused = false
  #isFlushDue = false
  #isEnding = false
  /** What comes is not looked at. */
  #isDeaf = false
  #onIdle: (() => void) | undefined
  #closed: Promise<void> | undefined

  /** @param begun TLS that is asked for before anything else, or what another process has negotiated already */
  constructor(accepted: Socket, core: ServerCore, begun: Beginning) {
    const { tls, handed } = begun
    this.#core = core
    this.remoteAddress = accepted.remoteAddress ?? 'a local client'
    this.#socket = tls === undefined ? this.#readingInPlace(accepted) : this.#reading(accepted)
    this.#timer = core.clock.after(core.negotiationTimeoutMs, () => this.#timedOut())
    if (handed !== undefined) this.#received.push(handed.received)
    void this.#run(begun)
  }

  end(isGone: boolean): Promise<void> {
    if (this.#transmission !== undefined) this.#transmission.isGone = isGone
    this.#isDeaf = !isGone
    if (this.#isDeaf) this.#socket.resume() // to see the client go
    this.#hangUp()
    return this.close(false)
  }

  /** Resolves when no device works for this connection and its export is let go. */
  close(isNow = true): Promise<void> {
    if (isNow) this.#socket.destroy()
    return (this.#closed ??= this.#untilClosed())
  }

  async #run({ tls, handed }: Beginning): Promise<void> {
    try {
      const agreement = handed === undefined ? await this.#negotiate(tls) : await this.#takeUp(handed)
      if (agreement === undefined) this.#hangUp()
      else if (this.#core.handOver === undefined) await this.#transmit(agreement)
      else await this.#handOver(agreement, this.#core.handOver)
    } catch (err) {
      this.#failed(err)
    }
  }

  #negotiate(tls: TlsIdentity | undefined): Promise<Agreement | undefined> {
    const startTls = tls === undefined ? undefined : (): Promise<void> => this.#startTls(tls)
    const channel = { received: this.#received, send: this.#send, startTls }
    return new Negotiation(channel, this.#core.exports).run()
  }

  async #takeUp({ exportName, isStructured, hasAllocation }: HandedClient): Promise<Agreement> {
    const found = this.#core.exports.find(exportName)
    if (found === undefined) throw new MalformedPacket('NBD', 0, `the export ${exportName} has gone`)
    return { ...(await found.open()), export: found, isStructured, hasAllocation }
  }

  async #handOver(agreement: Agreement, handOver: NonNullable<ServerCore['handOver']>): Promise<void> {
    const { isStructured, hasAllocation } = agreement
    this.#socket.pause()
    await agreement.release()
    await new Promise((resolve) => this.#socket.write('', resolve)) // what we answered is under way
    const received = Buffer.from(this.#received.rest())
    await handOver({ exportName: agreement.export.name, isStructured, hasAllocation, received }, this.#socket)
  }

  readonly #send = (bytes: Uint8Array): void => {
    this.#socket.write(bytes)
  }

  async #startTls(tls: TlsIdentity): Promise<void> {
    this.#socket.removeAllListeners('data').pause()
    this.#socket = this.#reading(await startServerTls(this.#socket, tls))
  }

  async #transmit(agreement: Agreement): Promise<void> {
    const { device, isStructured, hasAllocation } = agreement
    this.#timer.cancel()
    if (this.#socket.destroyed || this.#isEnding) {
      await agreement.release()
      return
    }
    const { slabs, buffers } = this.#core
    const link: Link = {
      ...{ device, isStructured, hasAllocation, buffers, isClosed: false },
      output: new Output(this.#socket, slabs, () => this.#onProgress()),
      onProgress: () => this.#onProgress(),
      onFault: (err) => this.#core.fault(err),
    }
    this.#link = link
    this.#agreement = agreement
    this.exportName = agreement.export.name
    this.exportId = agreement.export.id
    this.#transmission = new Transmission(link, () => this.#hangUp())
    this.#parser = new RequestParser(this.#transmission)
    this.#core.attached(this, agreement.export.name)
    const early = this.#received.rest()
    this.#onBytes(early, early.length)
  }

  #readingInPlace(accepted: Socket): Socket {
    const buffer = this.#core.receiveBuffer
    const callback = (length: number, bytes: unknown): boolean => this.#onBytes(bytes as Buffer, length)
    return this.#watched(readInPlace(accepted, { buffer, callback }))
  }

  #reading(socket: Socket): Socket {
    socket.on('data', (chunk: Buffer) => {
      if (!this.#onBytes(chunk, chunk.length)) socket.pause()
    })
    return this.#watched(socket.resume())
  }

  #watched(socket: Socket): Socket {
    socket.setNoDelay(true)
    socket.on('error', () => socket.destroy()).on('end', () => socket.destroy())
    return socket.on('close', () => void this.close())
  }

  /** False to be given no more for now. */
  #onBytes(bytes: Buffer, length: number): boolean {
    if (this.#isDeaf) return true
    const transmission = this.#transmission
    if (this.#parser === undefined || transmission === undefined)
      return this.#queue(bytes.subarray(0, length))
    if (this.#stash.length > 0) {
      this.#stash = Buffer.concat([this.#stash, bytes.subarray(0, length)])
      return false
    }
    const taken = this.#feed(bytes, length)
    if (taken < length) this.#stash = Buffer.from(bytes.subarray(taken, length))
    this.#isPaused = transmission.isHeld
    return !this.#isPaused
  }

  #queue(bytes: Uint8Array): boolean {
    try {
      this.#received.push(bytes)
    } catch (err) {
      this.#failed(err)
    }
    return true
  }

  #feed(bytes: Buffer, length: number): number {
    this.#isFeeding = true
    try {
      return this.#parser?.feed(bytes, 0, length) ?? length
    } catch (err) {
      this.#failed(err)
      return length
    } finally {
      this.#isFeeding = false
      this.#link?.output.flush()
    }
  }

  /** What comes outside of a received chunk is written once per turn of the event loop. */
  #onProgress(): void {
    if (this.#isFeeding || this.#isFlushDue) return
    this.#isFlushDue = true
    setImmediate(() => {
      this.#isFlushDue = false
      if (this.#link?.isClosed === false) this.#link.output.flush()
      if (this.#transmission?.waiting === 0) this.#onIdle?.()
      if (this.#isPaused && this.#transmission?.isHeld === false) this.#resume()
    })
  }

  #resume(): void {
    if (this.#isDeaf) return
    const stash = this.#stash
    this.#stash = Buffer.alloc(0)
    const taken = this.#feed(stash, stash.length)
    if (taken < stash.length) this.#stash = stash.subarray(taken)
    if (this.#transmission?.isHeld !== false) return
    this.#isPaused = false
    this.#socket.resume()
  }

  #failed(err: unknown): void {
    if (this.#socket.destroyed) return // it went away, which is no fault of a protocol
    if (err instanceof MalformedPacket) this.#core.protocolError(this, err.message)
    else this.#core.fault(err)
    void this.close()
  }

  #timedOut(): void {
    this.#core.protocolError(this, 'the negotiation took too long')
    void this.close()
  }

  /** Ends the stream once everything that was begun is answered. */
  #hangUp(): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#core.clock.after(END_LIMIT_MS, () => this.#socket.destroy())
    void this.#idle().then(() => {
      if (this.#link?.isClosed === false) this.#link.output.flush()
      this.#socket.end()
    })
  }

  async #idle(): Promise<void> {
    while ((this.#transmission?.waiting ?? 0) > 0) {
      await new Promise<void>((resolve) => (this.#onIdle = resolve))
    }
  }

  async #untilClosed(): Promise<void> {
    this.#timer.cancel()
    if (!this.#socket.destroyed) await new Promise((resolve) => this.#socket.once('close', resolve))
    this.#received.end(new MalformedPacket('NBD handshake', 0, 'the client went away'))
    if (this.#link !== undefined) this.#link.isClosed = true
    this.#transmission?.drop()
    await this.#idle()
    await this.#agreement?.release().catch((err: unknown) => this.#core.fault(err))
    this.#core.left(this)
  }
}

import type { Socket } from 'node:net'
import type { Timer } from '../../clock.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { readInPlace } from '../accepted-socket.js'
import { Channel } from './channel.js'
import { LOGIN_DATA_BYTES } from './first-login.js'
import { FullFeature } from './full-feature.js'
import { LoginPhase, type LoginResult } from './login-phase.js'
import { Output } from './output.js'
import { REJECT_REASON } from './pdu.js'
import { DigestReceiver, HeaderDamaged } from './digest-receiver.js'
import { DigestWriter } from './digest-writer.js'
import { Liveness } from './liveness.js'
import { Inbound } from './inbound.js'
import type { Parameters } from './parameters.js'
import { Receiver, type PduSink } from './receiver.js'
import { sendPing, sendReject } from './responses.js'
import { portalAddress, sendTargets } from './send-targets.js'
import { Session } from './session.js'
import { TaskManagement } from './task-management.js'
import type { ActiveTarget } from './active-target.js'
import { type Peer, type PortalCore } from './portal-core.js'

/** Output that waits for the initiator to take it; beyond this we read no further commands. */
const MAX_BACKLOG_BYTES = 8 << 20
/** TCP asks the other end after this much silence, also where iSCSI pings are not understood. */
const KEEP_ALIVE_MS = 60_000

/** One TCP connection from accept to close; in full feature phase it is its session (RFC 7143: one each). */
export class Connection implements Peer, PduSink {
  initiator = ''
  isid = ''
  /** Target name; '' before login and in discovery. */
  iqn = ''
  isKernel = false
  isLoggedIn = false
  session: Session | undefined
  target: ActiveTarget<Peer> | undefined
  readonly remoteAddress: string
  readonly #core: PortalCore
  readonly #socket: Socket
  readonly #output: Output
  readonly #inbound: Inbound
  readonly #timer: Timer
  readonly #liveness = new Liveness()
  readonly gone: Promise<void>
  #phase: PduSink
  #fullFeature: FullFeature | undefined
  #receiver: Receiver | DigestReceiver
  #isBusy = false
  /** No further command is taken: a planned stop is under way. */
  #isStopped = false
  #isFlushDue = false
  #isEnding = false
  #isSeedRead = false
  #closed: Promise<void> | undefined

  /** @param received what was read from it before, if anything; ours from now on */
  constructor(accepted: Socket, core: PortalCore, received?: Buffer) {
    this.#core = core
    this.remoteAddress = accepted.remoteAddress ?? ''
    this.#receiver = new Receiver(this, LOGIN_DATA_BYTES)
    this.#socket = readInPlace(accepted, {
      buffer: core.receiveBuffer,
      callback: (length, buffer) => this.#onBytes(buffer as Buffer, length),
    })
    this.#inbound = new Inbound(this.#socket, this.#receiver, {
      isHeld: () => this.isHeld,
      onTurnEnd: () => this.#output.flush(),
      onError: (err) => this.#failed(err),
    })
    this.#socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS)
    this.#socket.on('error', () => this.destroy()).on('end', () => this.destroy())
    this.gone = new Promise((resolve) => this.#socket.once('close', resolve))
    void this.gone.then(() => this.close())
    this.#output = new Output(this.#socket, core.slabs, () => this.#onWritten())
    this.#phase = new LoginPhase({
      find: (iqn) => core.targets.find(iqn),
      issued: core.challenges,
      send: (bytes) => this.#send(bytes),
      admit: (result) => this.#admit(result),
      refuse: (reason, status, exchange) => {
        core.loginFailed(this, { ...exchange, check: reason }, status)
        this.end()
      },
      onBusy: (isBusy) => this.#setBusy(isBusy),
    })
    this.#timer = core.clock.after(core.loginTimeoutMs, () => this.#loginTimedOut())
    if (received !== undefined && !this.#onBytes(received, received.length)) this.#socket.pause()
  }

  get isHeld(): boolean {
    return this.#isBusy || this.#isStopped || this.#output.backlogBytes > MAX_BACKLOG_BYTES
  }

  placeFor(bytes: Buffer, at: number, length: number): Uint8Array | undefined {
    if (this.#isEnding) return undefined
    return this.#phase.placeFor(bytes, at, length)
  }

  onPdu(bytes: Buffer, at: number): void {
    if (this.#isEnding) return // nothing counts after a logout or an error
    this.#phase.onPdu(bytes, at)
  }

  /** Closes once everything queued is sent. */
  end(): void {
    this.#isEnding = true
    this.#output.flush()
    this.#socket.end()
    this.#core.clock.after(2000, () => this.destroy())
  }

  /** Takes no further command. */
  hold(): void {
    this.#isStopped = true
  }

  /**
   * Called at a steady pace: an operating system that is silent is pinged, one that stays silent is given up.
   * iPXE ends its connection when it is pinged; TCP keep-alive is for it.
   */
  checkAlive(): void {
    if (!this.isLoggedIn || !this.isKernel || this.#isEnding) return
    if (this.session?.tasks.isBusy === true) return // it may be us who is slow
    const wanted = this.#liveness.turn()
    if (wanted === 'give-up') {
      this.#core.lost(this)
      this.destroy()
    } else if (wanted === 'ping' && this.session !== undefined) {
      sendPing(this.session.channel)
      this.flushLater()
    }
  }

  /** Closes now. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** Ends the connection; resolves when no device works for it and its target has let it go. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#timer.cancel()
    this.#isEnding = true
    this.#socket.destroy()
    await this.session?.end()
    this.#core.leave(this)
  }

  #onBytes(buffer: Buffer, length: number): boolean {
    this.#liveness.heard()
    return this.#isEnding || this.#inbound.take(buffer, length) // when ending read on, to see the end of the stream
  }

  #failed(err: unknown): void {
    if (!(err instanceof MalformedPacket)) {
      this.#core.fault(err)
      this.destroy()
      return
    }
    this.#core.protocolError(this, err.message)
    const { session } = this
    if (session !== undefined && !(err instanceof HeaderDamaged))
      sendReject(session.channel, REJECT_REASON.PROTOCOL_ERROR, this.#receiver.header)
    this.end()
  }

  #onWritten(): void {
    if (this.#output.backlogBytes < MAX_BACKLOG_BYTES / 2) this.#inbound.resume()
  }

  #setBusy(isBusy: boolean): void {
    this.#isBusy = isBusy
    if (!isBusy) this.#inbound.resume()
  }

  #send(bytes: Uint8Array): void {
    const at = this.#output.room(bytes.length)
    this.#output.bytes.set(bytes, at)
    this.#output.commit(bytes.length)
    this.flushLater()
  }

  /** What comes outside of a received chunk is written once per turn of the event loop. */
  flushLater(): void {
    if (this.#inbound.isFeeding || this.#isFlushDue) return
    this.#isFlushDue = true
    setImmediate(() => {
      this.#isFlushDue = false
      this.#output.flush()
      this.#onWritten()
    })
  }

  #loginTimedOut(): void {
    if (this.isLoggedIn) return
    const check = 'the login took too long'
    this.#core.loginFailed(this, { initiator: this.initiator, targetName: this.iqn, check }, 0)
    this.destroy()
  }

  /** The login is right: takes its place on the target, then lets the last response go. */
  async #admit(result: LoginResult): Promise<number> {
    this.initiator = result.exchange.initiator
    this.isid = result.isid
    const { exchange, numbers } = result
    const { target: spec, parameters } = exchange
    this.isKernel = exchange.hasAlias || parameters.peerMaxRecvDataSegmentLength !== 8192
    if (spec !== undefined) {
      this.iqn = spec.iqn
      this.target = await this.#core.join(this, spec)
      if (this.#closed !== undefined) {
        this.#core.leave(this)
        throw new Error('the initiator went away during its login')
      }
    }
    const channel = new Channel(this.#output, parameters, numbers)
    const { target } = this
    if (target !== undefined) {
      const seat = { units: target.units, port: this }
      this.session = new Session(channel, seat, this.#core.buffers, {
        onRead: (lun, lba) => this.#onRead(lun, lba),
        onOutput: () => this.flushLater(),
        onFault: (err) => this.#core.fault(err),
      })
    }
    this.#fullFeature = this.#makeFullFeature(channel)
    this.#phase = this.#fullFeature
    this.#receive(parameters)
    this.isLoggedIn = true
    this.#timer.cancel()
    this.#core.loggedIn(this)
    return this.#core.nextTsih()
  }

  /** Digests, when agreed on, begin with the first PDU behind the login (RFC 7143 §13.1). */
  #receive({ maxRecvDataSegmentLength, headerDigest, dataDigest }: Parameters): void {
    this.#receiver.maxDataBytes = maxRecvDataSegmentLength
    if (!headerDigest && !dataDigest) return
    const digests = { header: headerDigest, data: dataDigest }
    this.#receiver = new DigestReceiver(this, (header) => this.#onDamaged(header), {
      ...digests,
      maxDataBytes: maxRecvDataSegmentLength,
    })
    this.#inbound.receiver = this.#receiver
    this.#output.switchTo(new DigestWriter(this.#socket, digests))
  }

  #onDamaged(header: Buffer): void {
    if (this.#isEnding || this.#fullFeature === undefined) return
    this.#core.dataDamaged(this)
    this.#fullFeature.onDamaged(header)
  }

  #makeFullFeature(channel: Channel): FullFeature {
    const { session, target } = this
    const onOutput = (): void => this.flushLater()
    const taskManagement = session && target && new TaskManagement({ session, target, onOutput })
    return new FullFeature({
      channel,
      session,
      sendTargets: (value) =>
        sendTargets(this.#core.targets.list(), this, value, portalAddress(this.#socket)),
      taskManagement,
      isHeld: () => this.isHeld,
      end: () => this.end(),
    })
  }

  /** The partition table is read by anybody who scans; what lies behind it is the seed (GPT ends at LBA 33). */
  #onRead(lun: number, lba: number): void {
    if (lun !== 1 || this.#isSeedRead || lba < 34 || !this.isKernel) return
    this.#isSeedRead = true
    this.#core.seedRead(this)
  }
}

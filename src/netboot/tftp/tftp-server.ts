import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import type { Logger } from 'pino'
import type { Clock, Timer } from '../../clock.js'
import { DaemonError } from '../../errors.js'
import type { EmitEvent } from '../../events.js'
import type { Service } from '../../service.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { bootPath, type BootFile, type BootFiles } from '../boot-files.js'
import { BlockCaps } from './block-caps.js'
import { DEFAULT_TFTP_LIMITS, negotiate, type TftpLimits } from './negotiate.js'
import { decodeTftp, encodeTftp, TFTP_ERROR, type TftpOptions, type TftpPacket } from './packet.js'
import { TransferReport, type OpenedFile, type TftpCounters } from './transfer-report.js'
import { TransferSession } from './transfer-session.js'
import { TransferSlots, type TransferSlot } from './transfer-slots.js'

/** Where the server listens and how much it takes on. */
export interface TftpServerOptions {
  /** Dotted IPv4 on which machines ask; transfers are answered from it, so it is never the wildcard. */
  readonly address: string
  /** Default 69. Not used with `fd`. */
  readonly port?: number
  /** A bound UDP socket inherited from the service manager; bound to an address, that counts instead of `address`. */
  readonly fd?: number
  /** Machines are told other addresses too: an inherited socket bound to all of them cannot tell which was asked. */
  readonly isOneOfMany?: boolean
  readonly limits?: Partial<TftpLimits>
  /** Default 4. */
  readonly transfersPerClient?: number
  /** Default 1,000. */
  readonly transfersInTotal?: number
}

/** What a TFTP server is made of. */
export interface TftpServerDeps {
  readonly options: TftpServerOptions
  readonly files: BootFiles
  /** A file made for this client (`autoexec.ipxe`), asked before the directories. */
  readonly virtualFile?: (name: string, clientIp: string) => Promise<BootFile | undefined>
  /** Names that clients ask for and do without: no event when there is none. */
  readonly isOptional?: (name: string) => boolean
  readonly emit: EmitEvent
  readonly clock: Clock
  readonly log: Logger
}

type ReadRequest = Extract<TftpPacket, { op: 'rrq' | 'wrq' }>

const TFTP_PORT = 69
const WILDCARD = '0.0.0.0'
const TICK_MS = 200
const RECEIVE_BUFFER_BYTES = 1 << 20
/**
 * A read-only TFTP server (RFC 1350, 2347, 2348, 2349, 7440) on one address. The listening port answers read
 * requests, refuses write requests, and is silent to everything else: two servers that answer errors with errors
 * never stop (CVE-2024-2169).
 */
export class TftpServer implements Service {
  readonly name = 'tftp'
  readonly counters: TftpCounters = {
    requests: 0,
    completed: 0,
    failed: 0,
    refused: 0,
    dropped: 0,
    malformed: 0,
  }
  readonly #deps: TftpServerDeps
  readonly #limits: TftpLimits
  readonly #log: Logger
  readonly #caps = new BlockCaps()
  readonly #report: TransferReport
  readonly #slots: TransferSlots
  readonly #ending = new Set<TransferSession>()
  #socket: Socket | undefined
  /** Ours, that clients ask and are answered from. */
  #address = ''
  #timer: Timer | undefined
  #onDrained: (() => void) | undefined

  constructor(deps: TftpServerDeps) {
    this.#deps = deps
    this.#limits = { ...DEFAULT_TFTP_LIMITS, ...deps.options.limits }
    const { transfersPerClient = 4, transfersInTotal = 1000 } = deps.options
    this.#slots = new TransferSlots({ perClient: transfersPerClient, inTotal: transfersInTotal })
    this.#log = deps.log.child({ svc: this.name })
    const { emit, clock } = deps
    this.#report = new TransferReport({
      counters: this.counters,
      caps: this.#caps,
      emit,
      clock,
      log: this.#log,
    })
  }

  /** The UDP port listened on (useful after port 0); undefined when stopped. */
  get port(): number | undefined {
    return this.#socket?.address().port
  }

  async start(onFatal: (cause: Error) => void): Promise<void> {
    const socket = createSocket('udp4')
    await bound(socket, this.#deps.options)
    socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES) // a power failure makes a whole rack ask in one second
    this.#address = await this.#addressOf(socket)
    socket.on('error', onFatal)
    socket.on('message', (bytes, from) => this.#onDatagram(bytes, from))
    this.#socket = socket
  }

  async stop(): Promise<void> {
    const socket = this.#socket
    if (socket === undefined) return
    this.#socket = undefined
    this.#timer?.cancel()
    this.#timer = undefined
    await new Promise<void>((resolve) => socket.close(() => resolve()))
    for (const slot of this.#slots.all()) this.#slots.cancel(slot)
    if (this.#ending.size > 0) await new Promise<void>((resolve) => (this.#onDrained = resolve))
  }

  async #addressOf(socket: Socket): Promise<string> {
    const { address } = socket.address()
    const { options } = this.#deps
    if (address !== WILDCARD) return address
    if (options.isOneOfMany !== true) return options.address
    await new Promise<void>((resolve) => socket.close(() => resolve()))
    const message =
      'tftp: expected an inherited socket for each address that machines are told, got one for all of them: ' +
      'give ingot-tftp.socket a ListenDatagram= for each'
    throw new DaemonError('CONFIG_INVALID', message)
  }

  #onDatagram(bytes: Uint8Array, from: RemoteInfo): void {
    // No client asks from port 0, or from the port of another TFTP server (spoofed, to make the two talk).
    if (from.port === 0 || from.port === TFTP_PORT) {
      this.counters.dropped++
      return
    }
    try {
      this.#onPacket(decodeTftp(bytes), from)
    } catch (err) {
      if (!(err instanceof MalformedPacket)) throw err
      this.counters.malformed++
    }
  }

  #onPacket(packet: TftpPacket, from: RemoteInfo): void {
    if (packet.op === 'rrq') this.#onRead(packet, from)
    else if (packet.op === 'wrq') this.#refuse(from, TFTP_ERROR.ACCESS_VIOLATION, 'this server is read-only')
    else this.counters.dropped++
  }

  #onRead(request: ReadRequest, from: RemoteInfo): void {
    this.counters.requests++
    if (request.mode !== 'octet') {
      this.#refuse(from, TFTP_ERROR.ILLEGAL_OPERATION, 'only octet mode is served')
      return
    }
    const key = `${from.address}:${from.port}`
    const ip = from.address
    if (!this.#supersede(key, ip, request)) return
    const limit = this.#slots.fullReason(ip)
    if (limit !== undefined) {
      this.#report.full(limit, ip)
      return
    }
    const slot: TransferSlot = {
      key,
      ip,
      filename: request.filename,
      wish: wishOf(request.filename, request.options),
      sinceMs: this.#deps.clock.monotonicMs(),
      session: undefined,
      isCancelled: false,
    }
    this.#slots.add(slot)
    void this.#serve(slot, request, from)
  }

  /**
   * Ends what the client has given up; false when the request is nothing new. The same request from the same port is
   * a retransmission, or a copy that came late, unless its client has been silent: then, and with any other request,
   * a machine started anew, as boot ROMs use the same source port at every power-on. The same file from another
   * port, while nothing of it came through, is the client's next try.
   */
  #supersede(key: string, ip: string, { filename, options }: ReadRequest): boolean {
    const known = this.#slots.get(key)
    const nowMs = this.#deps.clock.monotonicMs()
    if (known?.wish === wishOf(filename, options) && (known.session?.isHeeded(nowMs) ?? true)) return false
    if (known !== undefined) this.#slots.cancel(known)
    const isGivenUp = (slot: TransferSlot): boolean =>
      slot.filename === filename && slot.session?.isStuck === true
    for (const slot of this.#slots.ofClient(ip).filter(isGivenUp)) this.#slots.cancel(slot)
    return true
  }

  async #serve(slot: TransferSlot, request: ReadRequest, from: RemoteInfo): Promise<void> {
    const opened = await this.#open(request.filename, slot.ip)
    if (slot.isCancelled || opened === undefined || this.#socket === undefined) {
      await opened?.file.close()
      this.#slots.release(slot)
      if (opened === undefined && !slot.isCancelled)
        this.#refuse(from, TFTP_ERROR.FILE_NOT_FOUND, 'file not found')
      return
    }
    const session: TransferSession = new TransferSession({
      address: this.#address,
      peer: from,
      file: opened.file,
      negotiated: negotiate(request.options, this.#limitsOf(slot.ip), opened.file.sizeBytes),
      clock: this.#deps.clock,
      onEnd: (end) => {
        this.#slots.release(slot)
        this.#forget(session)
        this.#report.ended(slot, opened, session, end)
      },
    })
    slot.session = session
    this.#ending.add(session)
    session.start()
    this.#arm()
  }

  #limitsOf(ip: string): TftpLimits {
    const cap = this.#caps.capOf(ip, this.#deps.clock.monotonicMs())
    return { ...this.#limits, blksize: Math.min(cap, this.#limits.blksize) }
  }

  async #open(filename: string, ip: string): Promise<OpenedFile | undefined> {
    const path = bootPath(filename)
    try {
      const virtual = path === undefined ? undefined : await this.#deps.virtualFile?.(path, ip)
      if (virtual !== undefined) return { file: virtual, isVirtual: true }
      const file = await this.#deps.files.open(filename)
      if (file !== undefined) return { file, isVirtual: false }
    } catch (err) {
      this.#log.error({ err, ip }, 'boot file cannot be opened')
    }
    if (path === undefined || this.#deps.isOptional?.(path) !== true) this.#report.notFound(filename, ip)
    return undefined
  }

  #forget(session: TransferSession): void {
    this.#ending.delete(session)
    if (this.#ending.size === 0) this.#onDrained?.()
  }

  /** One coarse timer for all transfers; none while there are none. */
  #arm(): void {
    if (this.#timer !== undefined || this.#socket === undefined) return
    this.#timer = this.#deps.clock.after(TICK_MS, () => {
      this.#timer = undefined
      const nowMs = this.#deps.clock.monotonicMs()
      for (const slot of this.#slots.all()) slot.session?.tick(nowMs)
      if (this.#slots.size > 0) this.#arm()
    })
  }

  #refuse(to: RemoteInfo, code: number, message: string): void {
    this.counters.refused++
    this.#socket?.send(encodeTftp({ op: 'error', code, message }), to.port, to.address, ignoreLoss)
  }
}

function wishOf(filename: string, options: TftpOptions): string {
  return [filename, ...[...options].flat()].join('\0')
}

function bound(socket: Socket, { address, port = TFTP_PORT, fd }: TftpServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (err: Error): void => {
      socket.close()
      reject(err)
    }
    socket.once('error', failed)
    socket.bind(fd === undefined ? { address, port, exclusive: true } : { fd }, () => {
      socket.off('error', failed)
      resolve()
    })
  })
}

/** A refusal that cannot be sent is lost like any datagram. */
function ignoreLoss(): void {
  // deliberately empty
}

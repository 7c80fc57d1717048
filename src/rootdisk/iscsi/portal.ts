import { createServer, type Server, type Socket } from 'node:net'
import type { Timer } from '../../clock.js'
import type { Service } from '../../service.js'
import { listening } from '../../socket-file.js'
import { Connection } from './connection.js'
import { drain } from './drain.js'
import { PortalCore, type IscsiPortalDeps, type Peer } from './portal-core.js'

/** Where a portal listens. */
export interface PortalEndpoint {
  readonly host: string
  /** 0 for any free port. */
  readonly port: number
  /** A listening socket that was handed over; then host and port are not used. */
  readonly fd?: number
}

/** Where a portal listens, else it has the connections it is handed ({@link IscsiPortal.take}); how much it takes on. */
export interface IscsiPortalOptions extends Partial<PortalEndpoint> {
  /** Further connections are closed at once. Default 4096, and 256 of one address. */
  readonly maxConnections?: number
  readonly maxConnectionsPerAddress?: number
  /** Connections in their login; one more costs the oldest of them its place. Default 512. */
  readonly maxLogins?: number
  /** An operating system silent for one to two of these is pinged, after one more it is given up. Default 20000. */
  readonly pingMs?: number
  /** From accept to full feature phase. Default 15000. */
  readonly loginTimeoutMs?: number
  /** How long a planned stop waits for initiators to log out. Default 1000. */
  readonly drainMs?: number
  /** Default 16. */
  readonly maxSessionsPerTarget?: number
}

/** One normal session. */
export interface SessionReport {
  readonly iqn: string
  readonly initiator: string
  readonly remoteAddress: string
  readonly isKernel: boolean
}

/** The iSCSI portal: a listening socket and everything behind it (RFC 7143). */
export class IscsiPortal implements Service {
  readonly name = 'iscsi'
  readonly #options: IscsiPortalOptions
  readonly #core: PortalCore
  readonly #pingMs: number
  readonly #drainMs: number
  #server: Server | undefined
  #pings: Timer | undefined

  constructor(options: IscsiPortalOptions, deps: IscsiPortalDeps) {
    this.#options = options
    const { loginTimeoutMs = 15_000, maxSessionsPerTarget = 16, pingMs = 20_000, drainMs = 1000 } = options
    const { maxConnections = 4096, maxConnectionsPerAddress = 256, maxLogins = 512 } = options
    const connections = { total: maxConnections, perAddress: maxConnectionsPerAddress, loggingIn: maxLogins }
    this.#core = new PortalCore(deps, { connections, loginTimeoutMs, maxSessionsPerTarget })
    this.#pingMs = pingMs
    this.#drainMs = drainMs
  }

  /** The port it listens on; 0 before start. */
  get port(): number {
    const address = this.#server?.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  async start(onFatal: (cause: Error) => void): Promise<void> {
    const { host, port, fd } = this.#options
    if (host !== undefined && port !== undefined) {
      const endpoint = fd === undefined ? { host, port } : { host, port, fd }
      this.#server = await listenAt(endpoint, (socket) => this.take(socket))
      this.#server.on('error', onFatal)
    }
    this.#pingLater()
  }

  /** A connection that was accepted with `pauseOnConnect`, and what was read from it since. */
  take(socket: Socket, received?: Buffer): void {
    socket.on('error', () => socket.destroy())
    if (!this.#core.connections.hasRoom(socket.remoteAddress ?? '')) socket.destroy()
    else this.#core.connections.add(new Connection(socket, this.#core, received))
  }

  /** Takes nothing new, asks the initiators to log out and come again, and closes within two seconds. */
  async stop(): Promise<void> {
    this.#pings?.cancel()
    const server = this.#server
    this.#server = undefined
    const closed = new Promise<void>((resolve) => {
      if (server === undefined) resolve()
      else server.close(() => resolve())
    })
    await Promise.all(
      this.#core.connections.list().map((each) => drain(each, this.#core.clock, this.#drainMs)),
    )
    await this.#core.settled()
    await closed
  }

  /** Normal sessions now. */
  sessions(): SessionReport[] {
    return this.#core.connections
      .list()
      .filter((each) => each.session !== undefined && each.isLoggedIn)
      .map(({ iqn, initiator, remoteAddress, isKernel }) => ({ iqn, initiator, remoteAddress, isKernel }))
  }

  /** Closes the sessions of targets; resolves when their devices are flushed and closed. */
  async drop(iqns: ReadonlySet<string>): Promise<void> {
    await this.#closeAll(this.#core.connections.list().filter((each) => iqns.has(each.iqn)))
  }

  /** Closes the sessions of targets that are not there any more, brings the LUNs of the others up to date. */
  async refresh(): Promise<void> {
    const gone = this.#core.activeIqns().filter((iqn) => this.#core.targets.find(iqn) === undefined)
    await Promise.all([this.drop(new Set(gone)), this.#core.refresh()])
  }

  async #closeAll(connections: readonly Peer[]): Promise<void> {
    await Promise.all(connections.map((each) => each.close()))
    await this.#core.settled()
  }

  #pingLater(): void {
    this.#pings = this.#core.clock.after(this.#pingMs, () => {
      for (const each of this.#core.connections.list()) each.checkAlive()
      this.#pingLater()
    })
  }
}

/** A server at `endpoint` whose connections are not read from yet. */
export async function listenAt(
  { host, port, fd }: PortalEndpoint,
  onConnection: (socket: Socket) => void,
): Promise<Server> {
  const server = createServer({ pauseOnConnect: true, noDelay: true }, onConnection)
  await listening(server, fd === undefined ? { host, port, backlog: 1024 } : { fd })
  return server
}

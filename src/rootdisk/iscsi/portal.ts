import { createServer, type Server, type Socket } from 'node:net'
import type { Service } from '../../service.js'
import { Connection } from './connection.js'
import { PortalCore, type IscsiPortalDeps, type Peer } from './portal-core.js'

/** Where the portal listens and how much it takes on. */
export interface IscsiPortalOptions {
  readonly host: string
  /** 0 for any free port. */
  readonly port: number
  /** A listening socket that was handed over; then host and port are not used. */
  readonly fd?: number
  /** Further connections are closed at once. Default 4096. */
  readonly maxConnections?: number
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
  #server: Server | undefined

  constructor(options: IscsiPortalOptions, deps: IscsiPortalDeps) {
    this.#options = options
    const { loginTimeoutMs = 15_000, maxSessionsPerTarget = 16 } = options
    this.#core = new PortalCore(deps, { loginTimeoutMs, maxSessionsPerTarget })
  }

  /** The port it listens on; 0 before start. */
  get port(): number {
    const address = this.#server?.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  async start(onFatal: (cause: Error) => void): Promise<void> {
    const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => this.#accept(socket))
    const { host, port, fd } = this.#options
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(fd === undefined ? { host, port, backlog: 1024 } : { fd }, () => {
        server.off('error', reject).on('error', onFatal)
        resolve()
      })
    })
    this.#server = server
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    const closed = new Promise<void>((resolve) => {
      if (server === undefined) resolve()
      else server.close(() => resolve())
    })
    await this.#closeAll([...this.#core.connections])
    await closed
  }

  /** Normal sessions now. */
  sessions(): SessionReport[] {
    return [...this.#core.connections]
      .filter((each) => each.session !== undefined && each.isLoggedIn)
      .map(({ iqn, initiator, remoteAddress, isKernel }) => ({ iqn, initiator, remoteAddress, isKernel }))
  }

  /** Closes the sessions of a target; resolves when its devices are flushed and closed. */
  async drop(iqn: string): Promise<void> {
    await this.#closeAll([...this.#core.connections].filter((each) => each.iqn === iqn))
  }

  /** Closes the sessions of targets that are not there any more. */
  async refresh(): Promise<void> {
    const gone = this.#core.activeIqns().filter((iqn) => this.#core.targets.find(iqn) === undefined)
    await Promise.all(gone.map((iqn) => this.drop(iqn)))
  }

  async #closeAll(connections: readonly Peer[]): Promise<void> {
    await Promise.all(connections.map((each) => each.close()))
    await this.#core.settled()
  }

  #accept(socket: Socket): void {
    const { maxConnections = 4096 } = this.#options
    socket.on('error', () => socket.destroy())
    if (this.#core.connections.size >= maxConnections) socket.destroy()
    else this.#core.connections.add(new Connection(socket, this.#core))
  }
}

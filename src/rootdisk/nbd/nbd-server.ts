import { createServer, type Server, type Socket } from 'node:net'
import type { Service } from '../../service.js'
import { listening, listenOnSocketFile } from '../../socket-file.js'
import { NbdConnection, type Beginning } from './connection.js'
import type { HandedClient } from './handover.js'
import { ServerCore, type NbdServerDeps } from './server-core.js'
import type { TlsIdentity } from './tls-upgrade.js'

/** Where a server listens, if it does, and how much it takes on. */
export interface NbdServerOptions {
  /** Unix socket, mode 0600. */
  readonly socketPath?: string
  /** With `tls`, nothing is said or served before a client has taken it up. Port 0 for any free one. */
  readonly tcp?: { readonly host: string; readonly port: number; readonly tls?: TlsIdentity }
  /** Further connections are closed at once. Default 128. */
  readonly maxConnections?: number
  /** From accept to the transmission phase. Default 15000. */
  readonly negotiationTimeoutMs?: number
}

/** A client that has a disk attached. */
export interface NbdClientReport {
  readonly exportName: string
  readonly remoteAddress: string
}

/**
 * NBD server (doc/proto.md of the nbd project): fixed newstyle, structured replies, base:allocation.
 * A connection holds at most 16 MiB of requests and replies, and the 32 MiB of one request.
 */
export class NbdServer implements Service {
  readonly name = 'nbd'
  readonly #options: NbdServerOptions
  readonly #core: ServerCore
  #servers: Server[] = []

  constructor(options: NbdServerOptions, deps: NbdServerDeps) {
    this.#options = options
    this.#core = new ServerCore(deps, options.negotiationTimeoutMs ?? 15_000)
  }

  /** The TCP port it listens on; 0 without one. */
  get port(): number {
    const addresses = this.#servers.map((server) => server.address())
    return addresses.find((address) => typeof address === 'object' && address !== null)?.port ?? 0
  }

  async start(onFatal: (cause: Error) => void): Promise<void> {
    const { socketPath, tcp } = this.#options
    try {
      if (socketPath !== undefined) await listenOnSocketFile(this.#listener(undefined), socketPath)
      if (tcp !== undefined) await listening(this.#listener(tcp.tls), { host: tcp.host, port: tcp.port })
    } catch (err) {
      await this.stop()
      throw err
    }
    for (const server of this.#servers) server.on('error', onFatal)
  }

  /** Requests that were begun are answered; later ones are not, so that clients ask our successor. */
  async stop(): Promise<void> {
    const closed = this.#servers.map((server) => closing(server))
    this.#servers = []
    await Promise.all([...this.#core.connections].map((each) => each.end(false)))
    await Promise.all(closed)
  }

  /** Clients that have a disk attached. */
  clients(): NbdClientReport[] {
    return [...this.#core.connections].flatMap(({ exportName, remoteAddress }) =>
      exportName === undefined ? [] : [{ exportName, remoteAddress }],
    )
  }

  /** Ends the connections to exports that are not there any more; resolves when their devices are let go. */
  async refresh(): Promise<void> {
    const there = new Set(this.#core.exports.list().map(({ id }) => id))
    const gone = [...this.#core.connections].filter(({ exportId }) => {
      return exportId !== undefined && !there.has(exportId)
    })
    await Promise.all(gone.map((each) => each.end(true)))
  }

  /** Ends the connections to exports of these ids; resolves when their devices are let go. */
  async drop(isGone: (exportId: string) => boolean): Promise<void> {
    const gone = [...this.#core.connections].filter(({ exportId }) => isGone(exportId ?? ''))
    await Promise.all(gone.map((each) => each.end(false)))
  }

  /** A client that has negotiated with another process. */
  take(socket: Socket, handed: HandedClient): void {
    this.#accept(socket, { handed })
  }

  #listener(tls: TlsIdentity | undefined): Server {
    const server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket, { tls }))
    this.#servers.push(server)
    return server
  }

  #accept(socket: Socket, begun: Beginning): void {
    socket.on('error', () => socket.destroy())
    const { maxConnections = 128 } = this.#options
    if (this.#core.connections.size >= maxConnections) socket.destroy()
    else this.#core.connections.add(new NbdConnection(socket, this.#core, begun))
  }
}

function closing(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

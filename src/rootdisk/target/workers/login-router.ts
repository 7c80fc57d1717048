import type { Server, Socket } from 'node:net'
import type { Clock, Timer } from '../../../clock.js'
import type { EmitEvent } from '../../../events.js'
import type { Service } from '../../../service.js'
import { MalformedPacket } from '../../../wire/malformed-packet.js'
import { readInPlace } from '../../accepted-socket.js'
import { Connections, type Limited } from '../../iscsi/connections.js'
import { FIRST_LOGIN_BYTES, readFirstLogin, type FirstLogin } from '../../iscsi/first-login.js'
import { listenAt, type PortalEndpoint } from '../../iscsi/portal.js'

/** As the portal's own: connections, of one address, in their login; from accept to being handed over. */
const LIMITS = { total: 4096, perAddress: 256, loggingIn: 512 }
const LOGIN_TIMEOUT_MS = 15_000

/** What a router needs. */
export interface LoginRouterDeps {
  readonly clock: Clock
  readonly emit: EmitEvent
  /**
   * Hands a connection over: a socket that is read no further, and what was read from it. The socket is closed here
   * when that is done. @throws when nobody takes it
   */
  readonly hand: (login: FirstLogin, socket: Socket, received: Buffer) => Promise<void>
}

/**
 * Listens for iSCSI connections, reads of each the first login request, and hands it over to whoever has its target.
 * Connections that are not handed over yet have the limits of a portal.
 */
export class LoginRouter implements Service {
  readonly name = 'iscsi-router'
  readonly #endpoint: PortalEndpoint
  readonly #deps: LoginRouterDeps
  /** Shared by all: what is read is copied at once. */
  readonly #buffer = Buffer.allocUnsafeSlow(FIRST_LOGIN_BYTES)
  readonly #connections: Connections<NewConnection>
  #server: Server | undefined

  constructor(endpoint: PortalEndpoint, deps: LoginRouterDeps) {
    this.#endpoint = endpoint
    this.#deps = deps
    this.#connections = new Connections(LIMITS, (address) => {
      const message = `more connections than the iSCSI portal takes on, the last from ${address}`
      deps.emit({ kind: 'iscsi.crowded', message, ip: address })
    })
  }

  /** The port it listens on; 0 before start. */
  get port(): number {
    const address = this.#server?.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  async start(onFatal: (cause: Error) => void): Promise<void> {
    this.#server = await listenAt(this.#endpoint, (socket) => this.#accept(socket))
    this.#server.on('error', onFatal)
  }

  /** Takes nothing new; whoever is still logging in comes again. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const connection of this.#connections.list()) connection.destroy()
    await closed
  }

  #accept(socket: Socket): void {
    socket.on('error', () => socket.destroy())
    if (!this.#connections.hasRoom(socket.remoteAddress ?? '')) {
      socket.destroy()
      return
    }
    const connection = new NewConnection(socket, this.#buffer, {
      ...this.#deps,
      onGone: () => this.#connections.delete(connection),
    })
    this.#connections.add(connection)
  }
}

/** One connection until it is handed over. */
class NewConnection implements Limited {
  readonly isLoggedIn = false
  readonly remoteAddress: string
  readonly #socket: Socket
  readonly #timer: Timer
  readonly #deps: LoginRouterDeps
  #received = Buffer.alloc(0)

  constructor(accepted: Socket, buffer: Buffer, deps: LoginRouterDeps & { onGone: () => void }) {
    this.#deps = deps
    this.remoteAddress = accepted.remoteAddress ?? ''
    const callback = (length: number): boolean => this.#onBytes(buffer.subarray(0, length))
    this.#socket = readInPlace(accepted, { buffer, callback })
    this.#timer = deps.clock.after(LOGIN_TIMEOUT_MS, () => this.#refuse('the login took too long'))
    this.#socket.on('error', () => this.destroy()).on('end', () => this.destroy())
    this.#socket.once('close', () => {
      this.#timer.cancel()
      deps.onGone()
    })
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** False when the socket is to be read no further: what follows is for whoever gets it. */
  #onBytes(bytes: Buffer): boolean {
    this.#received = Buffer.concat([this.#received, bytes])
    try {
      const login = readFirstLogin(this.#received)
      if (login === undefined) return true
      void this.#hand(login)
    } catch (err) {
      if (!(err instanceof MalformedPacket)) throw err
      const message = `connection of ${this.remoteAddress} closed: ${err.message}`
      this.#deps.emit({ kind: 'iscsi.protocol-error', message, ip: this.remoteAddress })
      this.destroy()
    }
    return false
  }

  async #hand(login: FirstLogin): Promise<void> {
    try {
      await this.#deps.hand(login, this.#socket, this.#received)
    } catch (err) {
      this.#refuse(err instanceof Error ? err.message : String(err))
    }
  }

  #refuse(why: string): void {
    const message = `login from ${this.remoteAddress} failed: ${why}`
    this.#deps.emit({ kind: 'iscsi.login-failed', message, ip: this.remoteAddress })
    this.destroy()
  }
}

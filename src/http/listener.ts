import type { AddressInfo, Server, Socket } from 'node:net'
import fastify, { type FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Service } from '../service.js'
import { listening, listenOnSocketFile } from '../socket-file.js'
import { errorBody, rawErrorResponse, replyToError } from './error-reply.js'

/** Where a listener listens: an address, a Unix socket, or a descriptor inherited from the service manager. */
export type HttpEndpoint =
  | { readonly host: string; readonly port: number }
  | { readonly socketPath: string; readonly socketMode?: number }
  | { readonly fd: number }

/** Bounds of one listener. */
export interface HttpListenerOptions {
  /** For logs: `api`, `boot`. */
  readonly name: string
  readonly endpoint: HttpEndpoint
  /** Largest request body, bytes; a route may set its own. Default 1 MiB. */
  readonly bodyLimitBytes?: number
  /** A request must have arrived whole within this time; 0 for no limit (uploads). Default 60 s. */
  readonly requestTimeoutMs?: number
  /** Further connections are closed at once. Default 1,000. */
  readonly maxConnections?: number
  /** How long `stop` waits for running answers before it cuts them. Default 2 s. */
  readonly graceMs?: number
}

/** Adds its routes to `app`, which is its own scope: hooks, parsers and error handlers do not leak out of it. */
export type RoutePlugin = (app: FastifyInstance) => void

/** What a listener is made of. */
export interface HttpListenerDeps {
  readonly options: HttpListenerOptions
  readonly routes: readonly RoutePlugin[]
  readonly log: Logger
}

const DEFAULT_BODY_BYTES = 1 << 20
const DEFAULT_REQUEST_MS = 60_000
const DEFAULT_CONNECTIONS = 1000
const DEFAULT_GRACE_MS = 2000
const HEADERS_MS = 15_000
/** How often Node looks for requests that are late. */
const CHECK_MS = 5000
const KEEP_ALIVE_MS = 10_000

/** An HTTP/1.1 server that knows no route: it is handed plugins, and gives them limits and error bodies. */
export class HttpListener implements Service {
  readonly name: string
  readonly #options: HttpListenerOptions
  readonly #routes: readonly RoutePlugin[]
  readonly #log: Logger
  #app: FastifyInstance | undefined

  constructor({ options, routes, log }: HttpListenerDeps) {
    this.name = `http-${options.name}`
    this.#options = options
    this.#routes = routes
    this.#log = log.child({ svc: this.name })
  }

  /** The TCP port listened on (useful after port 0); undefined on a Unix socket or when stopped. */
  get port(): number | undefined {
    const address: AddressInfo | string | null | undefined = this.#app?.server.address()
    return typeof address === 'object' ? address?.port : undefined
  }

  async start(onFatal: (cause: Error) => void): Promise<void> {
    const app = this.#build()
    try {
      await app.ready()
      await this.#listen(app.server)
    } catch (err) {
      await app.close()
      throw err
    }
    app.server.on('error', onFatal)
    this.#app = app
  }

  async stop(): Promise<void> {
    const app = this.#app
    if (app === undefined) return
    this.#app = undefined
    const cut = setTimeout(() => app.server.closeAllConnections(), this.#options.graceMs ?? DEFAULT_GRACE_MS)
    const closed = new Promise<void>((resolve) => app.server.close(() => resolve()))
    app.server.closeIdleConnections()
    await closed
    clearTimeout(cut)
    await app.close()
  }

  #build(): FastifyInstance {
    const options = this.#options
    const app: FastifyInstance = fastify({
      logger: false,
      bodyLimit: options.bodyLimitBytes ?? DEFAULT_BODY_BYTES,
      requestTimeout: options.requestTimeoutMs ?? DEFAULT_REQUEST_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      routerOptions: { maxParamLength: 256 },
      ajv: { customOptions: { removeAdditional: false } }, // a key that nobody knows is an error, not a wish
      http: { headersTimeout: HEADERS_MS, connectionsCheckingInterval: CHECK_MS },
      clientErrorHandler: refuseBytes,
      frameworkErrors: (err, request, reply) => replyToError(this.#log, err, request, reply),
    })
    app.server.maxConnections = options.maxConnections ?? DEFAULT_CONNECTIONS
    app.setErrorHandler((err, request, reply) => replyToError(this.#log, err, request, reply))
    app.setNotFoundHandler((_request, reply) => {
      void reply.code(404).send(errorBody('NOT_FOUND', 'no such path'))
    })
    for (const plugin of this.#routes) {
      void app.register((scope, _options, done) => {
        plugin(scope)
        done()
      })
    }
    return app
  }

  async #listen(server: Server): Promise<void> {
    const endpoint = this.#options.endpoint
    if ('socketPath' in endpoint) await listenOnSocketFile(server, endpoint.socketPath, endpoint.socketMode)
    else await listening(server, endpoint)
  }
}

function refuseBytes(err: Error & { code?: string }, socket: Socket): void {
  if (err.code === 'ECONNRESET' || socket.destroyed) return
  const status =
    err.code === 'HPE_HEADER_OVERFLOW' ? 431 : err.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  if (socket.writable) socket.write(rawErrorResponse(status))
  socket.destroySoon()
}

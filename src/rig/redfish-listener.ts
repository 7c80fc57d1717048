import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import type { Service } from '../service.js'
import type { ManagedMachine } from './machine.js'
import { answerRedfish, isPublicPath, refusal, type RedfishReply } from './redfish.js'

/** Where to listen. */
export type RedfishAddress = { readonly host: string; readonly port: number } | { readonly path: string }

/** What a {@link RedfishListener} needs. */
export interface RedfishListenerOptions {
  readonly machines: readonly ManagedMachine[]
  /** `user:password` that callers must show. */
  readonly credentials: string
  readonly listen: RedfishAddress
  readonly log: Logger
}

const BODY_LIMIT_BYTES = 65_536

/** Serves the virtual BMC on one address over HTTP. */
export class RedfishListener implements Service {
  readonly name = 'rig-redfish'
  readonly #options: RedfishListenerOptions
  readonly #server: Server

  constructor(options: RedfishListenerOptions) {
    this.#options = options
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  /** The TCP port, once started; 0 on a Unix socket. */
  get port(): number {
    const address = this.#server.address() // net.Server's own type
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  async start(): Promise<void> {
    this.#server.listen(this.#options.listen)
    await once(this.#server, 'listening')
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      send(response, await this.#answer(request))
    } catch (err) {
      this.#options.log.error({ err }, 'redfish request failed')
      response.destroy()
    }
  }

  async #answer(request: IncomingMessage): Promise<RedfishReply> {
    const { machines, credentials } = this.#options
    const path = (request.url ?? '/').replace(/\?.*$/s, '')
    if (!isPublicPath(path) && !isAuthorized(request.headers.authorization, credentials))
      return refusal(401, 'NoValidSession', 'valid credentials are needed')
    const text = await bodyText(request)
    if (text === undefined) return refusal(413, 'MalformedJSON', 'the body is too long')
    const body = parseJson(text)
    if (body === NOT_JSON) return refusal(400, 'MalformedJSON', 'the body is not JSON')
    return answerRedfish({ method: request.method ?? 'GET', path, body }, machines)
  }
}

function isAuthorized(header: string | undefined, credentials: string): boolean {
  const shown = Buffer.from(/^basic ([a-z0-9+/=]+)$/i.exec(header ?? '')?.[1] ?? '', 'base64')
  return timingSafeEqual(digest(shown), digest(credentials))
}

function digest(value: string | Uint8Array): Buffer {
  return createHash('sha256').update(value).digest()
}

async function bodyText(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length <= BODY_LIMIT_BYTES) chunks.push(chunk)
  }
  return length <= BODY_LIMIT_BYTES ? Buffer.concat(chunks).toString('utf8') : undefined
}

const NOT_JSON = Symbol('not JSON')

function parseJson(text: string): unknown {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return NOT_JSON
  }
}

function send(response: ServerResponse, { status, body, allow }: RedfishReply): void {
  response.setHeader('OData-Version', '4.0')
  response.setHeader('Cache-Control', 'no-cache')
  if (allow !== undefined) response.setHeader('Allow', allow)
  if (status === 401) response.setHeader('WWW-Authenticate', 'Basic realm="rig"')
  if (body !== undefined) response.setHeader('Content-Type', 'application/json; charset=utf-8')
  response.writeHead(status)
  response.end(body === undefined ? undefined : JSON.stringify(body))
}

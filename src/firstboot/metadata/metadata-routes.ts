import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../../clock.js'
import { limitEvents } from '../../event-limiter.js'
import type { EmitEvent } from '../../events.js'
import { errorBody } from '../../http/error-reply.js'
import { RateLimit } from '../../rate-limit.js'
import { decideCaller, type Caller, type CallerFacts, type KnownServer } from './caller.js'
import { foreignRequest } from './foreign-request.js'
import { pagePath, PASSWORD_PATH, type Pages } from './pages.js'
import { SessionTokens, TOKEN_TTL } from './session-tokens.js'

/** A server that may ask, and what it is answered. */
export interface MetadataServer extends KnownServer {
  readonly serverId: string
  readonly serverName: string
  /** Of its deploy. */
  readonly instanceId: string
  readonly pages: () => Pages
  /** What its first read in a boot shows: `ready` for a system that has no other way to say so. */
  readonly readStage: 'seed-read' | 'ready'
}

/** What the routes are made of. */
export interface MetadataRoutesDeps {
  /** What the network says of an address now. */
  readonly factsOf: (address: string) => Promise<CallerFacts>
  /** The server whose machine has a NIC of this MAC. */
  readonly serverOf: (mac: string) => MetadataServer | undefined
  /** Keeps what a server sealed its password into. @throws DaemonError INVALID_INPUT, or WRONG_STATE the second time */
  readonly sealPassword: (serverId: string, sealed: string) => void
  /** The addresses that we are asked at, dotted. */
  readonly hosts: ReadonlySet<string>
  readonly emit: EmitEvent
  readonly clock: Clock
}

/** Far more than a booting server asks for, far less than hurts. */
const MAX_PER_SECOND = 200
const BODY_BYTES = 8192
const TOKEN_PATH = 'latest/api/token'
const TOKEN_HEADER = 'x-aws-ec2-metadata-token'
const TTL_HEADER = 'x-aws-ec2-metadata-token-ttl-seconds'

/** The metadata service: every path is a page of the server that asks, and a 404 for whoever is none. */
export class MetadataRoutes {
  readonly #deps: MetadataRoutesDeps
  readonly #refuse: EmitEvent
  readonly #rate: RateLimit
  readonly #tokens: SessionTokens
  /** Servers that were told to have read in their boot. */
  readonly #readers = new Set<string>()

  constructor(deps: MetadataRoutesDeps) {
    this.#deps = deps
    this.#refuse = limitEvents(deps.emit, deps.clock)
    this.#rate = new RateLimit(MAX_PER_SECOND, deps.clock)
    this.#tokens = new SessionTokens(deps.clock)
  }

  /** The plugin for a listener. */
  readonly plugin = (app: FastifyInstance): void => {
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: BODY_BYTES }, (_request, body, done) => {
      done(null, body)
    })
    app.all('*', { bodyLimit: BODY_BYTES }, (request, reply) => this.#answer(request, reply))
  }

  /** A boot of this server begins: its next read is told again. */
  bootBegins(serverId: string): void {
    this.#readers.delete(serverId)
  }

  async #answer(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    void reply.header('cache-control', 'no-store')
    const ip = request.ip.replace(/^::ffff:/, '')
    const caller = await this.#caller(request, ip)
    if (caller.server === undefined) {
      const message = `metadata refused to ${ip}${caller.mac === undefined ? '' : ` (${caller.mac})`}: ${caller.refusal}`
      this.#refuse({
        kind: 'metadata.refused',
        message,
        ip,
        ...(caller.mac !== undefined && { mac: caller.mac }),
      })
      return notFound(reply)
    }
    return this.#serve(request, reply, { server: caller.server, ip })
  }

  async #caller(request: FastifyRequest, ip: string): Promise<Caller<MetadataServer>> {
    const { factsOf, serverOf, hosts, clock } = this.#deps
    const isTooMuch = !this.#rate.allows(ip)
    const refusal = isTooMuch ? 'it asks too often' : foreignRequest(request.raw.headersDistinct, hosts)
    if (refusal !== undefined) return { server: undefined, mac: undefined, refusal }
    return decideCaller(await factsOf(ip), serverOf, clock.nowMs())
  }

  #serve(
    request: FastifyRequest,
    reply: FastifyReply,
    { server, ip }: { server: MetadataServer; ip: string },
  ): FastifyReply {
    const path = pagePath(request.raw.url ?? '')
    const peer = `${ip} ${server.instanceId}`
    if (request.method === 'PUT' && path === TOKEN_PATH) return this.#issue(request, reply, peer)
    const token = request.headers[TOKEN_HEADER]
    if (token !== undefined && !this.#tokens.isValid(peer, String(token))) {
      return reply
        .code(401)
        .send(errorBody('INVALID_INPUT', 'the session token is not valid, or not any more'))
    }
    if (path === undefined) return notFound(reply)
    if (request.method === 'POST') return this.#post(request, reply, path, server.serverId)
    const page = isRead(request) ? server.pages().get(path) : undefined
    if (page === undefined) return notFound(reply)
    this.#tellRead(server, ip, path)
    return reply.type(page.type).send(Buffer.from(page.bytes))
  }

  #issue(request: FastifyRequest, reply: FastifyReply, peer: string): FastifyReply {
    const text = request.headers[TTL_HEADER]
    const ttl = typeof text === 'string' && /^\d{1,5}$/.test(text) ? Number(text) : 0
    if (ttl < TOKEN_TTL.min || ttl > TOKEN_TTL.max) {
      const rule = `${TTL_HEADER}: expected seconds ${TOKEN_TTL.min}..${TOKEN_TTL.max}`
      return reply.code(400).send(errorBody('INVALID_INPUT', rule))
    }
    return reply.header(TTL_HEADER, String(ttl)).type('text/plain').send(this.#tokens.issue(peer, ttl))
  }

  #post(request: FastifyRequest, reply: FastifyReply, path: string, serverId: string): FastifyReply {
    if (!PASSWORD_PATH.test(path)) return notFound(reply)
    this.#deps.sealPassword(serverId, typeof request.body === 'string' ? request.body.replace(/\s/g, '') : '')
    return reply.send('')
  }

  #tellRead({ serverId, serverName, readStage }: MetadataServer, ip: string, path: string): void {
    if (this.#readers.has(serverId)) return
    this.#readers.add(serverId)
    const message = `server ${serverName} reads its metadata over HTTP, /${path} first`
    this.#deps.emit({ kind: 'metadata.read', stage: readStage, message, serverId, ip })
  }
}

/** The same words whatever the reason. */
function notFound(reply: FastifyReply): FastifyReply {
  return reply.code(404).send(errorBody('NOT_FOUND', 'no such path'))
}

function isRead({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

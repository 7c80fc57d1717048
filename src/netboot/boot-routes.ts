import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import type { Clock } from '../clock.js'
import { DaemonError } from '../errors.js'
import type { EmitEvent } from '../events.js'
import type { BootFile, BootFiles } from './boot-files.js'
import type { BootPolicy, BootTarget } from './decide.js'
import { limitEvents } from './event-limiter.js'
import { failureWords } from './ipxe/failure-words.js'
import { renderScript, type ScriptTemplates } from './ipxe/script.js'

/** What the boot routes are made of. */
export interface BootRoutesDeps {
  /** The server whose boot token this is, or undefined. */
  readonly findByToken: (token: string) => BootTarget | undefined
  /** Where the machines that use this listener reach us. */
  readonly policy: Pick<BootPolicy, 'address' | 'httpPort'>
  readonly templates: ScriptTemplates
  readonly files: BootFiles
  readonly emit: EmitEvent
  readonly clock: Clock
}

/** Largest phone-home body: cloud-init sends host keys, a few KiB. */
const READY_BODY_BYTES = 64 << 10
const READ_BYTES = 256 << 10
const MAX_WORD = 64

/**
 * What machines ask for while they boot:
 * `GET /boot/TOKEN/script` its iPXE script, `GET /boot/TOKEN/failed?step=&errno=&try=` a script's bad news,
 * `GET|POST /boot/TOKEN/ready` the running system's good news (cloud-init's phone_home posts a form),
 * `GET /boot/loaders/NAME` a boot file. An unknown token is a 404.
 */
export function bootRoutes(deps: BootRoutesDeps): (app: FastifyInstance) => void {
  const routes = new BootRoutes(deps)
  return (app) => {
    // The body is a courtesy; whatever its type, it is read as text within its bound.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser(
      '*',
      { parseAs: 'string', bodyLimit: READY_BODY_BYTES },
      (_request, body, done) => done(null, body),
    )
    app.get('/boot/:token/script', (request, reply) => routes.script(request, reply))
    app.get('/boot/:token/failed', (request, reply) => routes.failed(request, reply))
    app.get('/boot/:token/ready', (request, reply) => routes.ready(request, reply))
    app.post('/boot/:token/ready', { bodyLimit: READY_BODY_BYTES }, (request, reply) =>
      routes.ready(request, reply),
    )
    app.route({
      method: ['GET', 'HEAD'],
      url: '/boot/loaders/:name',
      exposeHeadRoute: false, // fastify's own HEAD reads the whole file to count it
      handler: (request, reply) => routes.loader(request, reply),
    })
  }
}

class BootRoutes {
  readonly #deps: BootRoutesDeps
  readonly #emitBounded: EmitEvent

  constructor(deps: BootRoutesDeps) {
    this.#deps = deps
    this.#emitBounded = limitEvents(deps.emit, deps.clock)
  }

  script(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const target = this.#target(request)
    const { templates, policy, emit } = this.#deps
    const { text, reason } = renderScript(templates, target, policy)
    if (request.method !== 'HEAD') {
      emit({
        kind: 'boot.script',
        stage: 'script',
        message: `script sent: ${reason}`,
        serverId: target.serverId,
        ip: request.ip,
      })
    }
    return sendText(reply, text)
  }

  failed(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const target = this.#target(request)
    const step = queryWord(request, 'step')
    const attempt = queryWord(request, 'try')
    const errno = queryWord(request, 'errno')
    this.#deps.emit({
      kind: 'boot.script-failed',
      message: `the boot script failed at ${step}, try ${attempt}, iPXE error ${failureWords(errno)}`,
      serverId: target.serverId,
      ip: request.ip,
    })
    return sendText(reply, 'noted\n')
  }

  ready(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const target = this.#target(request)
    const hostname = word(new URLSearchParams(bodyText(request)).get('hostname') ?? undefined, '')
    this.#deps.emit({
      kind: 'boot.ready',
      stage: 'ready',
      message: `server ${target.serverName} says it is ready${hostname === '' ? '' : ` as ${hostname}`}`,
      serverId: target.serverId,
      ip: request.ip,
    })
    return sendText(reply, 'noted\n')
  }

  async loader(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const name = param(request, 'name')
    // Route parameters arrive decoded; BootFiles wants bytes as TFTP carries them.
    const file = await this.#deps.files.open(Buffer.from(name, 'utf8').toString('latin1'))
    if (file === undefined) {
      this.#emitBounded({
        kind: 'boot.no-such-file',
        message: `no boot file ${word(name, '?')} in the loader directories (asked by HTTP)`,
        ip: request.ip,
      })
      throw new DaemonError('NOT_FOUND', 'no such boot file')
    }
    void reply.type('application/octet-stream').header('content-length', file.sizeBytes)
    if (request.method === 'HEAD') {
      await file.close()
      return reply.send(null)
    }
    this.#deps.emit({
      kind: 'boot.loader',
      stage: 'loader',
      message: `boot file ${word(name, '?')} asked by HTTP, ${file.sizeBytes} bytes`,
      ip: request.ip,
    })
    return reply.send(Readable.from(pieces(file), { objectMode: false }))
  }

  #target(request: FastifyRequest): BootTarget {
    const target = this.#deps.findByToken(param(request, 'token'))
    if (target !== undefined) return target
    this.#emitBounded({
      kind: 'boot.unknown-token',
      message: 'a boot URL was asked for whose token no server has; an old script or a guess',
      ip: request.ip,
    })
    throw new DaemonError('NOT_FOUND', 'no server has this boot token')
  }
}

async function* pieces(file: BootFile): AsyncGenerator<Uint8Array> {
  try {
    for (let offset = 0; offset < file.sizeBytes; offset += READ_BYTES) {
      yield await file.read(offset, READ_BYTES)
    }
  } finally {
    await file.close()
  }
}

function sendText(reply: FastifyReply, text: string): FastifyReply {
  return reply.type('text/plain; charset=utf-8').header('cache-control', 'no-store').send(text)
}

function param(request: FastifyRequest, name: string): string {
  const value = (request.params as Record<string, unknown>)[name] // the route has this parameter
  return typeof value === 'string' ? value : ''
}

function queryWord(request: FastifyRequest, name: string): string {
  const value = (request.query as Record<string, unknown>)[name] // fastify's parsed query string
  return word(value, 'unknown')
}

/** Text from the network as a short harmless word for a message. */
function word(value: unknown, fallback: string): string {
  if (typeof value !== 'string' || value === '') return fallback
  return value.slice(0, MAX_WORD).replace(/[^A-Za-z0-9._:-]/g, '?')
}

function bodyText(request: FastifyRequest): string {
  return typeof request.body === 'string' ? request.body : ''
}

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../clock.js'
import { DaemonError } from '../errors.js'
import type { DaemonEvent, EmitEvent } from '../events.js'
import { parseMac } from '../wire/mac.js'
import type { BootDesk } from './boot-desk.js'
import { sendBootFile } from './boot-file-reply.js'
import type { BootFiles } from './boot-files.js'
import type { BootPolicy, BootTarget } from './decide.js'
import { limitEvents } from '../event-limiter.js'
import { failureWords } from './ipxe/failure-words.js'
import { renderScript, renderStopped, type ScriptTemplates } from './ipxe/script.js'

/** What the boot routes are made of. */
export interface BootRoutesDeps {
  /** The server whose boot in progress has this token, or undefined. */
  readonly findByToken: (token: string) => BootTarget | undefined
  /** The server of this deploy (its seed carries the id), or undefined. */
  readonly findByInstance: (instanceId: string) => Pick<BootTarget, 'serverId' | 'serverName'> | undefined
  /** The server whose machine has a NIC of this MAC and a NIC of this address, or undefined. */
  readonly findByNic: (mac: string, ip: string) => BootTarget | undefined
  /** Firmware asks without DHCP of ours: a boot of its own may begin. */
  readonly firmwareAsks: (serverId: string) => void
  /** A script is about to be sent: the boot's own secret is made. */
  readonly scriptAsked: (serverId: string) => void
  readonly desk: Pick<BootDesk, 'maySendScript' | 'onStage'>
  /** Where the machines that use this listener reach us. */
  readonly policy: Pick<BootPolicy, 'address' | 'httpPort'>
  readonly templates: ScriptTemplates
  readonly files: BootFiles
  readonly emit: EmitEvent
  readonly clock: Clock
}

/** Largest phone-home body: cloud-init sends host keys, a few KiB. */
const READY_BODY_BYTES = 64 << 10
const MAX_WORD = 64

/**
 * What machines ask for while they boot; TOKEN is that of one boot, and dead when the next one begins:
 * `GET /boot/TOKEN/script` its iPXE script, `GET /boot/TOKEN/loaders/NAME` a boot file,
 * `GET /boot/TOKEN/failed?step=&code=&text=&errno=&try=` a script's bad news,
 * `GET|POST /boot/INSTANCE/ready` the running system's good news (cloud-init's phone_home posts a form): a system keeps
 * what its seed said for as long as it was deployed, so this one has the id of the deploy.
 * `GET /boot/start/MAC` is for machines whose DHCP is not ours: the script, if the address that asks is the machine's.
 * Anything unknown is a 404.
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
    app.get('/boot/start/:mac', (request, reply) => routes.start(request, reply))
    app.get('/boot/:token/failed', (request, reply) => routes.failed(request, reply))
    app.get('/boot/:instance/ready', (request, reply) => routes.ready(request, reply))
    app.post('/boot/:instance/ready', { bodyLimit: READY_BODY_BYTES }, (request, reply) =>
      routes.ready(request, reply),
    )
    app.route({
      method: ['GET', 'HEAD'],
      url: '/boot/:token/loaders/:name',
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
    return this.#sendScript(request, reply, this.#target(request))
  }

  start(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { findByNic, firmwareAsks, templates } = this.#deps
    const mac = parseMac(param(request, 'mac'))
    const found = mac === undefined ? undefined : findByNic(mac, request.ip)
    if (mac === undefined || found === undefined) {
      const message = `a script was asked for by ${mac ?? 'no MAC'}, which no server has with this address`
      this.#emitBounded({
        kind: 'boot.unknown-machine',
        message,
        ip: request.ip,
        ...(mac !== undefined && { mac }),
      })
      return sendText(reply, templates.unknown)
    }
    if (request.method !== 'HEAD') firmwareAsks(found.serverId)
    return this.#sendScript(request, reply, findByNic(mac, request.ip) ?? found)
  }

  failed(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { serverId } = this.#target(request)
    const { desk, emit } = this.#deps
    emit({ kind: 'boot.script-failed', message: failureMessage(request), serverId, ip: request.ip })
    desk.onStage(serverId, 'reported')
    return sendText(reply, 'noted\n')
  }

  ready(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const target = this.#known(request, this.#deps.findByInstance(param(request, 'instance')))
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
    const { serverId } = this.#target(request)
    const name = param(request, 'name')
    // Route parameters arrive decoded; BootFiles wants bytes as TFTP carries them.
    const file = await this.#deps.files.open(Buffer.from(name, 'utf8').toString('latin1'))
    const about = { serverId, ip: request.ip }
    if (file === undefined) {
      const message = `no boot file ${word(name, '?')} in the loader directories (asked by HTTP)`
      this.#emitBounded({ kind: 'boot.no-such-file', message, ...about })
      throw new DaemonError('NOT_FOUND', 'no such boot file')
    }
    return sendBootFile(request, reply, file, () => {
      const message = `boot file ${word(name, '?')} asked by HTTP, ${file.sizeBytes} bytes`
      this.#deps.emit({ kind: 'boot.loader', stage: 'loader', message, ...about })
    })
  }

  #sendScript(request: FastifyRequest, reply: FastifyReply, asked: BootTarget): FastifyReply {
    const { templates, policy, desk, emit } = this.#deps
    if (request.method === 'HEAD') return sendText(reply, renderScript(templates, asked, policy).text)
    if (!desk.maySendScript(asked)) return sendText(reply, renderStopped(templates, asked, policy).text)
    this.#deps.scriptAsked(asked.serverId)
    // Its secret is another one now.
    const { text, reason } = renderScript(templates, this.#deps.findByToken(asked.bootToken) ?? asked, policy)
    const event: DaemonEvent = { kind: 'boot.script', stage: 'script', message: `script sent: ${reason}` }
    emit({ ...event, serverId: asked.serverId, ip: request.ip })
    return sendText(reply, text)
  }

  #target(request: FastifyRequest): BootTarget {
    return this.#known(request, this.#deps.findByToken(param(request, 'token')))
  }

  #known<T>(request: FastifyRequest, target: T | undefined): T {
    if (target !== undefined) return target
    this.#emitBounded({
      kind: 'boot.unknown-token',
      message: 'a boot URL was asked for whose token no boot has: of a boot that is over, or a guess',
      ip: request.ip,
    })
    throw new DaemonError('NOT_FOUND', 'no server has this boot token')
  }
}

function failureMessage(request: FastifyRequest): string {
  const [step, code, text] = ['step', 'code', 'text'].map((name) => queryWord(request, name))
  const [errno, attempt] = ['errno', 'try'].map((name) => queryWord(request, name))
  const told = [
    ...(code === undefined ? [] : [`code ${code}`]),
    ...(text === undefined ? [] : [text]),
    ...(attempt === undefined ? [] : [`try ${attempt}`]),
    ...(errno === undefined ? [] : [`iPXE error ${failureWords(errno)}`]),
  ]
  return [`the boot script failed at ${step ?? 'an unnamed step'}`, ...told].join(', ')
}

function sendText(reply: FastifyReply, text: string): FastifyReply {
  return reply.type('text/plain; charset=utf-8').header('cache-control', 'no-store').send(text)
}

function param(request: FastifyRequest, name: string): string {
  const value = (request.params as Record<string, unknown>)[name] // the route has this parameter
  return typeof value === 'string' ? value : ''
}

function queryWord(request: FastifyRequest, name: string): string | undefined {
  const value = (request.query as Record<string, unknown>)[name] // fastify's parsed query string
  const text = word(value, '')
  return text === '' ? undefined : text
}

/** Text from the network as a short harmless word for a message. */
function word(value: unknown, fallback: string): string {
  if (typeof value !== 'string' || value === '') return fallback
  return value.slice(0, MAX_WORD).replace(/[^A-Za-z0-9._:-]/g, '?')
}

function bodyText(request: FastifyRequest): string {
  return typeof request.body === 'string' ? request.body : ''
}

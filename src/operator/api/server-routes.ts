import type { FastifyInstance } from 'fastify'
import { timelineOf } from '../../control/boots.js'
import type { EventIntake } from '../../control/event-intake.js'
import type { Keypairs } from '../../control/keypairs.js'
import type { Redeployment } from '../../control/redeployment.js'
import { clearPassword } from '../../control/sealed-password.js'
import type { ServerChanges } from '../../control/server-changes.js'
import type { Servers } from '../../control/servers.js'
import { DaemonError } from '../../errors.js'
import type { Registry } from '../../registry/registry.js'
import type { ServerView } from './schema.js'
import {
  NewServerBody,
  PowerBody,
  RedeployBody,
  RescueBody,
  ServerChangeBody,
  type PasswordView,
} from './server-schema.js'
import { eventView, serverView, timelineView } from './views.js'

/** What the routes of servers act through. */
export interface ServerRouteDeps {
  readonly registry: Registry
  readonly servers: Servers
  readonly changes: ServerChanges
  readonly redeployment: Redeployment
  readonly keypairs: Keypairs
  readonly intake: EventIntake
  /** Bytes the layer holds of its own on disk. */
  readonly allocatedBytes: (layerId: string) => Promise<number>
  /** The last `limitBytes` of a text file. */
  readonly tailOf: (file: string, limitBytes: number) => Promise<string>
}

/** How much of a console is shown. */
const CONSOLE_TAIL_BYTES = 64 * 1024

interface ById {
  Params: { id: string }
}

/** Servers: what they are, what they are told, their power. */
export function serverRoutes(app: FastifyInstance, deps: ServerRouteDeps): void {
  lifeRoutes(app, deps)
  changeRoutes(app, deps)
  passwordRoutes(app, deps)
  historyRoutes(app, deps)
  powerRoutes(app, deps)
  rescueRoute(app, deps)
}

async function viewOf(
  { registry, servers, allocatedBytes }: ServerRouteDeps,
  id: string,
): Promise<ServerView> {
  const server = servers.get(id)
  const layerId = registry.volumes.get(server.volumeId)?.layerId
  return serverView(server, registry, layerId === undefined ? 0 : await allocatedBytes(layerId))
}

function lifeRoutes(app: FastifyInstance, deps: ServerRouteDeps): void {
  const { servers, keypairs } = deps
  const view = (id: string): Promise<ServerView> => viewOf(deps, id)
  app.get('/servers', async () => ({ servers: await Promise.all(servers.list().map(({ id }) => view(id))) }))
  app.get<ById>('/servers/:id', (request) => view(request.params.id))
  app.post<{ Body: NewServerBody }>(
    '/servers',
    { schema: { body: NewServerBody } },
    async (request, reply) => {
      const {
        keys = [],
        ssh_keys = [],
        user_data,
        admin_password,
        addressing = 'dhcp',
        ...rest
      } = request.body
      const server = await servers.create({
        ...rest,
        keys: keypairs.ofServer(keys, ssh_keys),
        userData: user_data === undefined ? undefined : decodeBase64(user_data),
        adminPassword: admin_password,
        addressing,
      })
      return reply.code(201).send(await view(server.id))
    },
  )
  app.delete<ById>('/servers/:id', async (request, reply) => {
    await servers.delete(request.params.id)
    return reply.code(204).send()
  })
}

function changeRoutes(app: FastifyInstance, deps: ServerRouteDeps): void {
  const { changes, redeployment, keypairs } = deps
  const change = { schema: { body: ServerChangeBody } }
  app.patch<ById & { Body: ServerChangeBody }>('/servers/:id', change, async (request) => {
    const { name, keys, ssh_keys, user_data, network, admin_password } = request.body
    const hasKeys = keys !== undefined || ssh_keys !== undefined
    const { id } = await changes.change(request.params.id, {
      name,
      keys: hasKeys ? keypairs.ofServer(keys ?? [], ssh_keys ?? []) : undefined,
      userData: typeof user_data === 'string' ? decodeBase64(user_data) : user_data,
      network,
      adminPassword: admin_password,
    })
    return viewOf(deps, id)
  })
  const redeploy = { schema: { body: RedeployBody } }
  app.post<ById & { Body: RedeployBody }>('/servers/:id/redeploy', redeploy, async (request) => {
    const { id } = await redeployment.redeploy(request.params.id, request.body)
    return viewOf(deps, id)
  })
}

function passwordRoutes(app: FastifyInstance, { registry, servers }: ServerRouteDeps): void {
  app.get<ById>('/servers/:id/password', (request): PasswordView => {
    const { name, sealedPassword } = servers.get(request.params.id)
    if (sealedPassword !== undefined) return { password: sealedPassword }
    throw new DaemonError('NOT_FOUND', `server ${name} has posted no password`)
  })
  app.delete<ById>('/servers/:id/password', (request, reply) => {
    clearPassword(registry, request.params.id)
    return reply.code(204).send()
  })
}

function historyRoutes(app: FastifyInstance, { registry, servers, intake, tailOf }: ServerRouteDeps): void {
  app.get<ById>('/servers/:id/events', (request) => {
    const { id } = servers.get(request.params.id)
    return { events: registry.events.list({ serverId: id, limit: 1000 }).map(eventView) }
  })
  app.get<ById>('/servers/:id/console', async (request) => {
    const { machineId } = servers.get(request.params.id)
    const file = registry.machines.get(machineId)?.consoleFile
    if (file === undefined)
      throw new DaemonError('NOT_FOUND', 'the machine has no console file: give one when it is enrolled')
    return { output: await tailOf(file, CONSOLE_TAIL_BYTES) }
  })
  app.get<ById>('/servers/:id/timeline', (request) => {
    const { id, status } = servers.get(request.params.id)
    return timelineView(status, registry.boots.latest(id)?.id, timelineOf(intake.reached(id)))
  })
}

function powerRoutes(app: FastifyInstance, { servers }: ServerRouteDeps): void {
  app.post<ById>('/servers/:id/start', async (request, reply) => {
    await servers.start(request.params.id)
    return reply.code(202).send({})
  })
  app.post<ById & { Body: PowerBody }>(
    '/servers/:id/stop',
    { schema: { body: PowerBody } },
    async (request, reply) => {
      await servers.stop(request.params.id, request.body.force ?? false)
      return reply.code(202).send({})
    },
  )
  app.post<ById & { Body: PowerBody }>(
    '/servers/:id/reboot',
    { schema: { body: PowerBody } },
    async (request, reply) => {
      await servers.reboot(request.params.id, request.body.force ?? false)
      return reply.code(202).send({})
    },
  )
}

function rescueRoute(app: FastifyInstance, { servers }: ServerRouteDeps): void {
  app.post<ById & { Body: RescueBody }>(
    '/servers/:id/rescue',
    { schema: { body: RescueBody } },
    (request, reply) => {
      servers.rescue(request.params.id, request.body.cancel !== true)
      return reply.code(202).send({})
    },
  )
}

function decodeBase64(text: string): Buffer {
  if (/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text)) return Buffer.from(text, 'base64')
  throw new DaemonError('INVALID_INPUT', 'user_data: expected base64')
}

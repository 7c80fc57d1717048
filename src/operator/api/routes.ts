import type { FastifyInstance } from 'fastify'
import { timelineOf } from '../../control/boots.js'
import type { EventIntake } from '../../control/event-intake.js'
import type { ImageDescription, Images } from '../../control/images.js'
import type { Machines, SwitchPort } from '../../control/machines.js'
import { DaemonError } from '../../errors.js'
import { diskRoutes, type DiskDeps } from './disk-routes.js'
import { doctorRoutes, type DoctorDeps } from './doctor-routes.js'
import { leaseRoutes, type LeaseDeps } from './lease-routes.js'
import {
  MachineChange,
  NewImageBody,
  NewMachineBody,
  NewServerBody,
  PowerBody,
  RescueBody,
  type ImageVerdict,
} from './schema.js'
import { eventView, imageView, jobView, machineView, serverView, timelineView } from './views.js'

/** What the routes act through. */
export interface ApiDeps extends DiskDeps, DoctorDeps, LeaseDeps {
  readonly machines: Machines
  readonly images: Images
  readonly intake: EventIntake
  /** The last `limitBytes` of a text file. */
  readonly tailOf: (file: string, limitBytes: number) => Promise<string>
}

/** How much of a console is shown. */
const CONSOLE_TAIL_BYTES = 64 * 1024

interface ById {
  Params: { id: string }
}

/** The native API: mounts every route below its prefix. */
export function apiRoutes(deps: ApiDeps): (app: FastifyInstance) => void {
  return (app) => {
    machineRoutes(app, deps)
    imageRoutes(app, deps)
    serverRoutes(app, deps)
    powerRoutes(app, deps)
    rescueRoute(app, deps)
    diskRoutes(app, deps)
    leaseRoutes(app, deps)
    jobRoutes(app, deps)
    doctorRoutes(app, deps)
  }
}

function switchPort(body: { circuit_id?: string; remote_id?: string }): SwitchPort {
  return { circuitId: body.circuit_id, remoteId: body.remote_id }
}

function changeMachine(machines: Machines, id: string, { loader, switch_port: port }: MachineChange): void {
  if (loader !== undefined) machines.setLoader(id, loader ?? undefined)
  if (port !== undefined) machines.setSwitchPort(id, port === null ? undefined : switchPort(port))
}

function machineRoutes(app: FastifyInstance, { registry, machines }: ApiDeps): void {
  app.get('/machines', () => ({ machines: machines.list().map((machine) => machineView(machine, registry)) }))
  app.get<ById>('/machines/:id', (request) => machineView(machines.get(request.params.id), registry))
  app.post<{ Body: NewMachineBody }>('/machines', { schema: { body: NewMachineBody } }, (request, reply) => {
    const {
      name,
      nics,
      firmware = 'bios',
      bmc_url,
      bmc_credentials_file,
      console_file,
      loader,
    } = request.body
    const machine = machines.add({
      name,
      nics: nics.map(({ mac, ip, switch_port: port }) => {
        return { mac, ip, switchPort: port && switchPort(port) }
      }),
      firmware,
      bmcUrl: bmc_url,
      bmcCredentialsFile: bmc_credentials_file,
      consoleFile: console_file,
      loader,
    })
    return reply.code(201).send(machineView(machine, registry))
  })
  const change = { schema: { body: MachineChange } }
  app.patch<ById & { Body: MachineChange }>('/machines/:id', change, (request) => {
    changeMachine(machines, request.params.id, request.body)
    return machineView(machines.get(request.params.id), registry)
  })
  app.delete<ById>('/machines/:id', (request, reply) => {
    machines.delete(request.params.id)
    return reply.code(204).send()
  })
}

function imageRoutes(app: FastifyInstance, { images }: ApiDeps): void {
  app.get('/images', () => ({ images: images.list().map(imageView) }))
  app.get<ById>('/images/:id', (request) => imageView(images.get(request.params.id)))
  app.post<{ Body: NewImageBody }>('/images', { schema: { body: NewImageBody } }, (request, reply) => {
    const { image, job } = startImage(images, request.body)
    return reply.code(202).send({ image: imageView(image), job: jobView(job) })
  })
  app.post<ById>('/images/:id/verify', async (request): Promise<ImageVerdict> => {
    const { image, damagedChunks } = await images.verify(request.params.id)
    return {
      sha256: image.sha256 ?? null,
      matches: damagedChunks.length === 0,
      damaged_chunks: damagedChunks,
    }
  })
  app.delete<ById>('/images/:id', async (request, reply) => {
    await images.delete(request.params.id)
    return reply.code(204).send()
  })
}

function startImage(images: Images, body: NewImageBody): ReturnType<Images['startImport']> {
  const { name, path, recipe, os_type = 'linux', os_version = 'Other Linux(64 bit)' } = body
  const description: ImageDescription = { name, osType: os_type, osVersion: os_version }
  if (path !== undefined && recipe === undefined) return images.startImport(path, description)
  if (recipe !== undefined && path === undefined) return images.startBuild(recipe, description)
  throw new DaemonError('INVALID_INPUT', 'path, recipe: exactly one of them is needed')
}

function serverRoutes(app: FastifyInstance, deps: ApiDeps): void {
  const { registry, servers, intake } = deps
  const view = async (id: string): Promise<ReturnType<typeof serverView>> => {
    const server = servers.get(id)
    const layerId = registry.volumes.get(server.volumeId)?.layerId
    return serverView(server, registry, layerId === undefined ? 0 : await deps.allocatedBytes(layerId))
  }
  app.get('/servers', async () => ({ servers: await Promise.all(servers.list().map(({ id }) => view(id))) }))
  app.get<ById>('/servers/:id', (request) => view(request.params.id))
  app.post<{ Body: NewServerBody }>(
    '/servers',
    { schema: { body: NewServerBody } },
    async (request, reply) => {
      const { name, image, machine, ssh_keys = [], user_data, addressing = 'dhcp' } = request.body
      const userData = user_data === undefined ? undefined : decodeBase64(user_data)
      const keys = ssh_keys.map((publicKey, index) => ({ name: `key-${index}`, publicKey }))
      const server = await servers.create({ name, image, machine, keys, userData, addressing })
      return reply.code(201).send(await view(server.id))
    },
  )
  app.delete<ById>('/servers/:id', async (request, reply) => {
    await servers.delete(request.params.id)
    return reply.code(204).send()
  })
  app.get<ById>('/servers/:id/events', (request) => {
    const { id } = servers.get(request.params.id)
    return { events: registry.events.list({ serverId: id, limit: 1000 }).map(eventView) }
  })
  app.get<ById>('/servers/:id/console', async (request) => {
    const { machineId } = servers.get(request.params.id)
    const file = registry.machines.get(machineId)?.consoleFile
    if (file === undefined)
      throw new DaemonError('NOT_FOUND', 'the machine has no console file: give one when it is enrolled')
    return { output: await deps.tailOf(file, CONSOLE_TAIL_BYTES) }
  })
  app.get<ById>('/servers/:id/timeline', (request) => {
    const { id, status } = servers.get(request.params.id)
    return timelineView(status, registry.boots.latest(id)?.id, timelineOf(intake.reached(id)))
  })
}

function powerRoutes(app: FastifyInstance, { servers }: ApiDeps): void {
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

function rescueRoute(app: FastifyInstance, { servers }: ApiDeps): void {
  app.post<ById & { Body: RescueBody }>(
    '/servers/:id/rescue',
    { schema: { body: RescueBody } },
    (request, reply) => {
      servers.rescue(request.params.id, request.body.cancel !== true)
      return reply.code(202).send({})
    },
  )
}

function jobRoutes(app: FastifyInstance, { registry }: ApiDeps): void {
  app.get('/jobs', () => ({ jobs: registry.jobs.list().map(jobView) }))
  app.get<ById>('/jobs/:id', (request) => {
    const job = registry.jobs.get(request.params.id)
    if (job === undefined) throw new DaemonError('NOT_FOUND', `no job ${JSON.stringify(request.params.id)}`)
    return jobView(job)
  })
}

function decodeBase64(text: string): Buffer {
  if (/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text)) return Buffer.from(text, 'base64')
  throw new DaemonError('INVALID_INPUT', 'user_data: expected base64')
}

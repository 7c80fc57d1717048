import type { FastifyInstance } from 'fastify'
import type { ImageDescription, Images } from '../../control/images.js'
import type { Machines, NewNic, SwitchPort } from '../../control/machines.js'
import { DaemonError } from '../../errors.js'
import { diskRoutes, type DiskDeps } from './disk-routes.js'
import { doctorRoutes, type DoctorDeps } from './doctor-routes.js'
import { inspectionRoutes } from './inspection-routes.js'
import { keypairRoutes, type KeypairDeps } from './keypair-routes.js'
import { leaseRoutes, type LeaseDeps } from './lease-routes.js'
import { ImageChangeBody, MachineChange, NewImageBody, NewMachineBody, type ImageVerdict } from './schema.js'
import { serverRoutes, type ServerRouteDeps } from './server-routes.js'
import { imageView, jobView, machineView } from './views.js'

/** What the routes act through. */
export interface ApiDeps extends DiskDeps, DoctorDeps, KeypairDeps, LeaseDeps, ServerRouteDeps {
  readonly machines: Machines
  readonly images: Images
}

interface ById {
  Params: { id: string }
}

/** The native API: mounts every route below its prefix. */
export function apiRoutes(deps: ApiDeps): (app: FastifyInstance) => void {
  return (app) => {
    machineRoutes(app, deps)
    imageRoutes(app, deps)
    inspectionRoutes(app, deps)
    serverRoutes(app, deps)
    keypairRoutes(app, deps)
    diskRoutes(app, deps)
    leaseRoutes(app, deps)
    jobRoutes(app, deps)
    doctorRoutes(app, deps)
  }
}

function switchPort(body: { circuit_id?: string; remote_id?: string }): SwitchPort {
  return { circuitId: body.circuit_id, remoteId: body.remote_id }
}

function nicOf({ mac, ip, role, switch_port: port }: NewMachineBody['nics'][number]): NewNic {
  return { mac, ip, role, switchPort: port && switchPort(port) }
}

async function changeMachine(machines: Machines, id: string, body: MachineChange): Promise<void> {
  const { loader, switch_port: port, nics: roles, add_nics, remove_nics: removed, inic } = body
  if (loader !== undefined) machines.setLoader(id, loader ?? undefined)
  if (port !== undefined) machines.setSwitchPort(id, port === null ? undefined : switchPort(port))
  const wiring = { roles, added: add_nics?.map(nicOf), removed, inic }
  if (Object.values(wiring).some((each) => each !== undefined)) await machines.setWiring(id, wiring)
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
      inic,
    } = request.body
    const machine = machines.add({
      name,
      nics: nics.map(nicOf),
      firmware,
      bmcUrl: bmc_url,
      bmcCredentialsFile: bmc_credentials_file,
      consoleFile: console_file,
      loader,
      inic,
    })
    return reply.code(201).send(machineView(machine, registry))
  })
  const change = { schema: { body: MachineChange } }
  app.patch<ById & { Body: MachineChange }>('/machines/:id', change, async (request) => {
    await changeMachine(machines, request.params.id, request.body)
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
  const change = { schema: { body: ImageChangeBody } }
  app.patch<ById & { Body: ImageChangeBody }>('/images/:id', change, (request) => {
    const { name, os_type: osType, os_version: osVersion, properties } = request.body
    return imageView(images.change(request.params.id, { name, osType, osVersion, properties }))
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
  const isBootRequired = body.require_bootable ?? false
  const description: ImageDescription = { name, osType: os_type, osVersion: os_version, isBootRequired }
  if (path !== undefined && recipe === undefined) return images.startImport(path, description)
  if (recipe !== undefined && path === undefined) return images.startBuild(recipe, description)
  throw new DaemonError('INVALID_INPUT', 'path, recipe: exactly one of them is needed')
}

function jobRoutes(app: FastifyInstance, { registry }: ApiDeps): void {
  app.get('/jobs', () => ({ jobs: registry.jobs.list().map(jobView) }))
  app.get<ById>('/jobs/:id', (request) => {
    const job = registry.jobs.get(request.params.id)
    if (job === undefined) throw new DaemonError('NOT_FOUND', `no job ${JSON.stringify(request.params.id)}`)
    return jobView(job)
  })
}

import { isAbsolute } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Servers } from '../../control/servers.js'
import type { Snapshots } from '../../control/snapshots.js'
import type { VolumeReport } from '../../control/volume-report.js'
import type { LayerMerger } from '../../control/layer-merger.js'
import type { TargetClient } from '../../control/target-client.js'
import type { Volumes } from '../../control/volumes.js'
import { DaemonError } from '../../errors.js'
import type { Registry } from '../../registry/registry.js'
import {
  GrowBody,
  NbdBody,
  NewSnapshotBody,
  NewVolumeBody,
  RollbackBody,
  VolumeBody,
  type SnapshotView,
  type VolumeView,
} from './schema.js'
import { jobView, snapshotView, volumeView } from './views.js'

/** What the routes of volumes and snapshots act through. */
export interface DiskDeps {
  readonly registry: Registry
  readonly servers: Servers
  readonly volumes: Volumes
  readonly snapshots: Snapshots
  readonly merger: LayerMerger
  readonly reports: VolumeReport
  readonly nbd: Pick<TargetClient, 'beginNbd' | 'endNbd'>
  /** Bytes the layer holds of its own on disk. */
  readonly allocatedBytes: (layerId: string) => Promise<number>
}

interface ById {
  Params: { id: string }
}

/** Volumes, snapshots, and which server sees which volume. */
export function diskRoutes(app: FastifyInstance, deps: DiskDeps): void {
  volumeRoutes(app, deps)
  volumeWorkRoutes(app, deps)
  nbdRoutes(app, deps)
  attachmentRoutes(app, deps)
  snapshotRoutes(app, deps)
}

async function viewOf({ registry, volumes, allocatedBytes }: DiskDeps, id: string): Promise<VolumeView> {
  const volume = volumes.get(id)
  return volumeView(volume, registry, {
    allocatedBytes: await allocatedBytes(volume.layerId),
    lun: volumes.lunOf(volume),
  })
}

function volumeRoutes(app: FastifyInstance, deps: DiskDeps): void {
  const { volumes } = deps
  const view = (id: string): Promise<VolumeView> => viewOf(deps, id)
  app.get('/volumes', async () => ({ volumes: await Promise.all(volumes.list().map(({ id }) => view(id))) }))
  app.get<ById>('/volumes/:id', (request) => view(request.params.id))
  app.post<{ Body: NewVolumeBody }>(
    '/volumes',
    { schema: { body: NewVolumeBody } },
    async (request, reply) => {
      const { name, size_bytes: sizeBytes, snapshot } = request.body
      const { id } = await volumes.create({ name, sizeBytes, snapshot })
      return reply.code(201).send(await view(id))
    },
  )
  app.delete<ById>('/volumes/:id', async (request, reply) => {
    await volumes.delete(request.params.id)
    return reply.code(204).send()
  })
}

function volumeWorkRoutes(app: FastifyInstance, deps: DiskDeps): void {
  const { volumes, snapshots, merger, reports } = deps
  app.post<ById & { Body: GrowBody }>(
    '/volumes/:id/grow',
    { schema: { body: GrowBody } },
    async (request) => {
      const { id } = await volumes.grow(request.params.id, request.body.size_bytes)
      return viewOf(deps, id)
    },
  )
  app.post<ById & { Body: RollbackBody }>(
    '/volumes/:id/rollback',
    { schema: { body: RollbackBody } },
    async (request) => {
      const { id } = await snapshots.rollback(request.params.id, request.body.snapshot)
      return viewOf(deps, id)
    },
  )
  app.post<ById>('/volumes/:id/flatten', (request, reply) => {
    const job = merger.startFlatten(volumes.get(request.params.id))
    return reply.code(202).send({ job: jobView(job) })
  })
  app.post<ById>('/volumes/:id/verify', (request) => reports.verify(volumes.get(request.params.id)))
  app.post<ById>('/volumes/:id/check', (request) => reports.check(volumes.get(request.params.id)))
  app.get<ById & { Querystring: { offset?: string } }>('/volumes/:id/map', (request) =>
    reports.map(volumes.get(request.params.id), offsetOf(request.query.offset)),
  )
}

function nbdRoutes(app: FastifyInstance, { volumes, nbd }: DiskDeps): void {
  app.post<ById & { Body: NbdBody }>(
    '/volumes/:id/nbd',
    { schema: { body: NbdBody } },
    async (request, reply) => {
      const { socket: socketPath, writable: isWritable = false } = request.body
      if (!isAbsolute(socketPath))
        throw new DaemonError(
          'INVALID_INPUT',
          `socket: expected an absolute path, got ${JSON.stringify(socketPath)}`,
        )
      await nbd.beginNbd(volumes.get(request.params.id).id, { socketPath, isWritable })
      return reply.code(201).send({})
    },
  )
  app.delete<ById>('/volumes/:id/nbd', async (request, reply) => {
    const { id, name } = volumes.get(request.params.id)
    if (await nbd.endNbd(id)) return reply.code(204).send()
    throw new DaemonError('WRONG_STATE', `volume ${name} is not exported`)
  })
}

function attachmentRoutes(app: FastifyInstance, deps: DiskDeps): void {
  const { servers, volumes } = deps
  const schema = { body: VolumeBody }
  app.post<ById & { Body: VolumeBody }>('/servers/:id/attach', { schema }, async (request) => {
    const server = servers.get(request.params.id)
    const { volumeId } = await volumes.attach(server, request.body.volume)
    return viewOf(deps, volumeId)
  })
  app.post<ById & { Body: VolumeBody }>('/servers/:id/detach', { schema }, async (request, reply) => {
    await volumes.detach(servers.get(request.params.id), request.body.volume)
    return reply.code(204).send()
  })
}

function snapshotRoutes(app: FastifyInstance, { registry, snapshots, allocatedBytes }: DiskDeps): void {
  const view = async (id: string): Promise<SnapshotView> => {
    const snapshot = snapshots.get(id)
    return snapshotView(snapshot, registry, await allocatedBytes(snapshot.layerId))
  }
  app.get('/snapshots', async () => ({
    snapshots: await Promise.all(snapshots.list().map(({ id }) => view(id))),
  }))
  app.get<ById>('/snapshots/:id', (request) => view(request.params.id))
  app.post<{ Body: NewSnapshotBody }>(
    '/snapshots',
    { schema: { body: NewSnapshotBody } },
    async (request, reply) => {
      const { snapshot, job } = await snapshots.create(request.body.volume, request.body.name)
      return reply.code(202).send({ snapshot: await view(snapshot.id), job: jobView(job) })
    },
  )
  app.delete<ById>('/snapshots/:id', (request, reply) => {
    const job = snapshots.delete(request.params.id)
    return reply.code(202).send({ job: jobView(job) })
  })
}

function offsetOf(text = '0'): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text)
  throw new DaemonError('INVALID_INPUT', `offset: expected a number of bytes, got ${JSON.stringify(text)}`)
}

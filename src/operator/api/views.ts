import type { TimelineStep } from '../../control/boots.js'
import { userOf } from '../../control/volumes.js'
import type {
  EventRecord,
  ImageRecord,
  JobRecord,
  KeypairRecord,
  MachineRecord,
  ServerRecord,
  SnapshotRecord,
  VolumeRecord,
} from '../../registry/records.js'
import type { Registry } from '../../registry/registry.js'
import type {
  EventView,
  ImageView,
  JobView,
  MachineView,
  ServerView,
  SnapshotView,
  TimelineView,
  VolumeView,
} from './schema.js'
import type { KeypairView } from './server-schema.js'

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

/** A document that is stored as text. */
function parsed(text: string | undefined): unknown {
  return text === undefined ? null : JSON.parse(text)
}

/** A machine with the name of the server on it. */
export function machineView(machine: MachineRecord, registry: Registry): MachineView {
  return {
    id: machine.id,
    name: machine.name,
    firmware: machine.firmware,
    nics: machine.nics.map((nic) => ({
      mac: nic.mac,
      ip: nic.ip ?? null,
      switch_port: nic.switchPort ?? null,
      role: nic.role,
    })),
    bmc_url: machine.bmcUrl ?? null,
    loader: machine.loader ?? null,
    inic: machine.inic,
    server: registry.servers.findByMachine(machine.id)?.name ?? null,
    created_at: iso(machine.createdMs),
  }
}

/** An image. */
export function imageView(image: ImageRecord): ImageView {
  return {
    id: image.id,
    name: image.name,
    status: image.status,
    os_type: image.osType,
    os_version: image.osVersion,
    size_bytes: image.sizeBytes,
    sha256: image.sha256 ?? null,
    properties: image.properties,
    inspection: parsed(image.inspection),
    created_at: iso(image.createdMs),
  }
}

/** A server, without its secrets. */
export function serverView(server: ServerRecord, registry: Registry, allocatedBytes: number): ServerView {
  const machine = registry.machines.get(server.machineId)
  return {
    id: server.id,
    name: server.name,
    status: server.status,
    machine: machine?.name ?? server.machineId,
    image: registry.images.get(server.imageId)?.name ?? server.imageId,
    ip: machine?.nics[0]?.ip ?? null,
    iqn: server.iqn,
    instance_id: server.instanceId,
    rescue: server.rescue !== undefined,
    addressing: server.addressing,
    keys: server.keys.map(({ name }) => name),
    network: parsed(server.network),
    has_admin_password: server.adminPasswordHash !== undefined,
    has_sealed_password: server.sealedPassword !== undefined,
    volume_size_bytes: registry.volumes.get(server.volumeId)?.sizeBytes ?? 0,
    volume_allocated_bytes: allocatedBytes,
    clone_ms: Math.round(server.cloneMs * 1000) / 1000,
    created_at: iso(server.createdMs),
  }
}

/** A key pair: its public half. */
export function keypairView({ name, kind, fingerprint, publicKey, createdMs }: KeypairRecord): KeypairView {
  return { name, kind, fingerprint, public_key: publicKey, created_at: iso(createdMs) }
}

/** A volume with the server that sees it, and as which LUN. */
export function volumeView(
  volume: VolumeRecord,
  registry: Registry,
  { allocatedBytes, lun }: { allocatedBytes: number; lun: number | undefined },
): VolumeView {
  const user = userOf(registry, volume)
  const snapshots = registry.snapshots.list().filter(({ volumeId }) => volumeId === volume.id)
  return {
    id: volume.id,
    name: volume.name,
    kind: user?.lun === 0 ? 'system' : 'data',
    size_bytes: volume.sizeBytes,
    allocated_bytes: allocatedBytes,
    server: user?.server.name ?? null,
    lun: lun ?? null,
    image: registry.images.get(volume.imageId ?? '')?.name ?? null,
    snapshots: snapshots.map(({ name }) => name),
    created_at: iso(volume.createdMs),
  }
}

/** A snapshot. */
export function snapshotView(
  snapshot: SnapshotRecord,
  registry: Registry,
  allocatedBytes: number,
): SnapshotView {
  return {
    id: snapshot.id,
    name: snapshot.name,
    volume: registry.volumes.get(snapshot.volumeId)?.name ?? snapshot.volumeId,
    status: snapshot.status,
    size_bytes: snapshot.sizeBytes,
    allocated_bytes: allocatedBytes,
    created_at: iso(snapshot.createdMs),
  }
}

/** A job. */
export function jobView(job: JobRecord): JobView {
  const { id, kind, status, progress, message } = job
  return { id, kind, status, progress, message, subject: job.subject ?? null }
}

/** An event. */
export function eventView(event: EventRecord): EventView {
  const { seq, kind, message } = event
  return { seq, at: iso(event.atMs), kind, stage: event.stage ?? null, message }
}

/** A boot's timeline. */
export function timelineView(
  status: string,
  bootId: string | undefined,
  steps: readonly TimelineStep[],
): TimelineView {
  return {
    status,
    boot_id: bootId ?? null,
    steps: steps.map((step) => ({
      stage: step.stage,
      at: step.atMs === undefined ? null : iso(step.atMs),
      took_ms: step.tookMs ?? null,
    })),
  }
}

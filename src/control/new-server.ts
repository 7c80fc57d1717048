import { randomBytes, randomUUID } from 'node:crypto'
import { DaemonError } from '../errors.js'
import type {
  ImageRecord,
  MachineRecord,
  ServerKey,
  ServerRecord,
  VolumeRecord,
} from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { newBootToken, newChapSecret } from './boot-credentials.js'
import { newVolume } from './volumes.js'

/** The year and domain of every IQN we make (RFC 7143 §4.2.7.1). */
const IQN_PREFIX = 'iqn.2026-11.io.ingot'
const SERVER_IQN_PREFIX = `${IQN_PREFIX}:server:`
/** Many times what 16 NICs with their bonds, VLANs and routes need. */
const NETWORK_LIMIT_CHARACTERS = 65536

/** A server to create. */
export interface NewServer {
  readonly name: string
  /** Image name or id. */
  readonly image: string
  /** Machine name or id; a free one is taken when left out. */
  readonly machine?: string | undefined
  readonly keys: readonly ServerKey[]
  /** A network document as the operator wrote it; left out: what follows from the machine's NICs. */
  readonly network?: unknown
  readonly userData?: Buffer | undefined
  /** Nobody but the hash of it is kept. */
  readonly adminPassword?: string | undefined
  readonly addressing: 'dhcp' | 'static'
}

/** Whether a target's name is one that we give to servers. */
export function isServerIqn(iqn: string): boolean {
  return iqn.startsWith(SERVER_IQN_PREFIX)
}

/** An image that servers can be made from. @throws DaemonError NOT_FOUND, WRONG_STATE */
export function activeImage(registry: Registry, idOrName: string): ActiveImage {
  const image = registry.images.find(idOrName)
  if (image === undefined) throw new DaemonError('NOT_FOUND', `no image ${JSON.stringify(idOrName)}`)
  if (image.status !== 'active' || image.layerId === undefined) {
    throw new DaemonError('WRONG_STATE', `image ${image.name} is ${image.status}, not active`)
  }
  return { ...image, layerId: image.layerId }
}

/** An image with its layer. */
export type ActiveImage = ImageRecord & { readonly layerId: string }

/** A clone of the image's disk for a server. */
export function newSystemVolume(serverName: string, image: ImageRecord, nowMs: number): VolumeRecord {
  const name = `${serverName}-system-${randomUUID().slice(0, 8)}`
  return newVolume({ name, sizeBytes: image.sizeBytes, imageId: image.id, createdMs: nowMs })
}

/** What is kept of a network document. @throws DaemonError INVALID_INPUT */
export function networkText(document: unknown): string | undefined {
  if (document === undefined || document === null) return undefined
  const text = JSON.stringify(document)
  if (text.length <= NETWORK_LIMIT_CHARACTERS) return text
  const rule = `expected a document of at most ${NETWORK_LIMIT_CHARACTERS} characters`
  throw new DaemonError('INVALID_INPUT', `network: ${rule}, got ${text.length}`)
}

/** What a deploy has of its own: another one is another machine to cloud-init, and its secrets are other ones. */
export function newIdentity(): Pick<ServerRecord, 'instanceId' | 'chapSecret' | 'bootToken' | 'status'> & {
  readonly rescue: undefined
  readonly sealedPassword: undefined
} {
  return {
    instanceId: `i-${randomUUID()}`,
    chapSecret: newChapSecret(),
    bootToken: newBootToken(),
    status: 'SHUTOFF',
    rescue: undefined,
    sealedPassword: undefined,
  }
}

/** A server to be. */
export function newServer(
  input: Omit<NewServer, 'adminPassword'> & Pick<ServerRecord, 'adminPasswordHash'>,
  parts: { image: ImageRecord; machine: MachineRecord; volume: VolumeRecord },
  nowMs: number,
): ServerRecord {
  const id = randomUUID()
  return {
    id,
    name: input.name,
    machineId: parts.machine.id,
    imageId: parts.image.id,
    volumeId: parts.volume.id,
    ...newIdentity(),
    bootIntent: 'server',
    iqn: `${SERVER_IQN_PREFIX}${id}`,
    initiatorIqn: `${IQN_PREFIX}:machine:${parts.machine.id}`,
    chapUser: `m-${parts.machine.id.slice(0, 8)}`,
    addressing: input.addressing,
    keys: input.keys,
    userData: input.userData,
    network: networkText(input.network),
    adminPasswordHash: input.adminPasswordHash,
    seedSecret: randomBytes(32),
    cloneMs: 0,
    createdMs: nowMs,
  }
}

import { createHash, randomUUID } from 'node:crypto'
import type { Clock } from '../clock.js'
import { DaemonError } from '../errors.js'
import type { DaemonEvent } from '../events.js'
import type { AttachmentRecord, ServerRecord, SnapshotRecord, VolumeRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { LUN } from '../rootdisk/target/driver.js'
import type { Claims } from './claims.js'
import { checkName } from './names.js'
import { expectFollowed, type WishState } from './wish-state.js'

/** Sizes a volume may have; the largest is what a layer's map is made for. */
const SMALLEST_BYTES = 2 ** 20
const LARGEST_BYTES = 2 ** 46
const SIZE_STEP_BYTES = 4096
const FIRST_DATA_LUN = LUN.seed + 1
const LAST_LUN = 255

/** A data volume to create: empty and of a size, or going on from a snapshot. */
export interface NewVolume {
  readonly name: string
  /** Left out: that of the snapshot. */
  readonly sizeBytes?: number | undefined
  /** Snapshot name or id. */
  readonly snapshot?: string | undefined
}

/** What volumes need of the other rooms. */
export interface VolumeDeps {
  readonly registry: Registry
  readonly clock: Clock
  readonly claims: Claims
  readonly wishes: WishState
  /** Makes the files of an empty writable layer. */
  readonly createLayer: (layer: { layerId: string; sizeBytes: number }) => Promise<void>
  /** Removes a layer's files; no error when there are none. */
  readonly deleteLayer: (layerId: string) => Promise<void>
  readonly emit: (event: DaemonEvent) => void
}

/** Creates, attaches, grows and deletes volumes. */
export class Volumes {
  readonly #deps: VolumeDeps

  constructor(deps: VolumeDeps) {
    this.#deps = deps
  }

  /**
   * Makes a volume, in time independent of its size.
   * @throws DaemonError INVALID_INPUT, NOT_FOUND, NAME_TAKEN, WRONG_STATE; nothing is left behind
   */
  async create(input: NewVolume): Promise<VolumeRecord> {
    const { registry, clock, createLayer, deleteLayer } = this.#deps
    checkName('name', input.name)
    if (registry.volumes.find(input.name) !== undefined)
      throw new DaemonError('NAME_TAKEN', `name: volume ${input.name} exists already`)
    const source = input.snapshot === undefined ? undefined : this.#source(input.snapshot)
    const sizeBytes = newSize(input.sizeBytes, source)
    const image = source === undefined ? undefined : imageUnder(registry, source.layerId)
    const wish = { name: input.name, sizeBytes, imageId: image?.id, createdMs: clock.nowMs() }
    const volume = newVolume(wish)
    await createLayer({ layerId: volume.layerId, sizeBytes })
    try {
      registry.transaction(() => insertVolume(registry, volume, source?.layerId))
    } catch (err) {
      await deleteLayer(volume.layerId)
      throw err
    }
    return volume
  }

  /** The volume of that name or id. @throws DaemonError NOT_FOUND */
  get(idOrName: string): VolumeRecord {
    const volume = this.#deps.registry.volumes.find(idOrName)
    if (volume === undefined) throw new DaemonError('NOT_FOUND', `no volume ${JSON.stringify(idOrName)}`)
    return volume
  }

  /** Every volume, system disks too. */
  list(): readonly VolumeRecord[] {
    return this.#deps.registry.volumes.list()
  }

  /** Deletes a volume that no server has and that has no snapshot. @throws DaemonError NOT_FOUND, IN_USE, WRONG_STATE */
  async delete(idOrName: string): Promise<void> {
    const { registry, claims, wishes } = this.#deps
    const volume = this.get(idOrName)
    const users = registry.volumes.dependants(volume.id)
    if (users.length > 0)
      throw new DaemonError('IN_USE', `volume ${volume.name} is in use by ${users.join(', ')}`)
    const layers = changeableLayers(registry, volume.layerId)
    await claims.during(layers, `volume ${volume.name} is being deleted`, async () => {
      registry.transaction(() => forgetVolume(registry, volume))
      await wishes.applyWhenUp()
    })
  }

  /**
   * Shows a data volume to a server, at once when it runs, as its lowest free LUN.
   * @throws DaemonError NOT_FOUND, IN_USE, NO_CAPACITY, TARGET_UNAVAILABLE; nothing is changed then
   */
  async attach(server: ServerRecord, idOrName: string): Promise<AttachmentRecord> {
    const { registry, wishes } = this.#deps
    const volume = this.get(idOrName)
    const users = registry.volumes.dependants(volume.id).filter((user) => user.startsWith('server '))
    if (users.length > 0)
      throw new DaemonError('IN_USE', `volume: ${volume.name} is in use by ${users.join(', ')}`)
    const attachment = { volumeId: volume.id, serverId: server.id, lun: this.#freeLun(server) }
    registry.attachments.insert(attachment)
    try {
      expectFollowed(await wishes.apply(), volume.id)
    } catch (err) {
      registry.attachments.delete(volume.id)
      throw err
    }
    this.#tell(
      'volume.attached',
      `volume ${volume.name} is LUN ${wishes.shownLun(attachment.lun)} of server ${server.name}`,
      server,
    )
    return attachment
  }

  /** Takes a data volume from a server, at once when it runs. @throws DaemonError NOT_FOUND, WRONG_STATE */
  async detach(server: ServerRecord, idOrName: string): Promise<void> {
    const { registry, wishes } = this.#deps
    const volume = this.get(idOrName)
    if (registry.attachments.get(volume.id)?.serverId !== server.id)
      throw new DaemonError('WRONG_STATE', `volume: ${volume.name} is not attached to server ${server.name}`)
    registry.attachments.delete(volume.id)
    await wishes.applyWhenUp()
    this.#tell('volume.detached', `volume ${volume.name} was taken from server ${server.name}`, server)
  }

  /**
   * Makes a volume larger, under a running server too, which sees it when it looks again.
   * @throws DaemonError NOT_FOUND, INVALID_INPUT; DISK_FAILED when the target could not do it yet
   */
  async grow(idOrName: string, sizeBytes: number): Promise<VolumeRecord> {
    const { registry, claims, wishes } = this.#deps
    wishes.expectLayers('growing a volume')
    const volume = this.get(idOrName)
    checkSize(sizeBytes)
    if (sizeBytes <= volume.sizeBytes) {
      const rule = `volumes only grow, and ${volume.name} has ${volume.sizeBytes} bytes already`
      throw new DaemonError('INVALID_INPUT', `size_bytes: ${rule}, got ${sizeBytes}`)
    }
    const grown = { ...volume, sizeBytes }
    await claims.during([volume.layerId], `volume ${volume.name} is growing`, async () => {
      registry.transaction(() => {
        registry.layers.setSize(volume.layerId, sizeBytes)
        registry.volumes.update(grown)
      })
      expectFollowed(await wishes.applyWhenUp(), volume.id)
    })
    return grown
  }

  /** The LUN as which a server sees a volume. */
  lunOf(volume: VolumeRecord): number | undefined {
    const user = userOf(this.#deps.registry, volume)
    return user === undefined ? undefined : this.#deps.wishes.shownLun(user.lun)
  }

  #source(idOrName: string): SnapshotRecord {
    const snapshot = this.#deps.registry.snapshots.find(idOrName)
    if (snapshot === undefined)
      throw new DaemonError('NOT_FOUND', `snapshot: no snapshot ${JSON.stringify(idOrName)}`)
    if (snapshot.status === 'available') return snapshot
    throw new DaemonError('WRONG_STATE', `snapshot: ${snapshot.name} is ${snapshot.status}, not available`)
  }

  #freeLun(server: ServerRecord): number {
    const used = new Set(this.#deps.registry.attachments.listByServer(server.id).map(({ lun }) => lun))
    for (let lun = FIRST_DATA_LUN; lun <= LAST_LUN; lun++) if (!used.has(lun)) return lun
    throw new DaemonError(
      'NO_CAPACITY',
      `server: ${server.name} has no free LUN of ${FIRST_DATA_LUN} to ${LAST_LUN}`,
    )
  }

  #tell(kind: string, message: string, server: ServerRecord): void {
    this.#deps.emit({ kind, message, serverId: server.id })
  }
}

/** The server that sees a volume, and as which LUN of the registry's. */
export function userOf(
  registry: Registry,
  volume: VolumeRecord,
): { readonly server: ServerRecord; readonly lun: number } | undefined {
  const attachment = registry.attachments.get(volume.id)
  const server =
    attachment === undefined
      ? registry.servers.list().find(({ volumeId }) => volumeId === volume.id)
      : registry.servers.get(attachment.serverId)
  return server === undefined ? undefined : { server, lun: attachment?.lun ?? LUN.system }
}

/** A volume over a new layer. */
export function newVolume(
  wish: Pick<VolumeRecord, 'name' | 'sizeBytes' | 'imageId' | 'createdMs'>,
): VolumeRecord {
  const id = randomUUID()
  return { ...wish, id, layerId: randomUUID(), naa: naaOf(id) }
}

/** Writes a volume and its top layer; part of a transaction. */
export function insertVolume(registry: Registry, volume: VolumeRecord, parentId: string | undefined): void {
  const { layerId: id, sizeBytes, createdMs } = volume
  registry.layers.insert({ id, parentId, sizeBytes, isImmutable: false, createdMs })
  registry.volumes.insert(volume)
}

/** Takes a volume and its top layer away; part of a transaction. */
export function forgetVolume(registry: Registry, volume: VolumeRecord): void {
  registry.volumes.delete(volume.id)
  registry.layers.delete(volume.layerId)
  registry.doomedLayers.insert(volume.layerId)
}

/** The layers of a chain but those of images, which nothing changes. */
export function changeableLayers(registry: Registry, layerId: string): readonly string[] {
  const golden = new Set(registry.images.list().map((image) => image.layerId))
  return registry.layers
    .chain(layerId)
    .map(({ id }) => id)
    .filter((id) => !golden.has(id))
}

/** 16 hex digits of an NAA locally assigned identifier (SPC-4 §7.8.6.6.4: first digit 3), fixed by `seed`. */
export function naaOf(seed: string): string {
  return `3${createHash('sha256').update(seed).digest('hex').slice(0, 15)}`
}

/** The image that a layer stands on. */
export function imageUnder(registry: Registry, layerId: string): { id: string } | undefined {
  const chain = new Set(registry.layers.chain(layerId).map(({ id }) => id))
  return registry.images.list().find((image) => image.layerId !== undefined && chain.has(image.layerId))
}

function newSize(wished: number | undefined, source: SnapshotRecord | undefined): number {
  if (wished === undefined) {
    if (source !== undefined) return source.sizeBytes
    throw new DaemonError('INVALID_INPUT', 'size_bytes, snapshot: one of them is needed')
  }
  checkSize(wished)
  if (source === undefined || wished >= source.sizeBytes) return wished
  const rule = `not less than the ${source.sizeBytes} bytes of snapshot ${source.name}`
  throw new DaemonError('INVALID_INPUT', `size_bytes: expected ${rule}, got ${wished}`)
}

function checkSize(sizeBytes: number): void {
  const isGood =
    sizeBytes >= SMALLEST_BYTES && sizeBytes <= LARGEST_BYTES && sizeBytes % SIZE_STEP_BYTES === 0
  if (isGood) return
  const rule = `a multiple of ${SIZE_STEP_BYTES} between ${SMALLEST_BYTES} (1 MiB) and ${LARGEST_BYTES} (64 TiB)`
  throw new DaemonError('INVALID_INPUT', `size_bytes: expected ${rule}, got ${sizeBytes}`)
}

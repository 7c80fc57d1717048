import { randomUUID } from 'node:crypto'
import { DaemonError } from '../errors.js'
import type { JobRecord, SnapshotRecord, VolumeRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import type { JobContext, Jobs } from './jobs.js'
import type { LayerMerger } from './layer-merger.js'
import { checkName } from './names.js'
import { changeableLayers, imageUnder, userOf, type VolumeDeps } from './volumes.js'
import { expectFollowed } from './wish-state.js'

/** Who uses the disks of the target process. */
export interface TargetUse {
  readonly sessions: readonly { readonly iqn: string }[]
  /** Ids of volumes that are open there, whoever has them. */
  readonly openVolumes: readonly string[]
}

/** What snapshots need beyond what volumes do. */
export interface SnapshotDeps extends Omit<VolumeDeps, 'emit'> {
  readonly jobs: Jobs
  readonly merger: LayerMerger
  /** @throws DaemonError TARGET_UNAVAILABLE */
  readonly targetUse: () => Promise<TargetUse>
}

/** A snapshot on its way out. */
interface Removal {
  readonly snapshot: SnapshotRecord
  /** The layer its clusters go up into, and a volume to do it through; undefined when nothing stands on it. */
  readonly child: { readonly layerId: string; readonly volumeId: string } | undefined
  readonly release: () => void
}

/** Takes snapshots of volumes, goes back to them and deletes them. */
export class Snapshots {
  readonly #deps: SnapshotDeps

  constructor(deps: SnapshotDeps) {
    this.#deps = deps
  }

  /**
   * Starts a snapshot: the volume goes on in a new layer, under a running server too. It is `available` when the job
   * has ended; if the job fails, at the next change or start.
   * @throws DaemonError INVALID_INPUT, NOT_FOUND, NAME_TAKEN, WRONG_STATE; nothing is left behind
   */
  async create(volumeIdOrName: string, name: string): Promise<{ snapshot: SnapshotRecord; job: JobRecord }> {
    const { registry, claims, jobs, wishes, clock } = this.#deps
    wishes.expectLayers('a snapshot')
    const volume = this.#volume(volumeIdOrName)
    checkName('name', name)
    if (registry.snapshots.find(name) !== undefined)
      throw new DaemonError('NAME_TAKEN', `name: snapshot ${name} exists already`)
    const snapshot: SnapshotRecord = {
      id: randomUUID(),
      name,
      volumeId: volume.id,
      layerId: volume.layerId,
      status: 'creating',
      sizeBytes: volume.sizeBytes,
      createdMs: clock.nowMs(),
    }
    const what = `snapshot ${name} of volume ${volume.name} is being taken`
    await claims.during([volume.layerId], what, () =>
      this.#onNewTop(volume, volume.layerId, () => {
        registry.layers.setImmutable(volume.layerId)
        registry.snapshots.insert(snapshot)
      }),
    )
    const job = jobs.start('snapshot-create', name, async () =>
      expectFollowed(await wishes.apply(), volume.id),
    )
    return { snapshot, job }
  }

  /** The snapshot of that name or id. @throws DaemonError NOT_FOUND */
  get(idOrName: string): SnapshotRecord {
    const snapshot = this.#deps.registry.snapshots.find(idOrName)
    if (snapshot === undefined) throw new DaemonError('NOT_FOUND', `no snapshot ${JSON.stringify(idOrName)}`)
    return snapshot
  }

  /** Every snapshot, oldest first. */
  list(): readonly SnapshotRecord[] {
    return this.#deps.registry.snapshots.list()
  }

  /**
   * Puts a volume back to what it held at a snapshot; what came after is gone, the size and later snapshots stay.
   * @throws DaemonError NOT_FOUND, WRONG_STATE while the server runs or anybody has the volume, TARGET_UNAVAILABLE
   */
  async rollback(volumeIdOrName: string, snapshotIdOrName: string): Promise<VolumeRecord> {
    const { registry, claims, wishes } = this.#deps
    wishes.expectLayers('going back to a snapshot')
    const volume = this.#volume(volumeIdOrName)
    const snapshot = this.get(snapshotIdOrName)
    if (snapshot.volumeId !== volume.id)
      throw new DaemonError('INVALID_INPUT', `snapshot: ${snapshot.name} is not of volume ${volume.name}`)
    if (snapshot.status !== 'available')
      throw new DaemonError('WRONG_STATE', `snapshot: ${snapshot.name} is ${snapshot.status}, not available`)
    const layers = changeableLayers(registry, volume.layerId)
    await claims.during(
      [...layers, snapshot.layerId],
      `volume ${volume.name} is being rolled back`,
      async () => {
        await this.#expectUnused(volume)
        await this.#onNewTop(volume, snapshot.layerId, () => {
          registry.layers.delete(volume.layerId)
          registry.doomedLayers.insert(volume.layerId)
        })
        await wishes.applyWhenUp()
      },
    )
    return this.#volume(volume.id)
  }

  /**
   * Starts to delete a snapshot: what only its layer has goes up into the layer over it, under a running server too.
   * One that is `deleting` since its job failed can be deleted again.
   * @throws DaemonError NOT_FOUND, IN_USE while two layers stand on it, WRONG_STATE
   */
  delete(idOrName: string): JobRecord {
    this.#deps.wishes.expectLayers('deleting a snapshot')
    const snapshot = this.get(idOrName)
    if (snapshot.status === 'creating')
      throw new DaemonError('WRONG_STATE', `snapshot: ${snapshot.name} is still being taken`)
    const removal = this.#beginRemoval(snapshot)
    try {
      this.#deps.registry.snapshots.setStatus(snapshot.id, 'deleting')
      return this.#deps.jobs.start('snapshot-delete', snapshot.name, (context) =>
        this.#remove(removal, context),
      )
    } catch (err) {
      removal.release()
      throw err
    }
  }

  /** Goes on with what an earlier daemon had begun to delete; call once, before anything else is asked for. */
  resume(): void {
    const begun = this.list().filter(({ status }) => status === 'deleting')
    if (begun.length === 0) return
    const names = begun.map(({ name }) => name).join(', ')
    this.#deps.jobs.start('snapshot-delete', names, async (context) => {
      for (const snapshot of begun) await this.#remove(this.#beginRemoval(snapshot), context)
    })
  }

  #beginRemoval(snapshot: SnapshotRecord): Removal {
    const child = this.#onlyChild(snapshot)
    const layers = [snapshot.layerId, ...(child === undefined ? [] : [child.layerId])]
    const release = this.#deps.claims.take(layers, `snapshot ${snapshot.name} is being deleted`)
    return { snapshot, child, release }
  }

  async #remove({ snapshot, child, release }: Removal, context: JobContext): Promise<void> {
    try {
      if (child !== undefined) await this.#deps.merger.merge(child.volumeId, [snapshot.layerId], context)
      await this.#forget(snapshot, child?.layerId)
    } finally {
      release()
    }
  }

  async #forget(snapshot: SnapshotRecord, childId: string | undefined): Promise<void> {
    const { registry, wishes } = this.#deps
    registry.transaction(() => {
      const layer = registry.layers.get(snapshot.layerId)
      if (childId !== undefined) registry.layers.setParent(childId, layer?.parentId)
      registry.snapshots.delete(snapshot.id)
      registry.layers.delete(snapshot.layerId)
      registry.doomedLayers.insert(snapshot.layerId)
    })
    await wishes.applyWhenUp()
  }

  #onlyChild(snapshot: SnapshotRecord): Removal['child'] {
    const { registry } = this.#deps
    const children = registry.layers.children(snapshot.layerId)
    if (children.length > 1) {
      const over = children.map(({ id }) => standingOn(registry, id)).join(', ')
      const rule = 'a layer goes once only one stands on it'
      throw new DaemonError('IN_USE', `snapshot: ${snapshot.name} is under ${over}; ${rule}`)
    }
    const [child] = children
    if (child === undefined) return undefined
    const volume = registry.volumes
      .list()
      .find(({ layerId }) => registry.layers.chain(layerId).some(({ id }) => id === child.id))
    if (volume !== undefined) return { layerId: child.id, volumeId: volume.id }
    const over = standingOn(registry, child.id)
    throw new DaemonError(
      'IN_USE',
      `snapshot: ${snapshot.name} is under ${over}, which no volume goes on from: delete that first`,
    )
  }

  /** New files, then in one transaction a new top layer over `parentId` and what `change` writes. */
  async #onNewTop(volume: VolumeRecord, parentId: string, change: () => void): Promise<void> {
    const { registry, clock, createLayer, deleteLayer } = this.#deps
    const { sizeBytes } = volume
    const layerId = randomUUID()
    await createLayer({ layerId, sizeBytes })
    try {
      registry.transaction(() => {
        registry.layers.insert({
          id: layerId,
          parentId,
          sizeBytes,
          isImmutable: false,
          createdMs: clock.nowMs(),
        })
        registry.volumes.update({ ...volume, layerId, imageId: imageUnder(registry, parentId)?.id })
        change()
      })
    } catch (err) {
      await deleteLayer(layerId)
      throw err
    }
  }

  async #expectUnused(volume: VolumeRecord): Promise<void> {
    const server = userOf(this.#deps.registry, volume)?.server
    if (server !== undefined && server.status !== 'SHUTOFF')
      throw new DaemonError('WRONG_STATE', `server ${server.name} is ${server.status}: stop it first`)
    const { sessions, openVolumes } = await this.#deps.targetUse()
    if (server !== undefined && sessions.some(({ iqn }) => iqn === server.iqn))
      throw new DaemonError('WRONG_STATE', `a session of server ${server.name} is still logged in`)
    if (openVolumes.includes(volume.id))
      throw new DaemonError('WRONG_STATE', `volume ${volume.name} is in use: an export or a job has it open`)
  }

  #volume(idOrName: string): VolumeRecord {
    const volume = this.#deps.registry.volumes.find(idOrName)
    if (volume === undefined)
      throw new DaemonError('NOT_FOUND', `volume: no volume ${JSON.stringify(idOrName)}`)
    return volume
  }
}

function standingOn(registry: Registry, layerId: string): string {
  const volume = registry.volumes.findByLayer(layerId)
  if (volume !== undefined) return `volume ${volume.name}`
  const snapshot = registry.snapshots.findByLayer(layerId)
  return snapshot === undefined ? `layer ${layerId}` : `snapshot ${snapshot.name}`
}

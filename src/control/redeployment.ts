import { DaemonError } from '../errors.js'
import type { MachineRecord, ServerRecord, VolumeRecord } from '../registry/records.js'
import type { ServerChange } from '../registry/servers.js'
import { activeImage, newIdentity, newSystemVolume, type ActiveImage } from './new-server.js'
import type { ServerDeps } from './servers.js'
import { expectKernel } from './signed-boot.js'
import { changeableLayers, forgetVolume, insertVolume } from './volumes.js'
import { expectFollowed } from './wish-state.js'

/** How a server is deployed again. */
export interface RedeployWish {
  /** Image name or id; its own when left out. */
  readonly image?: string | undefined
  /** Cut the power first, if there is any. */
  readonly force?: boolean | undefined
}

interface Plan {
  readonly before: ServerRecord
  readonly machine: MachineRecord
  readonly oldVolume: VolumeRecord
  readonly image: ActiveImage
  readonly volume: VolumeRecord
  readonly change: ServerChange
}

/** Gives servers a new clone in place of their system disk: same machine, name, network, keys and data volumes. */
export class Redeployment {
  readonly #deps: ServerDeps

  constructor(deps: ServerDeps) {
    this.#deps = deps
  }

  /**
   * Deploys a stopped server again. Its old system volume is deleted once the target serves the new one; until then
   * a failure leaves everything as it was.
   * @throws DaemonError NOT_FOUND, WRONG_STATE, INVALID_INPUT, POWER_FAILED, TARGET_UNAVAILABLE, DISK_FAILED; IN_USE
   * while the old system volume has snapshots
   */
  async redeploy(idOrName: string, wish: RedeployWish): Promise<ServerRecord> {
    const plan = this.#plan(idOrName, wish)
    const { before, oldVolume } = plan
    const layers = changeableLayers(this.#deps.registry, oldVolume.layerId)
    return await this.#deps.claims.during(layers, `server ${before.name} is being redeployed`, async () => {
      await this.#expectOff(plan, wish.force ?? false)
      await this.#insert(plan, wish.force ?? false)
      await this.#showOrUndo(plan)
      return await this.#finish(plan)
    })
  }

  #plan(idOrName: string, wish: RedeployWish): Plan {
    const { registry, clock, checkSeed, wishes } = this.#deps
    const before = registry.servers.find(idOrName)
    if (before === undefined) throw new DaemonError('NOT_FOUND', `no server ${JSON.stringify(idOrName)}`)
    const machine = registry.machines.get(before.machineId)
    const oldVolume = registry.volumes.get(before.volumeId)
    if (machine === undefined || oldVolume === undefined)
      throw new DaemonError('NOT_FOUND', `server ${before.name} has no machine or no system volume`)
    this.#expectNoSnapshot(before)
    const image = activeImage(registry, wish.image ?? before.imageId)
    expectKernel(machine.loader, image)
    const volume = newSystemVolume(before.name, image, clock.nowMs())
    const { chapSecret, ...identity } = newIdentity()
    const secret = wishes.takesNewSecrets ? { chapSecret } : {}
    const change = { ...identity, ...secret, imageId: image.id, volumeId: volume.id }
    checkSeed({ ...before, ...change }, machine)
    return { before, machine, oldVolume, image, volume, change }
  }

  #expectNoSnapshot({ name, volumeId }: ServerRecord): void {
    const snapshots = this.#deps.registry.snapshots.list().filter((each) => each.volumeId === volumeId)
    if (snapshots.length === 0) return
    const names = snapshots.map((each) => each.name).join(', ')
    throw new DaemonError('IN_USE', `the system volume of server ${name} has snapshots: ${names}`)
  }

  /** Who writes to the old disk must not find the new one. */
  async #expectOff({ before, machine }: Plan, isForced: boolean): Promise<void> {
    if (isForced) return
    const isOn =
      machine.bmcUrl === undefined
        ? before.status !== 'SHUTOFF'
        : (await this.#deps.powerOf(machine).powerState()) === 'on'
    if (!isOn) return
    throw new DaemonError('WRONG_STATE', `server ${before.name} is running: stop it first, or force`)
  }

  /** The clone is made while the old system may still run; it is switched off only when nothing else can fail. */
  async #insert({ before, machine, image, volume, change }: Plan, isForced: boolean): Promise<void> {
    const { registry, clock, createLayer, deleteLayer, powerOf } = this.#deps
    const beganMs = clock.monotonicMs()
    await createLayer({ layerId: volume.layerId, sizeBytes: volume.sizeBytes })
    const cloneMs = clock.monotonicMs() - beganMs
    try {
      if (isForced && machine.bmcUrl !== undefined) await powerOf(machine).powerOff({ force: true })
      registry.transaction(() => {
        insertVolume(registry, volume, image.layerId)
        registry.servers.change(before.id, { ...change, cloneMs })
      })
    } catch (err) {
      await deleteLayer(volume.layerId)
      throw err
    }
  }

  async #showOrUndo({ before, volume, change }: Plan): Promise<void> {
    const { registry, wishes } = this.#deps
    try {
      expectFollowed(await wishes.apply(), volume.id)
    } catch (err) {
      const fields = ['cloneMs', ...Object.keys(change)]
      const old = Object.fromEntries(Object.entries(before).filter(([field]) => fields.includes(field)))
      registry.transaction(() => {
        registry.servers.change(before.id, old)
        forgetVolume(registry, volume)
      })
      await wishes.applyWhenUp()
      throw err
    }
  }

  async #finish({ before, image, oldVolume }: Plan): Promise<ServerRecord> {
    const { registry, wishes, emit } = this.#deps
    registry.transaction(() => forgetVolume(registry, oldVolume))
    const message = `server ${before.name} was deployed again, from ${image.name}`
    emit({ kind: 'server.redeployed', message, serverId: before.id })
    await wishes.applyWhenUp()
    return registry.servers.get(before.id) ?? before
  }
}

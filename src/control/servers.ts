import type { Clock } from '../clock.js'
import { DaemonError } from '../errors.js'
import type { DaemonEvent } from '../events.js'
import type { MachineRecord, ServerRecord, VolumeRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { hashForImage } from './admin-password.js'
import type { Claims } from './claims.js'
import { checkName } from './names.js'
import { activeImage, newServer, newSystemVolume, type ActiveImage, type NewServer } from './new-server.js'
import type { PowerDriver } from './power/power.js'
import { expectKernel } from './signed-boot.js'
import { tellUserDataWarnings } from './user-data-warnings.js'
import { changeableLayers, forgetVolume, insertVolume } from './volumes.js'
import type { WishState } from './wish-state.js'

/** What servers need of the other rooms. */
export interface ServerDeps {
  readonly registry: Registry
  readonly clock: Clock
  readonly claims: Claims
  readonly wishes: WishState
  /** Makes the files of an empty writable layer. */
  readonly createLayer: (layer: { layerId: string; sizeBytes: number }) => Promise<void>
  readonly deleteLayer: (layerId: string) => Promise<void>
  readonly powerOf: (machine: MachineRecord) => PowerDriver
  /** Refuses what the seed could not carry (keys, host name). @throws DaemonError INVALID_INPUT */
  readonly checkSeed: (server: ServerRecord, machine: MachineRecord) => void
  readonly emit: (event: DaemonEvent) => void
}

/** Creates, powers and deletes servers. */
export class Servers {
  readonly #deps: ServerDeps

  constructor(deps: ServerDeps) {
    this.#deps = deps
  }

  /**
   * Clones the image's disk for a machine, in time independent of its size.
   * @throws DaemonError INVALID_INPUT, NOT_FOUND, NAME_TAKEN, IN_USE, NO_CAPACITY, WRONG_STATE; nothing is left behind
   */
  async create(input: NewServer): Promise<ServerRecord> {
    const { registry, clock, createLayer, deleteLayer } = this.#deps
    checkName('name', input.name)
    if (registry.servers.find(input.name) !== undefined) {
      throw new DaemonError('NAME_TAKEN', `server ${input.name} exists already`)
    }
    const image = activeImage(registry, input.image)
    const adminPasswordHash = await hashForImage(input.adminPassword, image)
    const machine = this.#freeMachine(input.machine)
    expectKernel(machine.loader, image)
    const beganMs = clock.monotonicMs()
    const volume = newSystemVolume(input.name, image, clock.nowMs())
    const server = newServer({ ...input, adminPasswordHash }, { image, machine, volume }, clock.nowMs())
    this.#deps.checkSeed(server, machine)
    await createLayer({ layerId: volume.layerId, sizeBytes: volume.sizeBytes })
    const created = { ...server, cloneMs: clock.monotonicMs() - beganMs }
    try {
      this.#insert(image, volume, created)
    } catch (err) {
      await deleteLayer(volume.layerId)
      throw err
    }
    this.#deps.emit({
      kind: 'server.created',
      message: `server ${server.name} created from ${image.name}`,
      serverId: server.id,
    })
    tellUserDataWarnings(this.#deps.emit, server, image.osType)
    await this.#reloadOrUndo(created, volume)
    return created
  }

  /** The server of that name or id. @throws DaemonError NOT_FOUND */
  get(idOrName: string): ServerRecord {
    const server = this.#deps.registry.servers.find(idOrName)
    if (server === undefined) throw new DaemonError('NOT_FOUND', `no server ${JSON.stringify(idOrName)}`)
    return server
  }

  /** Every server. */
  list(): readonly ServerRecord[] {
    return this.#deps.registry.servers.list()
  }

  /** Powers the machine on, its next boot from the network. @throws DaemonError NOT_FOUND, POWER_FAILED */
  async start(idOrName: string): Promise<ServerRecord> {
    const { server, power } = this.#powered(idOrName)
    if ((await power.powerState()) === 'on')
      throw new DaemonError('WRONG_STATE', `server ${server.name} is running already`)
    await power.setBootOnce('Pxe')
    this.#poweredOn(server, 'powered on')
    await power.powerOn()
    return this.get(server.id)
  }

  /** Shuts the operating system down, or cuts the power when `force`. @throws DaemonError NOT_FOUND, POWER_FAILED */
  async stop(idOrName: string, force: boolean): Promise<ServerRecord> {
    const { server, power } = this.#powered(idOrName)
    await power.powerOff({ force })
    this.#deps.registry.servers.setStatus(server.id, 'SHUTOFF')
    this.#deps.emit({
      kind: 'server.stopped',
      message: `server ${server.name} was told to stop`,
      serverId: server.id,
    })
    return this.get(server.id)
  }

  /** Restarts the operating system, or resets the machine when `force`. @throws DaemonError NOT_FOUND, POWER_FAILED */
  async reboot(idOrName: string, force: boolean): Promise<ServerRecord> {
    const { server, power } = this.#powered(idOrName)
    await power.setBootOnce('Pxe')
    this.#poweredOn(server, force ? 'reset' : 'told to restart', 'REBOOT')
    await power.reset({ force })
    return this.get(server.id)
  }

  /** Has the next boot show the rescue menu on the console, or not after all. @throws DaemonError NOT_FOUND */
  rescue(idOrName: string, isWanted: boolean): ServerRecord {
    const { id } = this.get(idOrName)
    this.#deps.registry.servers.change(id, { rescue: isWanted ? 'wanted' : undefined })
    return this.get(id)
  }

  /**
   * Powers the machine off and deletes the server and its system volume; data volumes are detached and stay.
   * @throws DaemonError NOT_FOUND, POWER_FAILED; IN_USE while the system volume has snapshots, WRONG_STATE
   */
  async delete(idOrName: string): Promise<void> {
    const { registry, claims, wishes } = this.#deps
    const { server, machine, power } = this.#powered(idOrName)
    const volume = registry.volumes.get(server.volumeId)
    const snapshots = registry.snapshots.list().filter(({ volumeId }) => volumeId === server.volumeId)
    if (snapshots.length > 0) {
      const names = snapshots.map(({ name }) => name).join(', ')
      throw new DaemonError('IN_USE', `the system volume of server ${server.name} has snapshots: ${names}`)
    }
    const layers = volume === undefined ? [] : changeableLayers(registry, volume.layerId)
    await claims.during(layers, `server ${server.name} is being deleted`, async () => {
      if (machine.bmcUrl !== undefined) await power.powerOff({ force: true })
      this.#forget(server, volume)
      this.#deps.emit({ kind: 'server.deleted', message: `server ${server.name} deleted` })
      await wishes.applyWhenUp()
    })
  }

  #freeMachine(idOrName: string | undefined): MachineRecord {
    const { machines, servers } = this.#deps.registry
    if (idOrName === undefined) {
      const free = machines.list().find((machine) => servers.findByMachine(machine.id) === undefined)
      if (free === undefined)
        throw new DaemonError('NO_CAPACITY', 'no machine is free: enrol one or delete a server')
      return free
    }
    const machine = machines.find(idOrName)
    if (machine === undefined) throw new DaemonError('NOT_FOUND', `no machine ${JSON.stringify(idOrName)}`)
    const holder = servers.findByMachine(machine.id)
    if (holder !== undefined)
      throw new DaemonError('IN_USE', `machine ${machine.name} runs server ${holder.name}`)
    return machine
  }

  #insert(image: ActiveImage, volume: VolumeRecord, server: ServerRecord): void {
    const { registry } = this.#deps
    registry.transaction(() => {
      insertVolume(registry, volume, image.layerId)
      registry.servers.insert(server)
    })
  }

  async #reloadOrUndo(server: ServerRecord, volume: VolumeRecord): Promise<void> {
    try {
      const { failed } = await this.#deps.wishes.apply()
      const failure = failed.find(({ volumeId }) => volumeId === volume.id)
      if (failure !== undefined)
        throw new DaemonError(
          'DISK_FAILED',
          `the disk of server ${server.name} cannot be served: ${failure.message}`,
        )
    } catch (err) {
      this.#forget(server, volume)
      await this.#deps.wishes.reap()
      throw err
    }
  }

  #forget(server: ServerRecord, volume: VolumeRecord | undefined): void {
    const { registry } = this.#deps
    registry.transaction(() => {
      registry.servers.delete(server.id)
      if (volume !== undefined) forgetVolume(registry, volume)
    })
  }

  #powered(idOrName: string): { server: ServerRecord; machine: MachineRecord; power: PowerDriver } {
    const server = this.get(idOrName)
    const machine = this.#deps.registry.machines.get(server.machineId)
    if (machine === undefined) throw new DaemonError('NOT_FOUND', `server ${server.name} has no machine`)
    return { server, machine, power: this.#deps.powerOf(machine) }
  }

  #poweredOn(server: ServerRecord, how: string, status: 'BUILD' | 'REBOOT' = 'BUILD'): void {
    this.#deps.registry.servers.setStatus(server.id, status)
    const message = `the machine of server ${server.name} was ${how}`
    this.#deps.emit({ kind: 'server.powered-on', message, stage: 'powered-on', serverId: server.id })
  }
}

import { mkdirSync, openSync, closeSync, readdirSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import type { Test } from 'tap'
import { systemClock } from '../../src/clock.js'
import { Claims } from '../../src/control/claims.js'
import { Images } from '../../src/control/images.js'
import { Jobs } from '../../src/control/jobs.js'
import { LayerMerger } from '../../src/control/layer-merger.js'
import { Snapshots } from '../../src/control/snapshots.js'
import { Volumes, type VolumeDeps } from '../../src/control/volumes.js'
import { WishState } from '../../src/control/wish-state.js'
import type { DaemonEvent } from '../../src/events.js'
import type { JobRecord, ServerRecord } from '../../src/registry/records.js'
import { openRegistry, type Registry } from '../../src/registry/registry.js'
import type { DriverName } from '../../src/rootdisk/target/driver.js'
import { createLayer, deleteLayer } from '../../src/rootdisk/volume/layer.js'
import { sweepLayers } from '../../src/rootdisk/volume/sweep-layers.js'
import { fill, SERVER } from '../registry/sample-records.js'

const LOG = pino({ level: 'silent' })

/** The control of disks over real layer files, with a target process that can be told what to do. */
export class DiskBench {
  readonly dir: string
  readonly registry: Registry
  readonly claims = new Claims()
  readonly jobs: Jobs
  readonly volumes: Volumes
  readonly snapshots: Snapshots
  readonly merger: LayerMerger
  readonly wishes: WishState
  readonly events: DaemonEvent[] = []
  /** What the target process says; tests change it. */
  target = {
    reload: (): Promise<{ failed: { volumeId: string; message: string }[] }> =>
      Promise.resolve({ failed: [] }),
    use: { sessions: [] as { iqn: string }[], openVolumes: [] as string[] },
    merge: (): Promise<{ isDone: boolean; fraction: number }> =>
      Promise.resolve({ isDone: true, fraction: 1 }),
  }
  /** Runs of layers that were merged, `volume: layers`. */
  readonly merged: string[] = []
  /** Outside effects after which the daemon dies; undefined: it lives. */
  #stepsLeft: number | undefined
  isDead = false

  /** @param stepsToLive outside effects that happen before the process dies, all of it at once */
  constructor(dir: string, stepsToLive?: number, driver: DriverName = 'embedded') {
    this.dir = dir
    this.#stepsLeft = stepsToLive
    this.registry = openRegistry(join(dir, 'registry.sqlite'))
    const dirs = { layersDir: this.layersDir, runDir: dir }
    const { registry } = this
    const shared = { registry, clock: systemClock, claims: this.claims, log: LOG }
    const remove = (layerId: string): Promise<void> => this.#step(() => deleteLayer(dirs, layerId))
    this.jobs = new Jobs(shared)
    this.wishes = new WishState({
      ...shared,
      driver,
      reload: () => this.#step(() => this.#reload()),
      deleteLayer: remove,
    })
    const deps: VolumeDeps = {
      ...shared,
      wishes: this.wishes,
      createLayer: (layer) => this.#step(() => createLayer(dirs, layer)),
      deleteLayer: remove,
      emit: (event) => this.events.push(event),
    }
    this.merger = new LayerMerger({ ...deps, jobs: this.jobs, mergeLayers: (...run) => this.#merge(...run) })
    this.volumes = new Volumes(deps)
    this.snapshots = new Snapshots({
      ...deps,
      jobs: this.jobs,
      merger: this.merger,
      targetUse: () => Promise.resolve(this.target.use),
    })
  }

  /** One server on a clone of an image; everything ends with the test. */
  static async make(t: Test, driver?: DriverName): Promise<DiskBench> {
    const bench = await DiskBench.fill(t.testdir(), driver)
    t.teardown(() => bench.registry.close())
    return bench
  }

  /** The same in a directory; the caller closes the registry. */
  static async fill(dir: string, driver?: DriverName): Promise<DiskBench> {
    mkdirSync(join(dir, 'layers'))
    const bench = new DiskBench(dir, undefined, driver)
    fill(bench.registry)
    bench.registry.servers.setStatus(SERVER.id, 'SHUTOFF')
    for (const { id: layerId, sizeBytes } of bench.registry.layers.list())
      await createLayer({ layersDir: bench.layersDir }, { layerId, sizeBytes })
    bench.touchTops()
    return bench
  }

  get layersDir(): string {
    return join(this.dir, 'layers')
  }

  get server(): ServerRecord {
    return this.registry.servers.get(SERVER.id) ?? SERVER
  }

  /** Ids of the layers that have files. */
  get files(): string[] {
    return readdirSync(this.layersDir).sort()
  }

  /** What the next start of the daemon does; resolves when it has done it. */
  async repair(): Promise<void> {
    const { registry, jobs, dir, layersDir } = this
    registry.jobs.failRunning('the daemon ended while this ran', systemClock.nowMs())
    const nothing = (): Promise<never> => Promise.reject(new Error('not in this test'))
    const disks = {
      importFile: nothing,
      build: nothing,
      keepKernel: nothing,
      inspect: nothing,
      fix: nothing,
      damagedChunks: nothing,
      deleteLayer: nothing,
    }
    const sweep = {
      sweepLayers: (known: ReadonlySet<string>) => sweepLayers({ layersDir, runDir: dir }, known),
    }
    await new Images({ registry, clock: systemClock, log: LOG, jobs, disks: { ...disks, ...sweep } }).sweep()
    this.snapshots.resume()
    await this.wishes.apply()
    await this.ended()
  }

  /** Every job has ended; a given one is read again. */
  async ended(job?: JobRecord): Promise<JobRecord | undefined> {
    while (!this.isDead && this.registry.jobs.list().some(({ status }) => status === 'RUNNING'))
      await new Promise((resolve) => setImmediate(resolve))
    return job === undefined ? undefined : this.registry.jobs.get(job.id)
  }

  /** Puts data into the top layer of every volume, as guests do. */
  touchTops(): void {
    for (const { layerId } of this.registry.volumes.list()) {
      const fd = openSync(join(this.layersDir, layerId, 'data'), 'r+')
      writeSync(fd, Buffer.alloc(4096, 1), 0, 4096, 0)
      closeSync(fd)
    }
  }

  async #reload(): Promise<{ failed: { volumeId: string; message: string }[] }> {
    const followed = await this.target.reload()
    this.touchTops()
    return followed
  }

  #merge(volumeId: string, layerIds: readonly string[]): Promise<{ isDone: boolean; fraction: number }> {
    return this.#step(() => {
      this.merged.push(`${volumeId}: ${layerIds.join(' ')}`)
      return this.target.merge()
    })
  }

  /** Dies before or after an effect; the dead neither change files nor write the registry. */
  async #step<T>(effect: () => Promise<T>): Promise<T> {
    this.#tick()
    const result = await effect()
    this.#tick()
    return result
  }

  #tick(): void {
    if (this.isDead) throw new Error('dead')
    if (this.#stepsLeft === undefined || this.#stepsLeft-- > 0) return
    this.isDead = true
    this.registry.close()
    throw new Error('killed')
  }
}

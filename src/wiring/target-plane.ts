import { systemClock } from '../clock.js'
import type { Config } from '../config.js'
import { naaOf } from '../control/volumes.js'
import { stateDirs } from '../control/state-dirs.js'
import type { EmitEvent } from '../events.js'
import type { Registry } from '../registry/registry.js'
import type { BlockDevice } from '../rootdisk/block-device.js'
import { IscsiPortal, type IscsiPortalOptions } from '../rootdisk/iscsi/portal.js'
import type { NbdServer } from '../rootdisk/nbd/nbd-server.js'
import { Exports } from '../rootdisk/target/exports.js'
import { NbdExports } from '../rootdisk/target/nbd-exports.js'
import { NbdShares } from '../rootdisk/target/nbd-shares.js'
import { OpenVolumes } from '../rootdisk/target/open-volumes.js'
import { reload, type Portal } from '../rootdisk/target/reload.js'
import { ReservationFiles } from '../rootdisk/target/reservation-files.js'
import { VolumeWork } from '../rootdisk/target/volume-work.js'
import type { WorkerCalls } from '../rootdisk/target/workers/messages.js'
import { GoldenCache } from '../rootdisk/volume/golden-cache.js'
import { IoThreads } from '../rootdisk/volume/io-threads.js'
import { LayerStore, type LayerClaims } from '../rootdisk/volume/layer-store.js'
import type { Service } from '../service.js'
import { atEnd, type EntryContext } from './entry.js'
import { hostBootId } from './host-boot-id.js'
import { nbdServer } from './nbd.js'
import { seedDiskOf, seedRevisionOf, seedSources } from './seed-input.js'

/** What iSCSI and NBD reuse for reads and writes: each 32 slabs of 1 MiB and 32 MiB of write data. */
const IO_MEMORY_BYTES = 128 << 20

/** What a data plane is wired with. */
export interface TargetPlaneDeps {
  readonly registry: Registry
  readonly emit: EmitEvent
  /** Where the portal listens, if it does. */
  readonly portal: IscsiPortalOptions
  /** Whether NBD clients come to it; else they are handed to it. */
  readonly hasNbdListeners: boolean
  /** Where other processes have layers open too. */
  readonly claims?: LayerClaims
}

/** A process that serves disks: what it runs, and what it can be asked. */
export interface TargetPlane {
  readonly services: readonly Service[]
  readonly portal: IscsiPortal
  readonly nbd: NbdServer | undefined
  readonly calls: WorkerCalls
}

/** The whole data plane: iSCSI targets, NBD exports, the volumes behind them. */
export function targetPlane({ config, log }: EntryContext, deps: TargetPlaneDeps): TargetPlane {
  const { registry, emit } = deps
  const { ioThreads, workers } = config.target
  const cacheBytes = Math.floor(config.target.cacheSizeBytes / workers)
  const io = new IoThreads({ threads: ioThreads, sharedBytes: IO_MEMORY_BYTES + cacheBytes }, systemClock)
  const cache = new GoldenCache(cacheBytes, io.allocate)
  const volumes = openVolumes(config, deps, cache, io)
  const exports = exportsOf(registry, config, (volumeId) => volumes.acquire(volumeId))
  const shared = { emit, clock: systemClock, log, allocate: io.allocate }
  const reservations = new ReservationFiles(config)
  const portal = new IscsiPortal(deps.portal, { ...shared, targets: exports, reservations })
  const disks = new NbdExports(exports, registry)
  const nbd = config.nbd && nbdServer(deps.hasNbdListeners ? config.nbd : {}, { ...shared, exports: disks })
  const work = new VolumeWork(volumes, systemClock)
  const isKnown = (volumeId: string): boolean => registry.volumes.get(volumeId) !== undefined
  const shares = new NbdShares({ ...shared, volumes, isKnown })
  const services = [portal, shares, ...(nbd === undefined ? [] : [nbd])]
  exports.reload()
  const calls: WorkerCalls = {
    status: () =>
      Promise.resolve({ sessions: portal.sessions(), openVolumes: volumes.openIds, cache: cache.report() }),
    reload: async (elsewhere) => {
      await work.letGo(elsewhere.volumeIds)
      await Promise.all(elsewhere.volumeIds.map((volumeId) => shares.end(volumeId)))
      return reload({ exports, volumes, portals: [portal, shares, nbdPortal(nbd, disks)], emit }, elsewhere)
    },
    merge: (volumeId, layerIds) => work.merge(volumeId, layerIds),
    map: (volumeId, offset) => work.map(volumeId, offset),
    beginShare: (share) => shares.begin(share),
    endShare: (volumeId) => shares.end(volumeId),
  }
  return { services: [io, ...services, atEnd('work', () => work.stop())], portal, nbd, calls }
}

function nbdPortal(nbd: NbdServer | undefined, disks: NbdExports): Portal {
  return {
    refresh: async () => nbd?.refresh(),
    drop: async (iqns) => nbd?.drop((exportId) => iqns.has(disks.iqnOfId(exportId) ?? '')),
  }
}

function openVolumes(
  { stateDir, runDir }: Config,
  { registry, emit, claims }: TargetPlaneDeps,
  cache: GoldenCache,
  { files }: IoThreads,
): OpenVolumes {
  const store = new LayerStore({
    layersDir: stateDirs(stateDir, runDir).layersDir,
    runDir: stateDirs(stateDir, runDir).runDir,
    bootId: hostBootId(),
    isReadOnly: false,
    ...{ files, cache, claims },
    onNoPunch: (cause) => emit({ kind: 'volume.no-punch', message: noPunchMessage(cause) }),
  })
  return new OpenVolumes(store, (volumeId) => {
    const volume = registry.volumes.get(volumeId)
    const layers = volume === undefined ? [] : registry.layers.chain(volume.layerId)
    return layers.map(({ id, sizeBytes }) => ({ layerId: id, sizeBytes }))
  })
}

function noPunchMessage(cause: unknown): string {
  return `space of unmapped clusters is not given back: ${cause instanceof Error ? cause.message : String(cause)}`
}

/** The targets that the registry wishes for, with volumes as `openVolume` gives them. */
export function exportsOf(
  registry: Registry,
  config: Config,
  openVolume: (volumeId: string) => Promise<BlockDevice>,
): Exports {
  const sources = seedSources(config, registry)
  return new Exports({
    registry,
    openVolume,
    renderSeed: (server) => seedDiskOf(server, sources),
    seedRevision: (server) => seedRevisionOf(server, sources),
    seedNaa: (server) => naaOf(`seed ${server.id}`),
  })
}

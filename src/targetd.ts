#!/usr/bin/env node
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from './clock.js'
import type { Config } from './config.js'
import { DaemonError } from './errors.js'
import type { DaemonEvent } from './events.js'
import { naaOf } from './control/volumes.js'
import { stateDirs } from './control/state-dirs.js'
import { atEnd, firstSocket, runDaemon, type EntryContext } from './wiring/entry.js'
import { HttpListener } from './http/listener.js'
import { openRegistry, type Registry } from './registry/registry.js'
import { lockState } from './registry/state-lock.js'
import { IscsiPortal } from './rootdisk/iscsi/portal.js'
import { targetControlRoutes } from './rootdisk/target/control-routes.js'
import { EventBuffer } from './rootdisk/target/event-buffer.js'
import { Exports } from './rootdisk/target/exports.js'
import { NbdExports } from './rootdisk/target/nbd-exports.js'
import { NbdShares } from './rootdisk/target/nbd-shares.js'
import { reload } from './rootdisk/target/reload.js'
import { VolumeWork } from './rootdisk/target/volume-work.js'
import { OpenVolumes } from './rootdisk/target/open-volumes.js'
import { ReservationFiles } from './rootdisk/target/reservation-files.js'
import { GoldenCache } from './rootdisk/volume/golden-cache.js'
import { IoThreads } from './rootdisk/volume/io-threads.js'
import { LayerStore } from './rootdisk/volume/layer-store.js'
import { hostBootId } from './wiring/host-boot-id.js'
import { nbdServer } from './wiring/nbd.js'
import { seedDiskOf } from './wiring/seed-input.js'
import type { Service } from './service.js'

/** What iSCSI and NBD reuse for reads and writes: each 32 slabs of 1 MiB and 32 MiB of write data. */
const IO_MEMORY_BYTES = 128 << 20

/** The data plane: iSCSI targets and the volumes behind them. */
await runDaemon('ingot-targetd', (context) => {
  const { config } = context
  if (config.target.driver !== 'embedded') {
    throw new DaemonError(
      'CONFIG_INVALID',
      `target.driver is "${config.target.driver}": nothing is left to serve here`,
    )
  }
  const dirs = stateDirs(config.stateDir, config.runDir)
  mkdirSync(dirs.runDir, { recursive: true })
  const lock = lockState(join(dirs.stateDir, 'targetd.lock'), 'ingot-targetd')
  const registry = openRegistry(dirs.registryFile, { readOnly: true })
  const { ioThreads, cacheSizeBytes } = config.target
  const io = new IoThreads({ threads: ioThreads, sharedBytes: IO_MEMORY_BYTES + cacheSizeBytes }, systemClock)
  const events = new EventBuffer(systemClock)
  const volumes = openVolumes(registry, config, { io, events })
  const exports = exportsOf(registry, config, volumes)
  const release = atEnd('registry', () => {
    registry.close()
    lock.release()
  })
  return [release, io, ...services(context, { exports, volumes, events, io, registry })]
})

interface Parts {
  readonly exports: Exports
  readonly volumes: OpenVolumes
  readonly events: EventBuffer
  readonly io: IoThreads
  readonly registry: Registry
}

function services(
  { config, log, sockets }: EntryContext,
  { exports, volumes, events, io, registry }: Parts,
): Service[] {
  const shared = {
    emit: (event: DaemonEvent) => events.push(event),
    clock: systemClock,
    log,
    allocate: io.allocate,
  }
  const portal = new IscsiPortal(
    { host: config.target.address, port: config.target.port, ...firstSocket(sockets, 'iscsi') },
    { ...shared, targets: exports, reservations: new ReservationFiles(config) },
  )
  const disks = new NbdExports(exports, registry)
  const nbd = config.nbd && nbdServer(config.nbd, { ...shared, exports: disks })
  const work = new VolumeWork(volumes, systemClock)
  const isKnown = (volumeId: string): boolean => registry.volumes.get(volumeId) !== undefined
  const shares = new NbdShares({ ...shared, volumes, isKnown })
  const portals = [portal, shares, ...(nbd === undefined ? [] : [nbd])]
  exports.reload()
  const control = new HttpListener({
    options: { name: 'control', endpoint: { socketPath: config.target.controlSocket } },
    routes: [
      targetControlRoutes({
        events,
        work,
        shares,
        reload: () => reload({ exports, volumes, portals, emit: shared.emit }),
        sessions: () => portal.sessions(),
        openVolumes: () => volumes.openIds,
      }),
    ],
    log,
  })
  return [atEnd('events', () => events.close()), ...portals, control, atEnd('work', () => work.stop())]
}

function openVolumes(
  registry: Registry,
  config: Config,
  { io, events }: { io: IoThreads; events: EventBuffer },
): OpenVolumes {
  const { layersDir, runDir } = stateDirs(config.stateDir, config.runDir)
  const store = new LayerStore({
    layersDir,
    runDir,
    bootId: hostBootId(),
    isReadOnly: false,
    files: io.files,
    cache: new GoldenCache(config.target.cacheSizeBytes, io.allocate),
    onNoPunch: (cause) => events.push({ kind: 'volume.no-punch', message: noPunchMessage(cause) }),
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

function exportsOf(registry: Registry, config: Config, volumes: OpenVolumes): Exports {
  return new Exports({
    registry,
    openVolume: (volumeId) => volumes.acquire(volumeId),
    renderSeed: (server) => seedDiskOf(server, registry, config),
    seedNaa: (server) => naaOf(`seed ${server.id}`),
  })
}

#!/usr/bin/env node
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from './clock.js'
import type { Config } from './config.js'
import { naaOf } from './control/servers.js'
import { stateDirs } from './control/state-dirs.js'
import { atEnd, firstSocket, runDaemon, type EntryContext } from './wiring/entry.js'
import { renderSeedDisk } from './firstboot/seed/seed-disk.js'
import { HttpListener } from './http/listener.js'
import { openRegistry, type Registry } from './registry/registry.js'
import { lockState } from './registry/state-lock.js'
import { IscsiPortal } from './rootdisk/iscsi/portal.js'
import { targetControlRoutes } from './rootdisk/target/control-routes.js'
import { EventBuffer } from './rootdisk/target/event-buffer.js'
import { Exports } from './rootdisk/target/exports.js'
import { GoldenCache } from './rootdisk/volume/golden-cache.js'
import { IoThreads } from './rootdisk/volume/io-threads.js'
import type { LayerFiles } from './rootdisk/volume/layer-files.js'
import { openVolume } from './rootdisk/volume/open-volume.js'
import { hostBootId } from './wiring/host-boot-id.js'
import { seedInputOf } from './wiring/seed-input.js'
import type { Service } from './service.js'

/** What the portal reuses for reads and writes: 32 slabs of 1 MiB and 32 MiB of write data. */
const IO_MEMORY_BYTES = 64 << 20

/** The data plane: iSCSI targets and the volumes behind them. */
await runDaemon('ingot-targetd', (context) => {
  const { config } = context
  const dirs = stateDirs(config.stateDir, config.runDir)
  mkdirSync(dirs.runDir, { recursive: true })
  const lock = lockState(join(dirs.stateDir, 'targetd.lock'), 'ingot-targetd')
  const registry = openRegistry(dirs.registryFile, { readOnly: true })
  const io = new IoThreads({ threads: config.target.ioThreads, sharedBytes: IO_MEMORY_BYTES }, systemClock)
  const exports = exportsOf(registry, config, io.files)
  const release = atEnd('registry', () => {
    registry.close()
    lock.release()
  })
  return [release, io, ...services(context, exports, io)]
})

function services({ config, log, sockets }: EntryContext, exports: Exports, io: IoThreads): Service[] {
  const events = new EventBuffer(systemClock)
  const portal = new IscsiPortal(
    { host: config.target.address, port: config.target.port, ...firstSocket(sockets, 'iscsi') },
    {
      targets: exports,
      emit: (event) => events.push(event),
      clock: systemClock,
      log,
      allocate: io.allocate,
    },
  )
  const reload = async (): Promise<unknown> => {
    const result = exports.reload()
    await Promise.all(result.removed.map((iqn) => portal.drop(iqn)))
    return result
  }
  exports.reload()
  const control = new HttpListener({
    options: { name: 'control', endpoint: { socketPath: config.target.controlSocket } },
    routes: [targetControlRoutes({ events, reload, sessions: () => portal.sessions() })],
    log,
  })
  return [atEnd('events', () => events.close()), portal, control]
}

function exportsOf(registry: Registry, config: Config, files: LayerFiles): Exports {
  const { layersDir, runDir } = stateDirs(config.stateDir, config.runDir)
  const bootId = hostBootId()
  const cache = new GoldenCache(config.target.cacheSizeBytes)
  return new Exports({
    registry,
    openVolume: (layers) => {
      const chain = layers.map((layer) => ({ layerId: layer.id, sizeBytes: layer.sizeBytes }))
      return openVolume({ layersDir, runDir, bootId, chain, isReadOnly: false, cache, files })
    },
    renderSeed: (server) => {
      const machine = registry.machines.get(server.machineId)
      if (machine === undefined) throw new Error(`server ${server.name} has no machine`)
      return renderSeedDisk(seedInputOf(server, machine, config), server.createdMs)
    },
    seedNaa: (server) => naaOf(`seed ${server.id}`),
  })
}

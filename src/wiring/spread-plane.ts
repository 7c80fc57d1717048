import { fileURLToPath } from 'node:url'
import { systemClock } from '../clock.js'
import { startWorker } from '../command.js'
import type { EmitEvent } from '../events.js'
import type { Registry } from '../registry/registry.js'
import { DistantDisk } from '../rootdisk/target/distant-disk.js'
import type { Exports } from '../rootdisk/target/exports.js'
import { NbdExports } from '../rootdisk/target/nbd-exports.js'
import { LoginRouter } from '../rootdisk/target/workers/login-router.js'
import { SpreadTarget } from '../rootdisk/target/workers/spread-target.js'
import { WorkerPool } from '../rootdisk/target/workers/worker-pool.js'
import type { PortalEndpoint } from '../rootdisk/iscsi/portal.js'
import type { Service } from '../service.js'
import type { EntryContext } from './entry.js'
import { nbdServer } from './nbd.js'
import { readPlacement } from './placement.js'
import { exportsOf } from './target-plane.js'

const WORKER_FILE = fileURLToPath(new URL('../target-worker.js', import.meta.url))

/** A data plane in worker processes: what runs here, and what it can be asked. */
export interface SpreadPlane {
  readonly services: readonly Service[]
  readonly target: SpreadTarget
}

/** Listens, and hands each connection to the worker process that has its server. */
export function spreadPlane(
  { config, configFile, log }: EntryContext,
  { registry, emit, endpoint }: { registry: Registry; emit: EmitEvent; endpoint: PortalEndpoint },
): SpreadPlane {
  const { workers } = config.target
  const begin = (): ReturnType<typeof startWorker> => startWorker(WORKER_FILE, ['--config', configFile])
  const pool = new WorkerPool({ workers, begin, clock: systemClock, emit })
  const target = new SpreadTarget(pool, () => readPlacement(registry, workers))
  const shared = { emit, clock: systemClock, log }
  const router = new LoginRouter(endpoint, {
    ...shared,
    hand: ({ targetName }, socket, received) =>
      target.ofTarget(targetName).give({ kind: 'iscsi', received: received.toString('base64') }, socket),
  })
  const exports = exportsOf(registry, config, (id) => {
    return Promise.resolve(new DistantDisk(registry.volumes.get(id)?.sizeBytes ?? 0))
  })
  const disks = new NbdExports(exports, registry)
  const nbd =
    config.nbd &&
    nbdServer(config.nbd, {
      ...{ ...shared, exports: fresh(exports, disks) },
      handOver: ({ received, ...client }, socket) => {
        const message = { kind: 'nbd', client, received: received.toString('base64') } as const
        return target.ofTarget(disks.iqnOf(client.exportName)).give(message, socket)
      },
    })
  return { services: [pool, router, ...(nbd === undefined ? [] : [nbd])], target }
}

/** What the registry says when a client asks: no reload is waited for, since nothing is open here. */
function fresh(exports: Exports, disks: NbdExports): Pick<NbdExports, 'find' | 'list'> {
  return {
    find: (name) => {
      exports.reload()
      return disks.find(name)
    },
    list: () => {
      exports.reload()
      return disks.list()
    },
  }
}

// Serves clones as the data plane does, for the benches. Prints its port once it listens, and for each line that it
// is sent how often chunks of the golden layer were read from its file.
import pino from 'pino'
import { systemClock } from '../src/clock.js'
import type { TargetSpec } from '../src/rootdisk/export.js'
import { IscsiPortal } from '../src/rootdisk/iscsi/portal.js'
import { CACHE_CHUNK_BYTES } from '../src/rootdisk/volume/chunk-memory.js'
import { GoldenCache } from '../src/rootdisk/volume/golden-cache.js'
import { serveDevice } from '../src/rootdisk/nbd/serve-device.js'
import { IoThreads } from '../src/rootdisk/volume/io-threads.js'
import type { LayerFiles } from '../src/rootdisk/volume/layer-files.js'
import { LayerStore } from '../src/rootdisk/volume/layer-store.js'
import { openShared } from '../src/rootdisk/volume/open-volume.js'
import { hostBootId } from '../src/wiring/host-boot-id.js'
import { IQN, type CloneServer } from './contenders.js'

const setup = JSON.parse(process.argv[2] ?? '') as CloneServer
const { layersDir, runDir, sizeBytes } = setup
const io = new IoThreads({ threads: 4, sharedBytes: (128 << 20) + setup.cacheBytes }, systemClock)
await io.start((cause) => {
  throw cause
})
const reads = new Map<number, number>()
const files: LayerFiles = { ...io.files, read: countingRead }

function countingRead(...[fd, into, position, done]: Parameters<LayerFiles['read']>): void {
  // Only the cache reads whole chunks while the clones have nothing of their own.
  const isChunk = into.length === CACHE_CHUNK_BYTES
  if (isChunk) reads.set(position, (reads.get(position) ?? 0) + 1)
  io.files.read(fd, into, position, done)
}

const places = { layersDir, runDir, bootId: hostBootId(), isReadOnly: false }
const store = new LayerStore({ ...places, files, cache: new GoldenCache(setup.cacheBytes, io.allocate) })
const targets = setup.clones.map((layerId, i): TargetSpec => {
  const chain = [layerId, setup.golden].map((id) => ({ layerId: id, sizeBytes }))
  const open = (): ReturnType<typeof openShared> => openShared(store, chain)
  const naa = `30000000${i.toString(16).padStart(8, '0')}`
  const luns = [{ lun: 1, naa, serial: `bench-${i}`, open }]
  return { iqn: `${IQN}${i}`, initiatorIqn: 'iqn.2026-01.load:0', chap: undefined, luns }
})
const byName = new Map(targets.map((target) => [target.iqn, target]))
const deps = {
  emit: () => undefined,
  clock: systemClock,
  log: pino({ level: 'warn' }, pino.destination(2)),
  allocate: io.allocate,
}
const portal = new IscsiPortal(
  { host: '127.0.0.1', port: 0, maxSessionsPerTarget: 1024 },
  { ...deps, targets: { find: (name) => byName.get(name), list: () => targets } },
)
const chain = [setup.nbdClone, setup.golden].map((layerId) => ({ layerId, sizeBytes }))
const device = await openShared(store, chain)
const nbd = serveDevice({ device, socketPath: setup.nbdSocket, name: 'clone' }, deps)
for (const service of [portal, nbd]) {
  await service.start((cause) => {
    throw cause
  })
}
process.stdout.write(`${portal.port}\n`)
process.stdin.on('data', () => {
  const counts = [...reads.values()]
  const total = counts.reduce((sum, count) => sum + count, 0)
  const answer = { most: Math.max(0, ...counts), total, chunks: counts.length }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
})

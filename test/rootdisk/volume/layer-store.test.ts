import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { MAP_PAGE_BYTES } from '../../../src/rootdisk/volume/cluster-map.js'
import { GoldenCache } from '../../../src/rootdisk/volume/golden-cache.js'
import { createLayer, type LayerSpec } from '../../../src/rootdisk/volume/layer.js'
import type { LayerFiles } from '../../../src/rootdisk/volume/layer-files.js'
import { openShared } from '../../../src/rootdisk/volume/open-volume.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'
import { TestDisk, unsynced } from './model-disk.js'

const MIB = 2 ** 20
const GIB = 2 ** 30

void t.test('1,000 clones of a 40 GiB image hold one map of it, and pages for what they wrote', async (t) => {
  const disk = new TestDisk(t.testdir())
  const image = { layerId: 'image', sizeBytes: 40 * GIB }
  await createLayer(disk, image, unsynced)
  const golden = await disk.open([image], unsynced)
  for (let at = 0; at < 40 * GIB; at += 64 * MIB) await golden.write(at, Buffer.alloc(4096, 1)) // every map page
  await golden.close()
  let opened = 0
  const files: LayerFiles = {
    ...unsynced,
    open: async (path, mode) => {
      const fd = await unsynced.open(path, mode)
      opened++
      return fd
    },
    close: (fd) => {
      opened--
      return unsynced.close(fd)
    },
  }
  const store = disk.store({ files, cache: new GoldenCache(MIB) })
  const before = await memoryBytes()
  const volumes: Volume[] = []
  const openClone = async (i: number): Promise<void> => {
    const top = { layerId: `clone-${String(i)}`, sizeBytes: 40 * GIB }
    await createLayer(disk, top, unsynced)
    const volume = await openShared(store, [top, image])
    for (let n = 0; n < 4; n++) await volume.write(n * GIB, Buffer.alloc(4096, 2)) // 4 map pages each
    volumes.push(volume)
  }
  for (let i = 0; i < 1000; i += 50) await Promise.all(Array.from({ length: 50 }, (_, k) => openClone(i + k)))
  const grew = (await memoryBytes()) - before
  t.comment(`${(grew / MIB).toFixed(1)} MiB for 1,000 clones, ${String(opened)} descriptors`)
  t.ok(grew > 640 * MAP_PAGE_BYTES + 1000 * 4 * MAP_PAGE_BYTES, 'it is the maps that are measured')
  // an open volume itself may take 8 KiB
  t.ok(grew < 640 * MAP_PAGE_BYTES + 1000 * (4 * MAP_PAGE_BYTES + 8 * 1024))
  t.equal(opened, 1000 * 3 + 1, 'data, map and live map of each, and the one data file of the image')
  t.equal(store.openCount, 1001)
  await Promise.all(volumes.map((volume) => volume.close()))
  t.equal(opened, 0)
})

/** What lives: the least of several collections, as buffers and compiled code are let go of some turns after the first. */
async function memoryBytes(): Promise<number> {
  setFlagsFromString('--expose-gc')
  let least = Infinity
  for (let round = 0; round < 8; round++) {
    runInNewContext('gc()')
    await setImmediate()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    least = Math.min(least, heapUsed + arrayBuffers)
  }
  return least
}

const layer = (layerId: string): LayerSpec => ({ layerId, sizeBytes: MIB })

void t.test('a layer that a volume writes is nobody else’s', async (t) => {
  const disk = new TestDisk(t.testdir())
  for (const id of ['one', 'two', 'image']) await createLayer(disk, layer(id), unsynced)
  const store = disk.store()
  const volume = await openShared(store, [layer('one'), layer('image')])
  await t.rejects(openShared(store, [layer('one'), layer('image')]), /open already/)
  await t.rejects(openShared(store, [layer('two'), layer('one')]), /open already/)
  await t.rejects(openShared(store, [layer('image')]), /open already/, 'what others stand on is not written')
  t.equal(store.openCount, 2, 'refused volumes leave nothing open')
  await volume.close()
  const after = await openShared(store, [layer('two'), layer('one')])
  await after.close()
})

void t.test('a layer that could not be opened is tried again', async (t) => {
  const disk = new TestDisk(t.testdir())
  const store = disk.store()
  await t.rejects(openShared(store, [layer('one')]), { code: 'ENOENT' })
  await createLayer(disk, layer('one'), unsynced)
  await (await openShared(store, [layer('one')])).close()
  t.equal(store.openCount, 0)
})

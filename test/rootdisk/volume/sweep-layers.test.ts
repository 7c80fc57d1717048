import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createLayer } from '../../../src/rootdisk/volume/layer.js'
import { sweepLayers } from '../../../src/rootdisk/volume/sweep-layers.js'
import { TestDisk, unsynced } from './model-disk.js'

const layer = (layerId: string): { layerId: string; sizeBytes: number } => ({ layerId, sizeBytes: 1 << 20 })

void t.test('a sweep removes what a dead daemon left, and no data', async (t) => {
  const disk = new TestDisk(t.testdir())
  for (const id of ['known', 'empty', 'full']) await createLayer(disk, layer(id), unsynced)
  const volume = await disk.open([layer('full')])
  await volume.write(0, Buffer.alloc(4096, 1))
  await volume.close()
  for (const name of ['.new-a', '.gone-b', '.convert-c', '.somebody']) {
    mkdirSync(join(disk.layersDir, name))
    writeFileSync(join(disk.layersDir, name, 'data'), 'x')
  }
  const swept = await sweepLayers(disk, new Set(['known']))
  t.same([...swept.removed].sort(), ['.convert-c', '.gone-b', '.new-a', 'empty'])
  t.same([...swept.kept].sort(), ['.somebody', 'full'])
  t.same(readdirSync(disk.layersDir).sort(), ['.somebody', 'full', 'known'])
  t.same(await sweepLayers(disk, new Set(['known', 'full'])), { removed: [], kept: ['.somebody'] })
})

void t.test('an empty layer that is swept takes its live map with it', async (t) => {
  const disk = new TestDisk(t.testdir())
  await createLayer(disk, layer('empty'), unsynced)
  await disk.open([layer('empty')], unsynced) // and dies
  t.same(readdirSync(disk.runDir), ['empty.map'])
  await sweepLayers(disk, new Set())
  t.same(readdirSync(disk.runDir), [])
})

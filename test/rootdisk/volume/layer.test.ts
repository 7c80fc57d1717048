import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createLayer, deleteLayer, layerPath } from '../../../src/rootdisk/volume/layer.js'
import { nodeLayerFiles, type LayerFiles } from '../../../src/rootdisk/volume/layer-files.js'
import { TestDisk } from './model-disk.js'

const GIB = 2 ** 30

void t.test('a clone of 400 GiB costs the same bytes as one of 4 GiB', async (t) => {
  const disk = new TestDisk(t.testdir())
  let written = 0
  const files: LayerFiles = {
    ...nodeLayerFiles,
    write: (fd, from, position, done) => {
      written += from.length
      nodeLayerFiles.write(fd, from, position, done)
    },
  }
  const costs: number[] = []
  const blocks: number[] = []
  for (const sizeBytes of [4 * GIB, 400 * GIB]) {
    const times: number[] = []
    for (let i = 0; i < 9; i++) {
      const layerId = `clone-${String(sizeBytes)}-${String(i)}`
      written = 0
      const started = performance.now()
      await createLayer(disk, { layerId, sizeBytes }, files)
      times.push(performance.now() - started)
      if (i > 0) continue
      costs.push(written)
      const paths = (['data', 'map'] as const).map((file) => layerPath(disk.layersDir, layerId, file))
      blocks.push(paths.reduce((sum, path) => sum + statSync(path).blocks * 512, 0))
    }
    const median = times.sort((a, b) => a - b)[4] ?? 0
    t.comment(`${String(sizeBytes / GIB)} GiB: ${median.toFixed(2)} ms, ${String(written)} bytes`)
  }
  t.same(costs, [4096, 4096])
  t.equal(blocks[0], blocks[1])
})

void t.test('a layer that died half-made is no layer and does not hinder the next try', async (t) => {
  const disk = new TestDisk(t.testdir())
  const layer = { layerId: 'a', sizeBytes: GIB }
  const files: LayerFiles = {
    ...nodeLayerFiles,
    truncate: () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' })),
  }
  await t.rejects(createLayer(disk, layer, files), { code: 'ENOSPC' })
  t.notOk(existsSync(join(disk.layersDir, 'a')))
  await createLayer(disk, layer)
  t.same(readdirSync(disk.layersDir), ['a'])
})

void t.test('a layer is not made over another', async (t) => {
  const disk = new TestDisk(t.testdir())
  await createLayer(disk, { layerId: 'a', sizeBytes: GIB })
  await t.rejects(createLayer(disk, { layerId: 'a', sizeBytes: GIB }))
})

void t.test('deleting a layer takes its live map too and may be repeated', async (t) => {
  const disk = new TestDisk(t.testdir())
  const layer = { layerId: 'a', sizeBytes: GIB }
  await createLayer(disk, layer)
  await (await disk.open([layer])).write(0, Buffer.alloc(4096, 1))
  await deleteLayer(disk, 'a')
  await deleteLayer(disk, 'a')
  t.same(readdirSync(disk.layersDir), [])
  t.same(readdirSync(disk.runDir), [])
})

void t.test('a layer id that is no plain name is refused', (t) => {
  for (const id of ['', '..', 'a/b', '.hidden', 'a\0b']) t.throws(() => layerPath('/x', id, 'data'))
  t.end()
})

void t.test('a chain that names a smaller size than the layer has is refused', async (t) => {
  const disk = new TestDisk(t.testdir())
  await createLayer(disk, { layerId: 'a', sizeBytes: GIB })
  await t.rejects(disk.open([{ layerId: 'a', sizeBytes: GIB / 2 }]), /1073741824 bytes/)
})

import { chmodSync, existsSync, openSync, writeSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createLayer, layerPath } from '../../../src/rootdisk/volume/layer.js'
import { readManifest } from '../../../src/rootdisk/volume/manifest.js'
import { sealLayer, verifyLayer, type SealOptions } from '../../../src/rootdisk/volume/seal-layer.js'
import { TestDisk } from './model-disk.js'

const layer = { layerId: 'snap', sizeBytes: 13 * 2 ** 20 + 512 }

async function sealed(root: string): Promise<{ disk: TestDisk; options: SealOptions }> {
  const disk = new TestDisk(root)
  const { layersDir, runDir, bootId } = disk
  await createLayer(disk, layer)
  const volume = await disk.open([layer])
  await volume.write(5000, Buffer.alloc(9000, 7))
  await volume.write(9 * 2 ** 20, Buffer.alloc(4096, 8))
  await volume.unmap(10 * 2 ** 20, 8192)
  // Not closed: a process that was killed leaves a layer like this.
  return { disk, options: { layersDir, runDir, bootId, layer } }
}

function overwrite(path: string, at: number): void {
  chmodSync(path, 0o600)
  const fd = openSync(path, 'r+')
  writeSync(fd, Buffer.from([0x55]), 0, 1, at)
  closeSync(fd)
}

void t.test('a sealed layer has what was acknowledged, a manifest, and no live map', async (t) => {
  const { disk, options } = await sealed(t.testdir())
  const manifest = await sealLayer(options)
  t.equal(manifest.allocatedBytes, 4 * 4096)
  t.same(Object.keys(manifest.chunks), ['0', '2'])
  t.notOk(existsSync(join(disk.runDir, 'snap.map')))
  t.same(await readManifest(disk.layersDir, 'snap'), manifest)
  t.same(await sealLayer(options), manifest, 'sealing again changes nothing')
  t.same(await verifyLayer(options), { isIntact: true, damagedChunks: [], isMapIntact: true })
})

void t.test('verify names the chunk in which one byte changed', async (t) => {
  const { disk, options } = await sealed(t.testdir())
  await sealLayer(options)
  overwrite(layerPath(disk.layersDir, 'snap', 'data'), 9 * 2 ** 20 + 17)
  t.same(await verifyLayer(options), { isIntact: false, damagedChunks: [2], isMapIntact: true })
})

void t.test('verify tells that the map changed', async (t) => {
  const { disk, options } = await sealed(t.testdir())
  await sealLayer(options)
  overwrite(layerPath(disk.layersDir, 'snap', 'map'), 4096 + 300)
  t.notOk((await verifyLayer(options)).isMapIntact)
})

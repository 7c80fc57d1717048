import { createHash } from 'node:crypto'
import { openSync, readdirSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ZERO_CHUNK_SHA256 } from '../../../src/rootdisk/volume/chunk-digest.js'
import { importRaw } from '../../../src/rootdisk/volume/import-raw.js'
import { nodeLayerFiles, type LayerFiles } from '../../../src/rootdisk/volume/layer-files.js'
import { layerPath } from '../../../src/rootdisk/volume/layer.js'
import { bytesOf, TestDisk } from './model-disk.js'

const MIB = 2 ** 20

/** A 13 MiB disk: bytes at its start, in the middle of a chunk, at its odd end; the rest holes. */
function makeSource(root: string): { path: string; content: Buffer } {
  const content = Buffer.alloc(13 * MIB + 1536)
  content.fill(0xaa, 0, 5000)
  content.fill(0xbb, 9 * MIB, 9 * MIB + 8192)
  content.fill(0xcc, content.length - 700)
  const path = join(root, 'source.raw')
  writeFileSync(path, content)
  return { path, content }
}

function digestOf(content: Buffer): string {
  const hash = createHash('sha256')
  for (let at = 0; at < content.length; at += 4 * MIB) {
    hash.update(
      createHash('sha256')
        .update(content.subarray(at, at + 4 * MIB))
        .digest(),
    )
  }
  return hash.digest('hex')
}

void t.test('an imported disk reads as its source and leaves zero clusters out', async (t) => {
  const root = t.testdir()
  const disk = new TestDisk(root)
  const { path, content } = makeSource(root)
  const progress: number[] = []
  const layer = { layerId: 'image', sizeBytes: content.length }
  const manifest = await importRaw({
    layersDir: disk.layersDir,
    ...layer,
    sourcePath: path,
    onProgress: (done) => progress.push(done),
  })
  t.equal(manifest.sha256, digestOf(content))
  t.equal(manifest.allocatedBytes, (2 + 2 + 1) * 4096)
  t.equal(progress.at(-1), content.length)
  const volume = await disk.open([layer], undefined, true)
  t.ok((await bytesOf(volume)).equals(content))
  t.equal(volume.allocatedBytes, manifest.allocatedBytes)
  await volume.close()
  t.equal(statSync(layerPath(disk.layersDir, 'image', 'data')).mode & 0o777, 0o444)
})

void t.test('a source shorter than the disk is followed by zeros, a longer one is refused', async (t) => {
  const root = t.testdir()
  const disk = new TestDisk(root)
  const { path, content } = makeSource(root)
  const sizeBytes = 21 * MIB
  const options = { layersDir: disk.layersDir, layerId: 'image', sourcePath: path }
  const { sha256 } = await importRaw({ ...options, sizeBytes })
  t.equal(sha256, digestOf(Buffer.concat([content, Buffer.alloc(sizeBytes - content.length)])))
  await t.rejects(importRaw({ ...options, layerId: 'other', sizeBytes: MIB }), /more than 1048576/)
  t.same(readdirSync(disk.layersDir), ['image'])
})

void t.test('400 GiB with two known extents are imported without reading the holes', async (t) => {
  const root = t.testdir()
  const disk = new TestDisk(root)
  const path = join(root, 'huge.raw')
  const fd = openSync(path, 'w')
  const sizeBytes = 400 * 2 ** 30
  truncateSync(path, sizeBytes)
  for (const at of [0, 300 * 2 ** 30]) writeSync(fd, Buffer.alloc(65536, 5), 0, 65536, at)
  let readBytes = 0
  const files: LayerFiles = {
    ...nodeLayerFiles,
    read: (from, into, position, done) => {
      readBytes += into.length
      nodeLayerFiles.read(from, into, position, done)
    },
  }
  const extents = [0, 300 * 2 ** 30].map((offset) => ({ offset, length: 65536 }))
  const options = { layersDir: disk.layersDir, layerId: 'huge', sizeBytes, sourcePath: path }
  const manifest = await importRaw({ ...options, extents, files })
  t.equal(manifest.allocatedBytes, 2 * 65536)
  t.equal(readBytes, 2 * 4 * MIB)
})

void t.test('an import that is called off or meets a full disk leaves nothing', async (t) => {
  const root = t.testdir()
  const disk = new TestDisk(root)
  const { path, content } = makeSource(root)
  const options = { layersDir: disk.layersDir, layerId: 'image', sizeBytes: content.length, sourcePath: path }
  await t.rejects(importRaw({ ...options, signal: AbortSignal.abort(new Error('called off')) }), /called off/)
  const files: LayerFiles = {
    ...nodeLayerFiles,
    write: (fd, from, position, done) => {
      if (from.length === 4096 && position === 0) nodeLayerFiles.write(fd, from, position, done)
      else setImmediate(done, Object.assign(new Error('no space'), { code: 'ENOSPC' }))
    },
  }
  await t.rejects(importRaw({ ...options, files }), { code: 'ENOSPC' })
  t.same(readdirSync(disk.layersDir), [])
})

void t.test('the digest of a zero chunk is the known one', (t) => {
  t.equal(
    createHash('sha256')
      .update(Buffer.alloc(4 * MIB))
      .digest('hex'),
    ZERO_CHUNK_SHA256,
  )
  t.end()
})

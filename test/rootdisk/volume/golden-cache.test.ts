import t from 'tap'
import { GoldenCache } from '../../../src/rootdisk/volume/golden-cache.js'
import { nodeLayerFiles, type LayerFiles } from '../../../src/rootdisk/volume/layer-files.js'
import { createLayer } from '../../../src/rootdisk/volume/layer.js'
import { openVolume } from '../../../src/rootdisk/volume/open-volume.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'
import { bytesOf, failureOf, TestDisk } from './model-disk.js'

const KIB = 1024
const IMAGE = { layerId: 'image', sizeBytes: 300 * KIB }

/** Two clones of one image that share a cache, and a count of the reads of files. */
async function clones(
  root: string,
  budgetBytes: number,
): Promise<{ all: [Volume, Volume]; content: Buffer; reads: number[]; files: { fail: boolean } }> {
  const disk = new TestDisk(root)
  const content = Buffer.alloc(IMAGE.sizeBytes)
  for (let i = 0; i < content.length; i += 512) content.fill(1 + ((i / 512) % 251), i, i + 512)
  await createLayer(disk, IMAGE)
  const image = await disk.open([IMAGE])
  await image.write(0, content)
  await image.close()
  const reads: number[] = []
  const control = { fail: false }
  const files: LayerFiles = {
    ...nodeLayerFiles,
    read: (fd, into, position, done) => {
      reads.push(position)
      if (control.fail) setImmediate(done, Object.assign(new Error('injected'), { code: 'EIO' }))
      else nodeLayerFiles.read(fd, into, position, done)
    },
  }
  const cache = new GoldenCache(budgetBytes)
  const { layersDir, runDir, bootId } = disk
  const clone = async (layerId: string): Promise<Volume> => {
    const top = { layerId, sizeBytes: IMAGE.sizeBytes }
    await createLayer(disk, top)
    return openVolume({ layersDir, runDir, bootId, chain: [top, IMAGE], isReadOnly: false, files, cache })
  }
  const all: [Volume, Volume] = [await clone('a'), await clone('b')]
  reads.length = 0
  return { all, content, reads, files: control }
}

void t.test('clones that read an image at once read each chunk from the disk once', async (t) => {
  const { all, content, reads } = await clones(t.testdir(), 10 * 64 * KIB)
  const got = await Promise.all(all.map((volume) => bytesOf(volume)))
  t.ok(got.every((bytes) => bytes.equals(content)))
  t.equal(reads.length, 5)
  t.equal(all[1].read(70_000, Buffer.alloc(5000)), undefined, 'a hit is done at once')
  await all[0].write(70_000, Buffer.alloc(100, 255))
  t.ok((await bytesOf(all[0], 70_000, 100)).equals(Buffer.alloc(100, 255)), 'own bytes are not the image')
  t.ok((await bytesOf(all[1], 70_000, 100)).equals(content.subarray(70_000, 70_100)))
  for (const volume of all) await volume.close()
})

void t.test('a cache smaller than the image stays in its budget and reads right', async (t) => {
  const { all, content } = await clones(t.testdir(), 2 * 64 * KIB)
  for (let i = 0; i < 60; i++) {
    const offset = (i * 52_361) % (IMAGE.sizeBytes - 9000)
    t.ok((await bytesOf(all[0], offset, 9000)).equals(content.subarray(offset, offset + 9000)))
  }
  for (const volume of all) await volume.close()
})

void t.test('a chunk that could not be read fails its readers and is tried again', async (t) => {
  const { all, content, files } = await clones(t.testdir(), 640 * KIB)
  files.fail = true
  const failures = await Promise.all(all.map((volume) => failureOf(volume.read(0, Buffer.alloc(200 * KIB)))))
  t.same(failures, ['medium', 'medium'])
  files.fail = false
  await new Promise(setImmediate) // what was read ahead fails too
  const got = await Promise.all(all.map((volume) => bytesOf(volume)))
  t.ok(got.every((bytes) => bytes.equals(content)))
  for (const volume of all) await volume.close()
})

void t.test('a sequential reader finds what comes next in memory, and nothing is read twice', async (t) => {
  const { all, content, reads } = await clones(t.testdir(), 640 * KIB)
  const [volume] = all
  for (let at = 0; at < 128 * KIB; at += 64 * KIB) await volume.read(at, Buffer.alloc(64 * KIB))
  t.same(
    reads.map((position) => position / KIB),
    [0, 64, 128, 192, 256],
    'two chunks in a row bring the rest of the image',
  )
  t.ok((await bytesOf(volume)).equals(content))
  t.equal(reads.length, 5)
  for (const each of all) await each.close()
})

void t.test('a random reader has nothing read ahead for it', async (t) => {
  const { all, reads } = await clones(t.testdir(), 640 * KIB)
  for (const chunk of [3, 1, 4]) await all[0].read(chunk * 64 * KIB, Buffer.alloc(4096))
  t.equal(reads.length, 3)
  for (const each of all) await each.close()
})

void t.test('memory that is used again never shows in a read that waited for another chunk', async (t) => {
  const { all, content } = await clones(t.testdir(), 64 * KIB)
  for (let round = 0; round < 20; round++) {
    const got = await Promise.all(
      all.flatMap((volume) => [bytesOf(volume), bytesOf(volume, 100_000, 150_000)]),
    )
    t.ok(got.every((bytes, i) => bytes.equals(i % 2 === 0 ? content : content.subarray(100_000, 250_000))))
  }
  for (const each of all) await each.close()
})

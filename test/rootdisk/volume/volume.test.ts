import fc from 'fast-check'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createLayer, type LayerSpec } from '../../../src/rootdisk/volume/layer.js'
import { nodeLayerFiles, type LayerFiles } from '../../../src/rootdisk/volume/layer-files.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'
import { bytesOf, failureOf, TestDisk, unsynced } from './model-disk.js'

const CLUSTER = 4096

/** A chain with its expected content; the lower layers were written and closed. */
async function buildChain(
  disk: TestDisk,
  sizes: readonly number[],
  seed: number,
): Promise<[LayerSpec[], Buffer]> {
  let chain: LayerSpec[] = []
  let model = Buffer.alloc(0)
  for (const [i, sizeBytes] of sizes.entries()) {
    const layer = { layerId: `layer-${String(i)}`, sizeBytes }
    await createLayer(disk, layer, unsynced)
    chain = [layer, ...chain]
    const grown = Buffer.alloc(sizeBytes)
    model.copy(grown)
    model = grown
    if (i === sizes.length - 1) break
    const volume = await disk.open(chain, unsynced)
    for (let at = (seed % 5) * 1000; at + 7000 < sizeBytes; at += 16_000) {
      const bytes = Buffer.alloc(7000, 1 + i + (at % 200))
      await volume.write(at, bytes)
      bytes.copy(model, at)
    }
    await volume.unmap(4000, 9000)
    model.fill(0, 4000, 13_000)
    await volume.close()
  }
  return [chain, model]
}

type Step =
  | { kind: 'write'; offset: number; length: number; value: number }
  | { kind: 'unmap'; offset: number; length: number }
  | { kind: 'read'; offset: number; length: number }
  | { kind: 'flush' | 'kill' | 'close' | 'extents' }

const SIZE = 24 * CLUSTER + 1536

const place = fc
  .tuple(fc.nat(SIZE - 1), fc.oneof(fc.nat(600), fc.nat(20_000)), fc.boolean())
  .map(([offset, length, isAligned]) => {
    const at = isAligned ? offset - (offset % CLUSTER) : offset
    const wished = isAligned ? length + CLUSTER - (length % CLUSTER) : length + 1
    return { offset: at, length: Math.min(wished, SIZE - at) }
  })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(place, fc.integer({ min: 1, max: 255 }))
      .map(([p, value]) => ({ kind: 'write' as const, ...p, value })),
  },
  { weight: 2, arbitrary: place.map((p) => ({ kind: 'unmap' as const, ...p })) },
  { weight: 3, arbitrary: place.map((p) => ({ kind: 'read' as const, ...p })) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Step>(
      { kind: 'flush' },
      { kind: 'kill' },
      { kind: 'close' },
      { kind: 'extents' },
    ),
  },
)

async function apply(volume: Volume, model: Buffer, s: Step): Promise<void> {
  if (s.kind === 'write') {
    await volume.write(s.offset, Buffer.alloc(s.length, s.value))
    model.fill(s.value, s.offset, s.offset + s.length)
  } else if (s.kind === 'unmap') {
    await volume.unmap(s.offset, s.length)
    model.fill(0, s.offset, s.offset + s.length)
  } else if (s.kind === 'read') {
    const got = await bytesOf(volume, s.offset, s.length)
    if (!got.equals(model.subarray(s.offset, s.offset + s.length))) throw new Error('read differs from model')
  } else if (s.kind === 'flush') await volume.flush()
  else if (s.kind === 'extents') checkExtents(volume, model)
}

function checkExtents(volume: Volume, model: Buffer): void {
  let at = 100
  let before = ''
  for (const extent of volume.extents(100, SIZE - 300)) {
    if (extent.offset !== at || extent.kind === before) throw new Error('extents are not a merged cover')
    at += extent.length
    before = extent.kind
    const bytes = model.subarray(extent.offset, at)
    if (extent.kind === 'zero' && !bytes.equals(Buffer.alloc(bytes.length)))
      throw new Error('zero extent has bytes')
  }
  if (at !== SIZE - 200) throw new Error('extents do not cover the range')
}

void t.test(
  'a volume reads what a plain buffer would, over random operations, kills and reopens',
  async (t) => {
    const root = t.testdir()
    let runs = 0
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.nat(20),
        fc.array(step, { minLength: 1, maxLength: 40 }),
        async (depth, seed, steps) => {
          const disk = new TestDisk(join(root, String(runs++)))
          const sizes = [10 * CLUSTER + 300, 18 * CLUSTER].slice(0, depth - 1).concat(SIZE)
          const [chain, model] = await buildChain(disk, sizes, seed)
          let volume = await disk.open(chain, unsynced)
          for (const s of steps) {
            if (s.kind === 'kill')
              volume = await disk.open(chain, unsynced) // the old one is never heard of again
            else if (s.kind === 'close') {
              await volume.close()
              volume = await disk.open(chain, unsynced)
            } else await apply(volume, model, s)
          }
          const whole = await bytesOf(volume)
          await volume.close()
          const after = await disk.open(chain, undefined, true)
          const reread = await bytesOf(after)
          await after.close()
          return whole.equals(model) && reread.equals(model)
        },
      ),
      { numRuns: 100 },
    )
  },
)

void t.test('overlapping concurrent writes and unmaps leave every byte as one of them made it', async (t) => {
  const root = t.testdir()
  let runs = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 24 }), fc.nat(20), async (steps, seed) => {
      const disk = new TestDisk(join(root, String(runs++)))
      const [chain, model] = await buildChain(disk, [10 * CLUSTER + 300, SIZE], seed)
      const possible = Array.from({ length: SIZE }, (_, i) => new Set([model[i]]))
      const volume = await disk.open(chain, unsynced)
      const changes = steps.filter((s) => s.kind === 'write' || s.kind === 'unmap')
      await Promise.all([
        ...changes.map(async (s) =>
          s.kind === 'write'
            ? volume.write(s.offset, Buffer.alloc(s.length, s.value))
            : volume.unmap(s.offset, s.length),
        ),
        volume.flush(),
      ])
      for (const s of changes) {
        const value = s.kind === 'write' ? s.value : 0
        for (let i = s.offset; i < s.offset + s.length; i++) {
          const set = possible[i]
          if (set !== undefined && set.size > 0) set.add(value)
        }
      }
      const touched = new Uint8Array(SIZE)
      for (const s of changes) touched.fill(1, s.offset, s.offset + s.length)
      const got = await bytesOf(volume)
      await volume.close()
      return got.every((byte, i) => (touched[i] === 1 ? possible[i]?.has(byte) : byte === model[i]))
    }),
    { numRuns: 50 },
  )
})

void t.test('two concurrent writes to parts of one fresh cluster both arrive', async (t) => {
  const disk = new TestDisk(t.testdir())
  const [chain, model] = await buildChain(disk, [10 * CLUSTER, SIZE], 0)
  const volume = await disk.open(chain, unsynced)
  const parts = Array.from({ length: 8 }, (_, i) => i)
  await Promise.all(parts.map(async (i) => volume.write(15 * CLUSTER + i * 512, Buffer.alloc(512, 100 + i))))
  for (const i of parts) model.fill(100 + i, 15 * CLUSTER + i * 512, 15 * CLUSTER + (i + 1) * 512)
  t.ok((await bytesOf(volume)).equals(model))
  await volume.close()
})

void t.test('an unwritten volume is read and trimmed without a system call', async (t) => {
  const disk = new TestDisk(t.testdir())
  const layer = { layerId: 'top', sizeBytes: 400 * 2 ** 30 }
  await createLayer(disk, layer)
  let calls = 0
  const files: LayerFiles = {
    ...nodeLayerFiles,
    read: (...args) => {
      calls++
      nodeLayerFiles.read(...args)
    },
  }
  const volume = await disk.open([layer], files)
  calls = 0
  const into = Buffer.alloc(2 ** 20, 1)
  t.equal(volume.read(399 * 2 ** 30, into), undefined)
  t.equal(calls, 0)
  t.ok(into.equals(Buffer.alloc(2 ** 20)))
  await volume.unmap(0, layer.sizeBytes)
  t.equal(volume.allocatedBytes, 0)
  t.same(volume.extents(0, layer.sizeBytes), [{ offset: 0, length: layer.sizeBytes, kind: 'zero' }])
  await volume.write(300 * 2 ** 30, Buffer.alloc(8192, 3))
  t.equal(volume.allocatedBytes, 8192)
  await volume.close()
  t.ok(statSync(join(disk.layersDir, 'top', 'map')).blocks * 512 <= 64 * 1024, 'the map stays sparse')
})

void t.test('a run of clusters with one owner is one read', async (t) => {
  const disk = new TestDisk(t.testdir())
  const layer = { layerId: 'top', sizeBytes: 2 ** 20 }
  await createLayer(disk, layer)
  let calls = 0
  const files: LayerFiles = {
    ...nodeLayerFiles,
    read: (...args) => {
      calls++
      nodeLayerFiles.read(...args)
    },
  }
  const volume = await disk.open([layer], files)
  await volume.write(0, Buffer.alloc(256 * 1024, 7))
  calls = 0
  await bytesOf(volume, 0, 256 * 1024)
  t.equal(calls, 1)
  await volume.close()
})

void t.test('a live map of an earlier boot is not believed', async (t) => {
  const disk = new TestDisk(t.testdir())
  const layer = { layerId: 'top', sizeBytes: 2 ** 20 }
  await createLayer(disk, layer)
  const volume = await disk.open([layer])
  await volume.write(0, Buffer.alloc(4096, 7))
  await volume.flush()
  await volume.write(4096, Buffer.alloc(4096, 8))
  disk.bootId = 'another'
  const again = await disk.open([layer])
  t.ok((await bytesOf(again, 0, 8192)).equals(Buffer.concat([Buffer.alloc(4096, 7), Buffer.alloc(4096)])))
  await again.close()
  t.notOk(existsSync(join(disk.runDir, 'top.map')), 'a clean close leaves no live map')
})

void t.test('a read-only volume refuses writes and unmaps and touches no file', async (t) => {
  const disk = new TestDisk(t.testdir())
  const [chain] = await buildChain(disk, [10 * CLUSTER, SIZE], 0)
  const volume = await disk.open(chain, undefined, true)
  t.equal(await failureOf(volume.write(0, Buffer.alloc(1))), 'read-only')
  t.equal(await failureOf(volume.unmap(0, 1)), 'read-only')
  t.equal(volume.flush(), undefined)
  t.notOk(existsSync(join(disk.runDir, 'layer-1.map')))
  await volume.close()
  t.equal(await failureOf(volume.read(0, Buffer.alloc(1))), 'medium')
})

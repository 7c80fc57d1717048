import fc from 'fast-check'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { GoldenCache } from '../../../src/rootdisk/volume/golden-cache.js'
import { MAX_SIZE_BYTES } from '../../../src/rootdisk/volume/cluster-map.js'
import { createLayer, type LayerSpec } from '../../../src/rootdisk/volume/layer.js'
import { nodeLayerFiles, type LayerFiles } from '../../../src/rootdisk/volume/layer-files.js'
import { liveMapPath } from '../../../src/rootdisk/volume/layer.js'
import { openShared } from '../../../src/rootdisk/volume/open-volume.js'
import { readManifest } from '../../../src/rootdisk/volume/manifest.js'
import { sealLayer, verifyLayer } from '../../../src/rootdisk/volume/seal-layer.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'
import { bytesOf, failureOf, TestDisk, unsynced } from './model-disk.js'

const CLUSTER = 4096
const SIZE = 40 * CLUSTER

const layer = (layerId: string, sizeBytes = SIZE): LayerSpec => ({ layerId, sizeBytes })
const full = (value: number, clusters = 1): Buffer => Buffer.alloc(clusters * CLUSTER, value)

async function create(disk: TestDisk, ...layers: LayerSpec[]): Promise<void> {
  for (const one of layers) await createLayer(disk, one, unsynced)
}

type Step =
  | { kind: 'write'; offset: number; length: number; value: number }
  | { kind: 'unmap'; offset: number; length: number }
  | { kind: 'flush' | 'push' | 'kill' | 'flatten' }
  | { kind: 'merge' | 'drop'; at: number }
  | { kind: 'grow'; by: number }

const place = fc.record({ offset: fc.nat(SIZE - 1), length: fc.integer({ min: 1, max: 5 * CLUSTER }) })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(place, fc.integer({ min: 1, max: 255 }))
      .map(([p, value]): Step => ({ kind: 'write', ...p, value })),
  },
  { weight: 2, arbitrary: place.map((p): Step => ({ kind: 'unmap', ...p })) },
  { weight: 3, arbitrary: fc.constantFrom<Step>({ kind: 'push' }, { kind: 'flush' }, { kind: 'kill' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'flatten' }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('merge' as const, 'drop' as const), at: fc.nat(3) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('grow' as const), by: fc.nat(9000) }) },
)

/** A volume, what it should read as, and the chain that the registry would wish. */
class Guest {
  readonly disk: TestDisk
  wished: LayerSpec[]
  model: Buffer = Buffer.alloc(SIZE)
  volume!: Volume
  #made = 0

  constructor(root: string) {
    this.disk = new TestDisk(root)
    this.wished = [layer('top'), layer('image', 30 * CLUSTER), layer('large', 36 * CLUSTER)]
  }

  async begin(): Promise<void> {
    await create(this.disk, ...this.wished)
    for (const [i, value] of [
      [2, 1],
      [1, 2],
    ] as const) {
      const below = await this.disk.open(this.wished.slice(i), unsynced)
      for (let n = i; n < below.sizeBytes / CLUSTER; n += 4) {
        await below.write(n * CLUSTER + 50, full(value))
        this.model.fill(value, n * CLUSTER + 50, (n + 1) * CLUSTER + 50)
      }
      if (i === 1) this.model.fill(0, 30 * CLUSTER) // the image ends there
      await below.close()
    }
    await this.open()
    this.model = await bytesOf(this.volume)
  }

  async open(): Promise<void> {
    const cache = new GoldenCache(1 << 20)
    this.volume = await openShared(this.disk.store({ cache }), this.wished)
  }

  async apply(s: Step): Promise<void> {
    const { volume } = this
    if (s.kind === 'write' || s.kind === 'unmap') {
      const length = Math.min(s.length, this.model.length - s.offset)
      if (s.kind === 'unmap') await volume.unmap(s.offset, length)
      else await volume.write(s.offset, Buffer.alloc(length, s.value))
      this.model.fill(s.kind === 'write' ? s.value : 0, s.offset, s.offset + length)
    } else if (s.kind === 'flush') await volume.flush()
    else if (s.kind === 'kill') await this.open()
    else if (s.kind === 'flatten') await volume.flatten()
    else await this.change(s)
  }

  async change(s: Step): Promise<void> {
    const { volume, wished } = this
    const top = wished[0] ?? layer('none')
    if (s.kind === 'push') {
      const next = layer(`snap-${String(this.#made++)}`, top.sizeBytes)
      await create(this.disk, next)
      this.wished = [next, ...wished]
      await volume.pushLayer(next)
    } else if (s.kind === 'grow') {
      this.wished = [layer(top.layerId, top.sizeBytes + s.by), ...wished.slice(1)]
      await volume.grow(top.sizeBytes + s.by)
      this.model = Buffer.concat([this.model, Buffer.alloc(s.by)])
    } else if (s.kind === 'merge' || s.kind === 'drop') {
      const doomed = wished[1 + s.at]
      if (doomed === undefined) return
      await (s.kind === 'merge' ? volume.mergeLayer(doomed.layerId) : volume.dropLayer(doomed.layerId))
      if (s.kind === 'drop') this.wished = wished.filter((one) => one !== doomed)
    }
  }
}

void t.test('a volume reads the same through snapshots, merges, drops, growth and kills', async (t) => {
  const root = t.testdir()
  let runs = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
      const guest = new Guest(join(root, String(runs++)))
      await guest.begin()
      for (const s of steps) {
        await guest.apply(s)
        if (!(await bytesOf(guest.volume)).equals(guest.model)) throw new Error(`differs after ${s.kind}`)
      }
      await guest.volume.close()
      guest.disk.bootId = 'another'
      const after = await guest.disk.open(guest.wished, unsynced, true)
      const same = (await bytesOf(after)).equals(guest.model)
      await after.close()
      return same
    }),
    { numRuns: 60 },
  )
})

void t.test('guests write and read right through a change of layers', async (t) => {
  const root = t.testdir()
  let runs = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      const guest = new Guest(join(root, String(runs++)))
      await guest.begin()
      let isOver = false
      // each writer owns some clusters: what it wrote last is what it must read, whatever the layers do
      const writer = async (own: number): Promise<void> => {
        for (let round = 1; !isOver || round < 4; round++) {
          for (let n = own; n < 40; n += 4) {
            const at = n * CLUSTER + (round % 2) * 100
            const bytes = Buffer.alloc(CLUSTER - 200, round % 250)
            await guest.volume.write(at, bytes)
            bytes.copy(guest.model, at)
            if (!(await bytesOf(guest.volume, at, bytes.length)).equals(bytes))
              throw new Error('a write is lost')
          }
        }
      }
      const writers = [0, 1, 2, 3].map(writer)
      const changes = steps.filter(({ kind }) => ['push', 'merge', 'drop', 'flatten', 'flush'].includes(kind))
      for (const s of changes) await guest.apply(s)
      isOver = true
      await Promise.all(writers)
      const same = (await bytesOf(guest.volume)).equals(guest.model)
      await guest.volume.close()
      return same
    }),
    { numRuns: 25 },
  )
})

void t.test('a snapshot holds what was acknowledged before it, and nothing later', async (t) => {
  const disk = new TestDisk(t.testdir())
  await create(disk, layer('top'), layer('next'))
  const volume = await disk.open([layer('top')])
  const before = Array.from({ length: 8 }, async (_, i) => volume.write(i * CLUSTER, full(1)))
  const pushed = volume.pushLayer(layer('next'))
  const after = Array.from({ length: 8 }, async (_, i) => volume.write(i * 2 * CLUSTER, full(2)))
  await Promise.all([...before, pushed, ...after])
  t.same(volume.layerIds, ['next', 'top'])
  t.notOk(existsSync(liveMapPath(disk.runDir, 'top')), 'the snapshot is on disk')
  disk.bootId = 'another'
  const snapshot = await disk.open([layer('top')], undefined, true)
  const content = await bytesOf(snapshot, 0, 16 * CLUSTER)
  await snapshot.close()
  t.ok([1, 2, 0].includes(content[0] ?? 9))
  for (let n = 0; n < 16; n++) {
    const value = content[n * CLUSTER] ?? 9
    t.ok(content.subarray(n * CLUSTER, (n + 1) * CLUSTER).equals(full(value)), 'whole clusters only')
    if (n > 0 && n < 8 && n % 2 === 1) t.equal(value, 1)
  }
  t.ok((await bytesOf(volume, 14 * CLUSTER, CLUSTER)).equals(full(2)))
  await volume.close()
})

void t.test('writes go on while the flush of a snapshot waits for its disk', async (t) => {
  const disk = new TestDisk(t.testdir())
  await create(disk, layer('top'))
  const held: (() => void)[] = []
  let isSlow = false
  const files: LayerFiles = {
    ...unsynced,
    sync: (_fd, done) => {
      if (isSlow) held.push(() => done(null))
      else setImmediate(done, null)
    },
  }
  const volume = await disk.open([layer('top')], files)
  const times: number[] = []
  for (let i = 0; i < 9; i++) {
    await create(disk, layer(`s${String(i)}`))
    await volume.write(0, full(i))
    isSlow = true
    const started = performance.now()
    let isDone = false
    const pushed = volume.pushLayer(layer(`s${String(i)}`)).then(() => (isDone = true))
    while (volume.layerIds[0] !== `s${String(i)}`) await new Promise((resolve) => setImmediate(resolve))
    await volume.write(0, full(100 + i))
    times.push(performance.now() - started)
    t.notOk(isDone, 'the write is done before the snapshot is')
    isSlow = false
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve))
    for (const go of held.splice(0)) go()
    await pushed
  }
  t.comment(`writes stood still for ${(times.sort((a, b) => a - b)[4] ?? 0).toFixed(2)} ms (median)`)
  await volume.close()
})

void t.test('a flush after a snapshot covers what the snapshot had not flushed', async (t) => {
  const disk = new TestDisk(t.testdir())
  await create(disk, layer('top'), layer('next'))
  const failing: { code: string | undefined } = { code: undefined }
  const files: LayerFiles = {
    ...nodeLayerFiles,
    write: (fd, from, position, done) => {
      if (failing.code === undefined) nodeLayerFiles.write(fd, from, position, done)
      else setImmediate(done, Object.assign(new Error('injected'), { code: failing.code }))
    },
  }
  const volume = await disk.open([layer('top')], files)
  await volume.write(0, full(1))
  failing.code = 'ENOSPC'
  t.equal(await failureOf(volume.pushLayer(layer('next'))), 'no-space')
  t.same(volume.layerIds, ['next', 'top'], 'the snapshot is there all the same')
  t.equal(await failureOf(volume.flush()), 'no-space')
  failing.code = undefined
  t.equal(await failureOf(volume.flush()), 'it succeeded')
  t.notOk(existsSync(liveMapPath(disk.runDir, 'top')))
  disk.bootId = 'another'
  const after = await disk.open([layer('next'), layer('top')], undefined, true)
  t.ok((await bytesOf(after, 0, CLUSTER)).equals(full(1)))
  await after.close()
  await volume.close()
})

void t.test(
  'a parent whose writer died before a flush is flushed with the volume that stands on it',
  async (t) => {
    const disk = new TestDisk(t.testdir())
    await create(disk, layer('top'), layer('next'))
    await (await disk.open([layer('top')])).write(0, full(7)) // and dies
    const volume = await disk.open([layer('next'), layer('top')])
    t.ok((await bytesOf(volume, 0, CLUSTER)).equals(full(7)))
    await volume.flush()
    t.notOk(existsSync(liveMapPath(disk.runDir, 'top')))
    disk.bootId = 'another'
    const after = await disk.open([layer('next'), layer('top')], undefined, true)
    t.ok((await bytesOf(after, 0, CLUSTER)).equals(full(7)))
    await after.close()
    await volume.close()
  },
)

void t.test('a merge that was ended goes on where it was', async (t) => {
  const disk = new TestDisk(t.testdir())
  const size = 64 * 2 ** 20 * 3
  const chain = [layer('top', size), layer('snap', size), layer('image', size)]
  await create(disk, ...chain)
  const below = await disk.open(chain.slice(1), unsynced)
  for (let at = 0; at < size; at += size / 6) await below.write(at, full(3, 300))
  await below.close()
  let copied = 0
  const files: LayerFiles = {
    ...unsynced,
    write: (fd, from, position, done) => {
      copied += from.length
      unsynced.write(fd, from, position, done)
    },
  }
  const volume = await disk.open(chain, files)
  const ended = new AbortController()
  const fractions: number[] = []
  const onProgress = (fraction: number): void => {
    fractions.push(fraction)
    if (fractions.length === 1) ended.abort(new Error('enough'))
  }
  await t.rejects(volume.mergeLayer('snap', { signal: ended.signal, onProgress }), /enough/)
  t.ok(copied < 5 * 300 * CLUSTER, 'not all of it was copied')
  await volume.mergeLayer('snap', { onProgress })
  t.equal(fractions.at(-1), 1)
  t.ok(copied < 6 * 300 * CLUSTER + 40 * CLUSTER, 'nothing was copied twice')
  await volume.dropLayer('snap')
  t.same(volume.layerIds, ['top', 'image'])
  t.ok((await bytesOf(volume, size / 2, 300 * CLUSTER)).equals(full(3, 300)))
  await volume.close()
})

void t.test('merging into a sealed layer takes its seal, and it can be sealed again', async (t) => {
  const disk = new TestDisk(t.testdir())
  const chain = [layer('top'), layer('image'), layer('base')]
  await create(disk, ...chain)
  const below = await disk.open(chain.slice(2))
  await below.write(0, full(5))
  await below.close()
  const { layersDir, runDir, bootId } = disk
  const image = { layersDir, runDir, bootId, layer: layer('image') }
  await sealLayer(image)
  const volume = await disk.open(chain)
  await volume.dropLayer('base')
  t.equal(await readManifest(layersDir, 'image'), undefined)
  t.ok((await bytesOf(volume, 0, CLUSTER)).equals(full(5)))
  await volume.close()
  await sealLayer(image)
  t.ok((await verifyLayer(image)).isIntact)
})

void t.test(
  'clones that share a parent read right while it is merged into, through the cache too',
  async (t) => {
    const disk = new TestDisk(t.testdir())
    const under = [layer('image'), layer('base')]
    await create(disk, layer('one'), layer('two'), ...under)
    const base = await disk.open([layer('base')])
    for (let n = 0; n < 40; n += 2) await base.write(n * CLUSTER, full(1 + n))
    await base.close()
    const image = await disk.open(under)
    for (let n = 1; n < 40; n += 2) await image.write(n * CLUSTER, full(1 + n))
    await image.close()
    const store = disk.store({ cache: new GoldenCache(1 << 20) })
    const one = await openShared(store, [layer('one'), ...under])
    const two = await openShared(store, [layer('two'), ...under])
    const content = await bytesOf(two)
    const merged = one.mergeLayer('base')
    for (let i = 0; i < 5; i++) t.ok((await bytesOf(two)).equals(content))
    await merged
    t.ok((await bytesOf(two)).equals(content))
    await Promise.all([one.dropLayer('base'), two.dropLayer('base')])
    t.equal(store.openCount, 3)
    t.ok((await bytesOf(one)).equals(content))
    t.ok((await bytesOf(two)).equals(content))
    await Promise.all([one.close(), two.close()])
    t.equal(store.openCount, 0)
  },
)

void t.test('a top layer that is smaller than wished grows when it is opened', async (t) => {
  const disk = new TestDisk(t.testdir())
  await create(disk, layer('top', CLUSTER + 100))
  const small = await disk.open([layer('top', CLUSTER + 100)])
  await small.write(CLUSTER, Buffer.alloc(100, 1))
  const volume = await disk.open([layer('top', 3 * CLUSTER)]) // the process that had it died
  t.equal(volume.sizeBytes, 3 * CLUSTER)
  t.ok((await bytesOf(volume, CLUSTER, 200)).equals(Buffer.concat([Buffer.alloc(100, 1), Buffer.alloc(100)])))
  await volume.write(2 * CLUSTER, full(2))
  await volume.close()
  const again = await disk.open([layer('top', 3 * CLUSTER)], undefined, true)
  t.ok((await bytesOf(again, 2 * CLUSTER, CLUSTER)).equals(full(2)))
  await again.close()
})

void t.test('a disk grows to 64 TiB and no further, and never shrinks', async (t) => {
  const disk = new TestDisk(t.testdir())
  await create(disk, layer('top'))
  const volume = await disk.open([layer('top')])
  const started = performance.now()
  try {
    await volume.grow(MAX_SIZE_BYTES)
  } catch (err) {
    await volume.close()
    t.comment(`the file system has no files of 64 TiB: ${String(err)}`)
    return
  }
  await volume.write(MAX_SIZE_BYTES - CLUSTER, full(9))
  t.ok((await bytesOf(volume, MAX_SIZE_BYTES - CLUSTER, CLUSTER)).equals(full(9)))
  await t.rejects(volume.grow(MAX_SIZE_BYTES + CLUSTER), RangeError)
  await t.rejects(volume.grow(SIZE), RangeError)
  await volume.close()
  t.comment(`${(performance.now() - started).toFixed(0)} ms`)
})

void t.test('a closed volume ends its merges and refuses changes', async (t) => {
  const disk = new TestDisk(t.testdir())
  const chain = [layer('top'), layer('image')]
  await create(disk, ...chain, layer('next'))
  const image = await disk.open([layer('image')])
  await image.write(0, full(1, 40))
  await image.close()
  const volume = await disk.open(chain)
  const merged = volume.mergeLayer('image').catch((err: unknown) => String(err))
  await volume.close()
  t.match(await merged, /closed|undefined/)
  await t.rejects(volume.pushLayer(layer('next')), /open/)
  await t.rejects(volume.grow(2 * SIZE), /open/)
})

import t from 'tap'
import { nodeLayerFiles, type IoDone, type LayerFiles } from '../../../src/rootdisk/volume/layer-files.js'
import { GoldenCache } from '../../../src/rootdisk/volume/golden-cache.js'
import { createLayer } from '../../../src/rootdisk/volume/layer.js'
import { openShared } from '../../../src/rootdisk/volume/open-volume.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'
import { bytesOf, failureOf, TestDisk, unsynced } from './model-disk.js'

const CLUSTER = 4096
const LAYER = { layerId: 'top', sizeBytes: 64 * CLUSTER }

type Call = 'open' | 'read' | 'write' | 'writeSync' | 'sync' | 'truncate'

/** Real files of which the next call of a kind fails; a failing write has written half. */
class FailingFiles {
  #next: { call: Call; code: string } | undefined
  #isLasting = false

  failNext(call: Call, code: string): void {
    this.#next = { call, code }
    this.#isLasting = false
  }

  /** Every call of a kind fails until {@link mend}. */
  failAll(call: Call, code: string): void {
    this.#next = { call, code }
    this.#isLasting = true
  }

  mend(): void {
    this.#next = undefined
  }

  readonly files: LayerFiles = {
    ...nodeLayerFiles,
    open: (path, mode) => {
      const err = mode === 'replace' ? this.#take('open') : undefined
      return err === undefined ? nodeLayerFiles.open(path, mode) : Promise.reject(err)
    },
    truncate: (fd, sizeBytes) => {
      const err = this.#take('truncate')
      return err === undefined ? nodeLayerFiles.truncate(fd, sizeBytes) : Promise.reject(err)
    },
    read: (fd, into, position, done) => {
      const err = this.#take('read')
      if (err) setImmediate(done, err)
      else nodeLayerFiles.read(fd, into, position, done)
    },
    write: (fd, from, position, done) => {
      const err = this.#take('write')
      const part: IoDone = () => {
        done(err ?? null)
      }
      nodeLayerFiles.write(fd, err ? from.subarray(0, from.length / 2) : from, position, err ? part : done)
    },
    writeSync: (fd, from, position) => {
      const err = this.#take('writeSync')
      if (err) throw err
      nodeLayerFiles.writeSync(fd, from, position)
    },
    sync: (fd, done) => {
      const err = this.#take('sync')
      if (err) setImmediate(done, err)
      else nodeLayerFiles.sync(fd, done)
    },
  }

  #take(call: Call): Error | undefined {
    if (this.#next?.call !== call) return undefined
    const { code } = this.#next
    if (!this.#isLasting) this.#next = undefined
    return Object.assign(new Error(`${code}: injected`), { code })
  }
}

async function opened(root: string): Promise<{ disk: TestDisk; failing: FailingFiles; volume: Volume }> {
  const disk = new TestDisk(root)
  const failing = new FailingFiles()
  await createLayer(disk, LAYER)
  return { disk, failing, volume: await disk.open([LAYER], failing.files) }
}

const full = (value: number): Buffer => Buffer.alloc(CLUSTER, value)

void t.test(
  'errors of the kernel become no-space, read-only or medium, and the volume goes on',
  async (t) => {
    const { failing, volume } = await opened(t.testdir())
    const kinds = { ENOSPC: 'no-space', EDQUOT: 'no-space', EROFS: 'read-only', EIO: 'medium' }
    for (const [code, kind] of Object.entries(kinds)) {
      failing.failNext('write', code)
      t.equal(await failureOf(volume.write(0, full(1))), kind)
    }
    await volume.write(0, full(2))
    failing.failNext('read', 'EIO')
    t.equal(await failureOf(volume.read(0, full(0))), 'medium')
    t.ok((await bytesOf(volume, 0, CLUSTER)).equals(full(2)))
    await volume.close()
  },
)

void t.test('a failed first write leaves the old content, now and after a kill', async (t) => {
  const { disk, failing, volume } = await opened(t.testdir())
  for (const [call, code] of [
    ['write', 'ENOSPC'],
    ['writeSync', 'ENOSPC'],
  ] as const) {
    failing.failNext(call, code)
    t.equal(await failureOf(volume.write(3 * CLUSTER, Buffer.alloc(3 * CLUSTER, 9))), 'no-space')
    t.ok((await bytesOf(volume)).equals(Buffer.alloc(LAYER.sizeBytes)), `after a failed ${call}`)
  }
  const again = await disk.open([LAYER])
  t.ok((await bytesOf(again)).equals(Buffer.alloc(LAYER.sizeBytes)))
  t.equal(again.allocatedBytes, 0)
  await again.close()
})

void t.test('those who wait for a failed write get their turn', async (t) => {
  const { failing, volume } = await opened(t.testdir())
  failing.failNext('write', 'EIO')
  const first = failureOf(volume.write(0, full(1)))
  const second = failureOf(volume.write(100, Buffer.alloc(10, 2)))
  t.equal(await first, 'medium')
  t.equal(await second, 'it succeeded')
  await volume.close()
})

void t.test('a merge whose parent cannot be read fails and writes nothing', async (t) => {
  const disk = new TestDisk(t.testdir())
  const image = { layerId: 'image', sizeBytes: CLUSTER }
  await createLayer(disk, image)
  const below = await disk.open([image])
  await below.write(0, full(5))
  await below.close()
  await createLayer(disk, LAYER)
  const failing = new FailingFiles()
  const volume = await disk.open([LAYER, image], failing.files)
  failing.failNext('read', 'EIO')
  t.equal(await failureOf(volume.write(10, Buffer.alloc(10, 1))), 'medium')
  t.ok((await bytesOf(volume, 0, CLUSTER)).equals(full(5)))
  t.equal(volume.allocatedBytes, 0)
  await volume.close()
})

void t.test('a flush whose map could not be written is made good by the next one', async (t) => {
  const { disk, failing, volume } = await opened(t.testdir())
  await volume.write(0, full(1))
  failing.failNext('write', 'ENOSPC')
  t.equal(await failureOf(volume.flush()), 'no-space')
  t.equal(await failureOf(volume.flush()), 'it succeeded')
  disk.bootId = 'another'
  const again = await disk.open([LAYER], undefined, true)
  t.ok((await bytesOf(again, 0, CLUSTER)).equals(full(1)))
  await again.close()
})

void t.test('after a failed data sync no flush succeeds in this boot, even by another process', async (t) => {
  const { disk, failing, volume } = await opened(t.testdir())
  await volume.write(0, full(1))
  failing.failNext('sync', 'EIO')
  t.equal(await failureOf(volume.flush()), 'medium')
  t.equal(await failureOf(volume.flush()), 'medium')
  t.equal(await failureOf(volume.write(CLUSTER, full(2))), 'it succeeded')
  await t.rejects(volume.close(), { name: 'BlockError', kind: 'medium' })
  const again = await disk.open([LAYER])
  t.ok((await bytesOf(again, CLUSTER, CLUSTER)).equals(full(2)))
  t.equal(await failureOf(again.flush()), 'medium')
  disk.bootId = 'another'
  const rebooted = await disk.open([LAYER])
  t.equal(await failureOf(rebooted.flush()), 'it succeeded')
  await rebooted.close()
})

void t.test('closing waits for what is under way and loses none of it', async (t) => {
  const { disk, volume } = await opened(t.testdir())
  const writes = Array.from({ length: 20 }, async (_, i) => volume.write(i * CLUSTER + 7, full(i + 1)))
  await volume.close()
  await Promise.all(writes)
  t.equal(await failureOf(volume.write(0, full(1))), 'medium')
  const again = await disk.open([LAYER], undefined, true)
  t.equal((await bytesOf(again, 19 * CLUSTER + 7, 1))[0], 20)
  await again.close()
})

/** Two clones of one image on files that fail when told. */
async function clones(
  root: string,
): Promise<{ disk: TestDisk; failing: FailingFiles; one: Volume; two: Volume }> {
  const disk = new TestDisk(root)
  const failing = new FailingFiles()
  const image = { ...LAYER, layerId: 'image' }
  for (const layerId of ['image', 'one', 'two', 'next'])
    await createLayer(disk, { ...LAYER, layerId }, unsynced)
  const golden = await disk.open([image])
  await golden.write(0, Buffer.alloc(64 * CLUSTER, 5))
  await golden.close()
  const store = disk.store({ files: failing.files, cache: new GoldenCache(1 << 20) })
  const [one, two] = [
    await openShared(store, [{ ...LAYER, layerId: 'one' }, image]),
    await openShared(store, [{ ...LAYER, layerId: 'two' }, image]),
  ]
  return { disk, failing, one, two }
}

const FULL_DISK = [
  ['write', 'ENOSPC', 'no-space'],
  ['write', 'EDQUOT', 'no-space'],
  ['write', 'EROFS', 'read-only'],
  ['write', 'EIO', 'medium'],
  ['writeSync', 'ENOSPC', 'no-space'],
] as const

for (const [call, code, kind] of FULL_DISK) {
  void t.test(
    `while every ${call} fails with ${code}, reads go on; once it is mended, so do writes`,
    async (t) => {
      const { failing, one, two } = await clones(t.testdir())
      await one.write(0, full(1))
      failing.failAll(call, code)
      for (const volume of [one, two]) {
        t.equal(await failureOf(volume.write(8 * CLUSTER, full(2))), kind)
        t.equal(await failureOf(volume.write(9 * CLUSTER + 100, Buffer.alloc(300, 2))), kind)
        t.ok((await bytesOf(volume, 8 * CLUSTER, 2 * CLUSTER)).equals(Buffer.alloc(2 * CLUSTER, 5)))
      }
      t.ok((await bytesOf(one, 0, CLUSTER)).equals(full(1)))
      failing.mend()
      for (const volume of [one, two]) {
        t.equal(await failureOf(volume.write(8 * CLUSTER, full(2))), 'it succeeded')
        t.equal(await failureOf(volume.flush()), 'it succeeded')
        await volume.close()
      }
    },
  )
}

void t.test('a parent that cannot be read fails that read alone, and is read again', async (t) => {
  const { failing, one, two } = await clones(t.testdir())
  failing.failNext('read', 'EIO')
  t.equal(await failureOf(one.read(0, full(0))), 'medium')
  t.ok((await bytesOf(two, 0, CLUSTER)).equals(full(5)))
  t.ok((await bytesOf(one, 0, CLUSTER)).equals(full(5)))
  await Promise.all([one.close(), two.close()])
})

void t.test('a data sync that failed on one volume is no other volume’s', async (t) => {
  const { failing, one, two } = await clones(t.testdir())
  await one.write(0, full(1))
  await two.write(0, full(2))
  failing.failNext('sync', 'EIO')
  t.equal(await failureOf(one.flush()), 'medium')
  t.equal(await failureOf(two.flush()), 'it succeeded')
  t.equal(await failureOf(one.flush()), 'medium')
  await t.rejects(one.close())
  await two.close()
})

void t.test('a snapshot that cannot begin changes nothing, and can be taken later', async (t) => {
  const { failing, one, two } = await clones(t.testdir())
  await one.write(0, full(1))
  failing.failNext('open', 'ENOSPC')
  await t.rejects(one.pushLayer({ ...LAYER, layerId: 'next' }), { code: 'ENOSPC' })
  t.same(one.layerIds, ['one', 'image'])
  await one.write(CLUSTER, full(2))
  await one.pushLayer({ ...LAYER, layerId: 'next' })
  t.same(one.layerIds, ['next', 'one', 'image'])
  t.ok((await bytesOf(one, 0, 2 * CLUSTER)).equals(Buffer.concat([full(1), full(2)])))
  await Promise.all([one.close(), two.close()])
})

void t.test(
  'a merge and a growth for which there is no room change nothing, and succeed later',
  async (t) => {
    const { failing, one, two } = await clones(t.testdir())
    failing.failAll('write', 'ENOSPC')
    t.equal(await failureOf(one.mergeLayer('image')), 'no-space')
    failing.failNext('truncate', 'ENOSPC')
    t.equal(await failureOf(one.grow(2 * LAYER.sizeBytes)), 'no-space')
    t.equal(one.sizeBytes, LAYER.sizeBytes)
    t.ok((await bytesOf(one)).equals(Buffer.alloc(LAYER.sizeBytes, 5)))
    failing.mend()
    await one.dropLayer('image')
    await one.grow(2 * LAYER.sizeBytes)
    const grown = Buffer.alloc(2 * LAYER.sizeBytes).fill(5, 0, LAYER.sizeBytes)
    t.ok((await bytesOf(one)).equals(grown))
    await Promise.all([one.close(), two.close()])
  },
)

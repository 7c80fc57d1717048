import t from 'tap'
import { nodeLayerFiles, type IoDone, type LayerFiles } from '../../../src/rootdisk/volume/layer-files.js'
import { createLayer } from '../../../src/rootdisk/volume/layer.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'
import { bytesOf, failureOf, TestDisk } from './model-disk.js'

const CLUSTER = 4096
const LAYER = { layerId: 'top', sizeBytes: 64 * CLUSTER }

type Call = 'read' | 'write' | 'writeSync' | 'sync'

/** Real files of which the next call of a kind fails; a failing write has written half. */
class FailingFiles {
  #next: { call: Call; code: string } | undefined

  failNext(call: Call, code: string): void {
    this.#next = { call, code }
  }

  readonly files: LayerFiles = {
    ...nodeLayerFiles,
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
    this.#next = undefined
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

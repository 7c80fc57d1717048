import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createLayer, layerPath } from '../../../src/rootdisk/volume/layer.js'
import type { LayerFiles } from '../../../src/rootdisk/volume/layer-files.js'
import { openShared } from '../../../src/rootdisk/volume/open-volume.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'
import { bytesOf, failureOf, TestDisk, unsynced } from './model-disk.js'

const CLUSTER = 4096
const MIB = 2 ** 20
const TOP = { layerId: 'top', sizeBytes: 16 * MIB }

/** Why the file system of the tests cannot punch holes, or nothing. */
function whyNot(root: string): string {
  const path = join(root, 'probe')
  writeFileSync(path, Buffer.alloc(MIB, 1))
  try {
    execFileSync('fallocate', ['--punch-hole', '--offset', '0', '--length', '65536', path], { stdio: 'pipe' })
    return ''
  } catch (err) {
    return ` (skipped: ${err instanceof Error ? err.message.trim() : 'no fallocate'})`
  }
}

/** A volume and the punches of its data, each told when it is over. */
async function opened(
  root: string,
  punchHole: LayerFiles['punchHole'] = (...range) => unsynced.punchHole(...range),
): Promise<{
  disk: TestDisk
  volume: Volume
  punched: [number, number][]
  failures: unknown[]
  idle: () => Promise<void>
}> {
  const disk = new TestDisk(root)
  await createLayer(disk, TOP, unsynced)
  const punched: [number, number][] = []
  const failures: unknown[] = []
  let running = 0
  let wake: (() => void) | undefined
  const files: LayerFiles = {
    ...unsynced,
    async punchHole(path, position, length) {
      running++
      punched.push([position, length])
      try {
        await punchHole(path, position, length)
      } finally {
        running--
        setImmediate(() => wake?.())
      }
    },
  }
  const store = disk.store({ files, onNoPunch: (cause) => failures.push(cause) })
  const volume = await openShared(store, [TOP])
  const idle = async (): Promise<void> => {
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve))
    while (running > 0) {
      await new Promise<void>((resolve) => (wake = resolve))
      await idle()
    }
  }
  return { disk, volume, punched, failures, idle }
}

const blocks = (disk: TestDisk): number => statSync(layerPath(disk.layersDir, 'top', 'data')).blocks * 512

const reason = whyNot(t.testdir())

void t.test(
  `unmapped clusters give their space back to the file system${reason}`,
  { skip: reason !== '' },
  async (t) => {
    const { disk, volume, punched, idle } = await opened(t.testdir())
    await volume.write(0, Buffer.alloc(8 * MIB, 7))
    await volume.flush()
    t.ok(blocks(disk) >= 8 * MIB)
    await volume.unmap(MIB, 6 * MIB)
    await idle()
    t.ok(blocks(disk) <= 2 * MIB + 64 * 1024, `${String(blocks(disk))} bytes are left`)
    t.same(punched, [[MIB, 6 * MIB]])
    const expected = Buffer.alloc(8 * MIB, 7).fill(0, MIB, 7 * MIB)
    t.ok((await bytesOf(volume, 0, 8 * MIB)).equals(expected))
    await volume.close()
  },
)

void t.test('small unmaps are punched once they touch and make 64 KiB', async (t) => {
  const { volume, punched, idle } = await opened(t.testdir(), () => Promise.resolve())
  await volume.write(0, Buffer.alloc(MIB, 7))
  for (const n of [0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13]) await volume.unmap(n * CLUSTER, CLUSTER)
  await idle()
  t.same(punched, [])
  await volume.unmap(15 * CLUSTER, CLUSTER)
  await idle()
  t.same(punched, [[0, 16 * CLUSTER]])
  await volume.close()
})

void t.test('what the layer never held is not punched', async (t) => {
  const { volume, punched, idle } = await opened(t.testdir(), () => Promise.resolve())
  await volume.unmap(0, TOP.sizeBytes)
  await idle()
  t.same(punched, [])
  await volume.close()
})

void t.test('a file system that cannot is told of once, and the volume goes on', async (t) => {
  const cannot = (): Promise<void> => Promise.reject(new Error('Operation not supported'))
  const { volume, failures, punched, idle } = await opened(t.testdir(), cannot)
  for (let i = 0; i < 3; i++) {
    await volume.write(0, Buffer.alloc(4 * MIB, 7))
    t.equal(await failureOf(volume.unmap(0, 4 * MIB)), 'it succeeded')
    await idle()
  }
  t.equal(failures.length, 1)
  t.equal(punched.length, 1)
  t.ok((await bytesOf(volume, 0, MIB)).equals(Buffer.alloc(MIB)))
  await volume.close()
})

void t.test(`a cluster that is written again while its space is given back keeps its bytes`, async (t) => {
  const root = t.testdir()
  let runs = 0
  const place = fc.record({
    at: fc.nat(200),
    length: fc.integer({ min: 1, max: 60 }),
    value: fc.integer({ min: 1, max: 255 }),
  })
  const step = fc.record({
    kind: fc.constantFrom('write' as const, 'unmap' as const, 'part' as const),
    place,
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 60 }),
      fc.array(fc.nat(5)),
      async (steps, delays) => {
        // a punch that does it some turns later, as the file system may
        let turn = 0
        const slowly = async (path: string, position: number, length: number): Promise<void> => {
          const count = delays[turn++ % Math.max(1, delays.length)] ?? 0
          for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
          const fd = await unsynced.open(path, 'write')
          await new Promise((resolve) => unsynced.write(fd, Buffer.alloc(length), position, resolve))
          await unsynced.close(fd)
        }
        const { volume, idle } = await opened(join(root, String(runs++)), slowly)
        const model = Buffer.alloc(260 * CLUSTER)
        for (const { kind, place } of steps) {
          const from = place.at * CLUSTER + (kind === 'part' ? 700 : 0)
          const length = kind === 'part' ? 900 : place.length * CLUSTER
          const value = kind === 'unmap' ? 0 : place.value
          if (kind === 'unmap') await volume.unmap(from, length)
          else await volume.write(from, Buffer.alloc(length, value))
          model.fill(value, from, from + length)
        }
        const during = await bytesOf(volume, 0, model.length)
        await idle()
        const after = await bytesOf(volume, 0, model.length)
        await volume.close()
        return during.equals(model) && after.equals(model)
      },
    ),
    { numRuns: 40 },
  )
})

import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  forgetOtherSeeds,
  hasRawDisk,
  rawDisk,
  rawPath,
  seedDisk,
} from '../../../../src/rootdisk/target/tgt/raw-disk.js'
import { importRaw } from '../../../../src/rootdisk/volume/import-raw.js'
import { createLayer, type LayerSpec } from '../../../../src/rootdisk/volume/layer.js'
import { openVolume } from '../../../../src/rootdisk/volume/open-volume.js'

const MIB = 2 ** 20
const layer = (layerId: string): LayerSpec => ({ layerId, sizeBytes: 10 * MIB })
const CHAIN = [layer('clone'), layer('golden')]

interface Place {
  readonly layersDir: string
  readonly runDir: string
  readonly bootId: string
}

/** A clone with one cluster of its own over an image. */
async function place(root: string): Promise<Place> {
  const where = { layersDir: join(root, 'layers'), runDir: join(root, 'run'), bootId: 'boot' }
  mkdirSync(where.layersDir)
  mkdirSync(where.runDir)
  const sourcePath = join(root, 'image')
  writeFileSync(sourcePath, Buffer.concat([Buffer.alloc(MIB, 1), Buffer.alloc(MIB), Buffer.alloc(MIB, 2)]))
  await importRaw({ ...where, ...layer('golden'), sourcePath })
  await createLayer(where, layer('clone'))
  const volume = await openVolume({ ...where, chain: CHAIN, isReadOnly: false })
  await volume.write(4096, Buffer.alloc(4096, 7))
  await volume.flush()
  await volume.close()
  return where
}

const expected = Buffer.alloc(10 * MIB)
expected.fill(1, 0, MIB)
expected.fill(7, 4096, 8192)
expected.fill(2, 2 * MIB, 3 * MIB)

void t.test('a raw file is what the volume reads as, its holes included', async (t) => {
  const where = await place(t.testdir())
  const path = await rawDisk({ ...where, chain: CHAIN })
  t.equal(path, rawPath(where.layersDir, 'clone'))
  t.ok(readFileSync(path).equals(expected))
  t.ok(statSync(path).blocks * 512 <= 2 * MIB + 8192)
  t.equal(statSync(path).mode & 0o777, 0o600)
})

void t.test('a raw file is made once: what was written to it stays', async (t) => {
  const where = await place(t.testdir())
  const path = await rawDisk({ ...where, chain: CHAIN })
  writeFileSync(path, 'a guest wrote this')
  await rawDisk({ ...where, chain: CHAIN })
  t.equal(readFileSync(path, 'utf8'), 'a guest wrote this')
})

void t.test('what a daemon that died had begun is made anew', async (t) => {
  const where = await place(t.testdir())
  const path = rawPath(where.layersDir, 'clone')
  writeFileSync(`${path}.new`, 'half')
  t.notOk(await hasRawDisk(where.layersDir, 'clone'))
  await rawDisk({ ...where, chain: CHAIN })
  t.ok(readFileSync(path).equals(expected))
  t.same(readdirSync(join(where.layersDir, 'clone')).sort(), ['data', 'map', 'raw'])
})

void t.test('nothing is left of a raw file that could not be made', async (t) => {
  const where = await place(t.testdir())
  writeFileSync(join(where.layersDir, 'golden', 'data'), 'short')
  await t.rejects(rawDisk({ ...where, chain: CHAIN }))
  t.same(readdirSync(join(where.layersDir, 'clone')).sort(), ['data', 'map'])
})

void t.test('a volume over a layer that went on as a raw file is refused', async (t) => {
  const where = await place(t.testdir())
  await rawDisk({ ...where, chain: CHAIN })
  await createLayer(where, layer('above'))
  await t.rejects(rawDisk({ ...where, chain: [layer('above'), ...CHAIN] }), /layer clone is a raw file/)
})

void t.test('a seed disk has another path when its content is another', async (t) => {
  const where = await place(t.testdir())
  const [one, same, other] = [
    await seedDisk(where.layersDir, 'clone', Buffer.from('one')),
    await seedDisk(where.layersDir, 'clone', Buffer.from('one')),
    await seedDisk(where.layersDir, 'clone', Buffer.from('other')),
  ]
  t.equal(one, same)
  t.not(one, other)
  t.equal(readFileSync(other, 'utf8'), 'other')
  await forgetOtherSeeds(other)
  t.strictSame(
    readdirSync(join(where.layersDir, 'clone')).filter((name) => name.startsWith('seed')),
    [other.split('/').at(-1)],
  )
})

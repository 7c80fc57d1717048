import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs'
import t from 'tap'
import { checkLayer } from '../../../src/rootdisk/volume/check-layer.js'
import { createLayer, layerPath } from '../../../src/rootdisk/volume/layer.js'
import { bytesOf, TestDisk, unsynced } from './model-disk.js'

const CLUSTER = 4096
const LAYER = { layerId: 'top', sizeBytes: 10 * CLUSTER + 100 }

async function written(root: string): Promise<TestDisk> {
  const disk = new TestDisk(root)
  await createLayer(disk, LAYER, unsynced)
  const volume = await disk.open([LAYER], unsynced)
  await volume.write(0, Buffer.alloc(3 * CLUSTER, 1))
  await volume.unmap(0, CLUSTER)
  await volume.close()
  return disk
}

function change(disk: TestDisk, file: 'data' | 'map', work: (fd: number) => void): void {
  const fd = openSync(layerPath(disk.layersDir, 'top', file), 'r+')
  work(fd)
  closeSync(fd)
}

void t.test('a sound layer has no problem, also when it is to grow', async (t) => {
  const disk = await written(t.testdir())
  t.match(await checkLayer(disk.layersDir, LAYER), { problems: [], allocatedBytes: 2 * CLUSTER })
  const { problems } = await checkLayer(disk.layersDir, { ...LAYER, sizeBytes: 20 * CLUSTER })
  t.same(problems, [])
})

const DAMAGES: readonly [string, RegExp, (disk: TestDisk) => void][] = [
  ['a magic that is not ours', /INGOTMAP/, (disk) => change(disk, 'map', (fd) => writeSync(fd, 'x', 0))],
  [
    'a larger size than wished',
    /bytes, not/,
    (disk) => change(disk, 'map', (fd) => writeSync(fd, Buffer.of(9), 0, 1, 21)),
  ],
  [
    'a data file that is too short',
    /data file has 4096 bytes/,
    (disk) => change(disk, 'data', (fd) => ftruncateSync(fd, CLUSTER)),
  ],
  [
    'a map file that is too short',
    /file ends/,
    (disk) => change(disk, 'map', (fd) => ftruncateSync(fd, CLUSTER)),
  ],
  [
    'a cluster beyond the end',
    /names 1 clusters beyond/,
    (disk) => change(disk, 'map', (fd) => writeSync(fd, Buffer.of(1), 0, 1, 4096 + 50)),
  ],
  [
    'a state that does not exist',
    /1 clusters have a state/,
    (disk) => change(disk, 'map', (fd) => writeSync(fd, Buffer.of(3), 0, 1, 4096 + 1)),
  ],
  ['no map', /map file is missing/, (disk) => rmSync(layerPath(disk.layersDir, 'top', 'map'))],
]

for (const [name, message, harm] of DAMAGES) {
  void t.test(`${name} is found`, async (t) => {
    const disk = await written(t.testdir())
    harm(disk)
    t.match((await checkLayer(disk.layersDir, LAYER)).problems, [message])
  })
}

void t.test('a volume tells which layer shows what', async (t) => {
  const disk = await written(t.testdir())
  const clone = { layerId: 'clone', sizeBytes: 12 * CLUSTER }
  await createLayer(disk, clone, unsynced)
  const volume = await disk.open([clone, LAYER], unsynced)
  await volume.write(2 * CLUSTER, Buffer.alloc(CLUSTER, 2))
  t.same(volume.owners(0, volume.sizeBytes), [
    { offset: 0, length: CLUSTER, layerId: undefined },
    { offset: CLUSTER, length: CLUSTER, layerId: 'top' },
    { offset: 2 * CLUSTER, length: CLUSTER, layerId: 'clone' },
    { offset: 3 * CLUSTER, length: 9 * CLUSTER, layerId: undefined },
  ])
  await volume.flatten()
  t.same(volume.owners(CLUSTER, 2 * CLUSTER), [{ offset: CLUSTER, length: 2 * CLUSTER, layerId: 'clone' }])
  t.equal((await bytesOf(volume, CLUSTER, 1))[0], 1)
  await volume.close()
})

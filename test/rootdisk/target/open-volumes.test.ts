import t from 'tap'
import { OpenVolumes } from '../../../src/rootdisk/target/open-volumes.js'
import { createLayer, type LayerSpec } from '../../../src/rootdisk/volume/layer.js'
import { TestDisk, unsynced } from '../volume/model-disk.js'

const MIB = 2 ** 20

const layer = (layerId: string, sizeBytes = MIB): LayerSpec => ({ layerId, sizeBytes })

/** Volumes `a` and `b`, clones of one image; a test changes `wished` as the registry would. */
async function opened(root: string): Promise<{
  disk: TestDisk
  wished: Map<string, LayerSpec[]>
  volumes: OpenVolumes
}> {
  const disk = new TestDisk(root)
  for (const id of ['a0', 'b0', 'image']) await createLayer(disk, layer(id), unsynced)
  const wished = new Map([
    ['a', [layer('a0'), layer('image')]],
    ['b', [layer('b0'), layer('image')]],
  ])
  return { disk, wished, volumes: new OpenVolumes(disk.store(), (id) => wished.get(id) ?? []) }
}

const byte = (value: number): Buffer => Buffer.alloc(4096, value)

void t.test('a volume is open once for all its users, and closed by the last', async (t) => {
  const { volumes } = await opened(t.testdir())
  const [one, two] = await Promise.all([volumes.acquire('a'), volumes.acquire('a')])
  await one.write(0, byte(7))
  const into = byte(0)
  await two.read(0, into)
  t.ok(into.equals(byte(7)))
  await one.close()
  await one.close()
  await two.read(0, into)
  t.same(volumes.openIds, ['a'])
  await two.close()
  t.same(volumes.openIds, [])
  const again = await volumes.acquire('a')
  await again.read(0, into)
  t.ok(into.equals(byte(7)))
  await again.close()
})

void t.test(
  'a volume that is asked for while it is closing waits, and finds all that was written',
  async (t) => {
    const { volumes } = await opened(t.testdir())
    const into = byte(0)
    let closing: Promise<void> | undefined
    for (let i = 1; i < 20; i++) {
      const device = await volumes.acquire('a')
      await device.read(0, into)
      t.equal(into[0], i - 1)
      await device.write(0, byte(i))
      closing = device.close()
    }
    await closing
  },
)

void t.test('a volume that nobody knows is refused', async (t) => {
  const { volumes } = await opened(t.testdir())
  await t.rejects(volumes.acquire('none'))
  t.same(volumes.openIds, [])
})

void t.test('an open volume follows its wish: snapshot, growth, a layer less', async (t) => {
  const { disk, wished, volumes } = await opened(t.testdir())
  const device = await volumes.acquire('a')
  const other = await volumes.acquire('b')
  await device.write(0, byte(1))
  t.same(await volumes.follow(), { grown: [], changed: [], failed: [] })

  await createLayer(disk, layer('a1'), unsynced)
  await createLayer(disk, layer('a2', 2 * MIB), unsynced)
  wished.set('a', [layer('a2', 2 * MIB), layer('a1'), layer('a0'), layer('image')])
  t.same(await volumes.follow(), { grown: ['a'], changed: ['a'], failed: [] })
  t.equal(device.sizeBytes, 2 * MIB)
  await device.write(MIB, byte(2))

  wished.set('a', [layer('a2', 3 * MIB), layer('image')])
  t.same(await volumes.follow(), { grown: ['a'], changed: ['a'], failed: [] })
  t.equal(device.sizeBytes, 3 * MIB)
  const into = byte(0)
  await device.read(0, into)
  t.ok(into.equals(byte(1)))
  t.same(await volumes.withVolume('a', (volume) => Promise.resolve(volume.layerIds)), ['a2', 'image'])

  wished.set('b', [layer('b0')])
  t.same(await volumes.follow(), { grown: [], changed: ['b'], failed: [] })
  await Promise.all([device.close(), other.close()])
  t.same(volumes.openIds, [])
})

void t.test('a wish that a live volume cannot follow is told and leaves it as it was', async (t) => {
  const { disk, wished, volumes } = await opened(t.testdir())
  const device = await volumes.acquire('a')
  await createLayer(disk, layer('a1'), unsynced)
  for (const chain of [[layer('a1'), layer('image')], [layer('a0'), layer('a1'), layer('image')], []]) {
    wished.set('a', chain)
    const { failed, changed } = await volumes.follow()
    t.match(failed, [{ volumeId: 'a', message: /closed first/ }])
    t.same(changed, [])
  }
  await device.write(0, byte(3))
  await device.close()
})

void t.test('work on a volume that nobody serves opens it for its time', async (t) => {
  const { volumes } = await opened(t.testdir())
  await volumes.withVolume('a', async (volume) => {
    t.same(volumes.openIds, ['a'])
    await volume.flatten()
  })
  t.same(volumes.openIds, [])
})

import t, { type Test } from 'tap'
import { OpenVolumes } from '../../../src/rootdisk/target/open-volumes.js'
import { VolumeWork } from '../../../src/rootdisk/target/volume-work.js'
import { createLayer } from '../../../src/rootdisk/volume/layer.js'
import { ManualClock } from '../../fakes/manual-clock.js'
import { TestDisk, unsynced } from '../volume/model-disk.js'

const MIB = 2 ** 20

async function bench(t: Test): Promise<{ volumes: OpenVolumes; work: VolumeWork; clock: ManualClock }> {
  const disk = new TestDisk(t.testdir())
  for (const layerId of ['top', 'under']) await createLayer(disk, { layerId, sizeBytes: MIB }, unsynced)
  const chain = ['under'].map((layerId) => ({ layerId, sizeBytes: MIB }))
  const volumes = new OpenVolumes(disk.store(), (id) => {
    if (id === 'v') return [{ layerId: 'top', sizeBytes: MIB }, ...chain]
    return id === 'below' ? chain : []
  })
  const below = await volumes.acquire('below')
  await below.write(0, new Uint8Array(8192).fill(5))
  await below.close()
  const clock = new ManualClock()
  return { volumes, work: new VolumeWork(volumes, clock), clock }
}

void t.test('a merge is asked for until it is done, and then nobody has the volume open', async (t) => {
  const { volumes, work } = await bench(t)
  t.same(await work.merge('v', ['under']), { isDone: true, fraction: 1 })
  t.same(volumes.openIds, [])
  const shown = {
    extents: [
      { offset: 0, length: 8192, layerId: 'top' },
      { offset: 8192, length: MIB - 8192 },
    ],
  }
  t.match(await work.map('v', 0), shown)
  t.same(await work.merge('v', ['under']), { isDone: true, fraction: 1 }, 'once more changes nothing')
})

void t.test(
  'an asker is not kept waiting: a merge that goes on is told as such, and begun once',
  async (t) => {
    const { volumes, work, clock } = await bench(t)
    let letGo = (): void => undefined
    const held = volumes.withVolume('v', async (volume) => {
      const mergeLayers = volume.mergeLayers.bind(volume)
      let calls = 0
      volume.mergeLayers = async (...args) => {
        t.equal(++calls, 1)
        await new Promise<void>((resolve) => (letGo = resolve))
        await mergeLayers(...args)
      }
      const first = work.merge('v', ['under'])
      const second = work.merge('v', ['under'])
      await new Promise(setImmediate)
      clock.advance(1000)
      t.match(await Promise.all([first, second]), [{ isDone: false }, { isDone: false }])
      letGo()
      t.match(await work.merge('v', ['under']), { isDone: true })
    })
    await held
  },
)

void t.test('a merge that cannot be is refused each time it is asked for', async (t) => {
  const { work } = await bench(t)
  for (const layerIds of [['none'], ['top'], ['none']])
    await t.rejects(work.merge('v', layerIds), { code: 'DISK_FAILED' })
  await t.rejects(work.merge('unknown', ['under']), { code: 'DISK_FAILED' })
  await t.rejects(work.map('unknown', 0), { code: 'DISK_FAILED' })
})

void t.test('a stop ends a merge, and the volume is let go', async (t) => {
  const { volumes, work, clock } = await bench(t)
  const asked = work.merge('v', ['under']).catch((err: unknown) => err)
  await work.stop()
  clock.advance(1000)
  t.match(await asked, { code: 'DISK_FAILED', message: /is ending/ })
  t.same(volumes.openIds, [])
})

void t.test(
  'a volume that goes to another process is let go, and whoever asks has to ask there',
  async (t) => {
    const { volumes, work, clock } = await bench(t)
    const asked = work.merge('v', ['under']).catch((err: unknown) => err)
    await work.letGo(['another'])
    t.same(volumes.openIds, ['v'], 'work on others goes on')
    await work.letGo(['v'])
    clock.advance(1000)
    t.match(await asked, { code: 'TARGET_UNAVAILABLE' })
    t.same(volumes.openIds, [])
  },
)

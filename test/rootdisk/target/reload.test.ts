import t, { type Test } from 'tap'
import type { DaemonEvent } from '../../../src/events.js'
import type { VolumeRecord } from '../../../src/registry/records.js'
import { openRegistry, type Registry } from '../../../src/registry/registry.js'
import type { BlockDevice } from '../../../src/rootdisk/block-device.js'
import { Exports } from '../../../src/rootdisk/target/exports.js'
import { OpenVolumes } from '../../../src/rootdisk/target/open-volumes.js'
import { reload, type ReloadReport } from '../../../src/rootdisk/target/reload.js'
import { createLayer } from '../../../src/rootdisk/volume/layer.js'
import { CLONE, fill, GOLDEN, SERVER, VOLUME } from '../../registry/sample-records.js'
import { TestDisk, unsynced } from '../volume/model-disk.js'

const DATA: VolumeRecord = {
  ...VOLUME,
  id: 'data',
  name: 'data',
  layerId: 'data-1',
  naa: '32',
  imageId: undefined,
}

/** A server whose system disk is open through a session, and a target process that follows its registry. */
class Bench {
  readonly registry: Registry = openRegistry(':memory:')
  readonly disk: TestDisk
  readonly volumes: OpenVolumes
  readonly exports: Exports
  readonly events: DaemonEvent[] = []
  readonly told: string[] = []
  device: BlockDevice | undefined

  constructor(t: Test) {
    this.disk = new TestDisk(t.testdir())
    fill(this.registry)
    this.volumes = new OpenVolumes(this.disk.store(), (id) => {
      const layerId = this.registry.volumes.get(id)?.layerId ?? ''
      return this.registry.layers
        .chain(layerId)
        .map((each) => ({ layerId: each.id, sizeBytes: each.sizeBytes }))
    })
    this.exports = new Exports({
      registry: this.registry,
      openVolume: (id) => this.volumes.acquire(id),
      renderSeed: ({ name }) => {
        if (name === 'broken') throw new Error('no such network')
        return Buffer.from(name.padEnd(512))
      },
      seedRevision: ({ name }) => name,
      seedNaa: () => '33',
    })
    t.teardown(async () => {
      await this.device?.close()
      this.registry.close()
    })
  }

  async login(): Promise<void> {
    for (const { id: layerId, sizeBytes } of [CLONE, GOLDEN])
      await createLayer(this.disk, { layerId, sizeBytes }, unsynced)
    this.exports.reload()
    this.device = await this.exports.find(SERVER.iqn)?.luns[0]?.open()
  }

  reload(): Promise<ReloadReport> {
    const drop = async (iqns: ReadonlySet<string>): Promise<void> => {
      this.told.push(`drop ${[...iqns].join()}`)
      await this.device?.close()
    }
    const refresh = (): Promise<void> => Promise.resolve(void this.told.push('refresh'))
    const { exports, volumes } = this
    const emit = (event: DaemonEvent): void => void this.events.push(event)
    return reload({ exports, volumes, portals: [{ drop, refresh }, { refresh }], emit })
  }

  /** A new top layer of the system volume, over `parentId`; its files only when asked for. */
  async newTop(id: string, parentId: string, hasFiles = true): Promise<void> {
    this.registry.layers.insert({ ...CLONE, id, parentId })
    this.registry.volumes.update({ ...VOLUME, layerId: id })
    if (hasFiles) await createLayer(this.disk, { layerId: id, sizeBytes: CLONE.sizeBytes }, unsynced)
  }
}

void t.test('the secret is that of the boot in progress, whenever the last reload was', (t) => {
  const { registry, exports } = new Bench(t)
  exports.reload()
  const target = exports.find(SERVER.iqn)
  t.match(target?.chap, { user: SERVER.chapUser, secret: SERVER.chapSecret })
  registry.servers.change(SERVER.id, { chapSecret: 'of another boot' })
  t.match(target?.chap, { user: SERVER.chapUser, secret: 'of another boot' })
  t.end()
})

void t.test('data volumes are LUNs of their server as the registry says', (t) => {
  const { registry, exports } = new Bench(t)
  registry.layers.insert({ ...CLONE, id: 'data-1', parentId: undefined })
  registry.volumes.insert(DATA)
  const luns = (): unknown => {
    exports.reload()
    return exports.find(SERVER.iqn)?.luns.map(({ lun, serial, naa }) => [lun, serial, naa])
  }
  const own = [
    [0, VOLUME.id, VOLUME.naa],
    [1, `seed-${SERVER.id}`, '33'],
  ]
  t.same(luns(), own)
  registry.attachments.insert({ volumeId: DATA.id, serverId: SERVER.id, lun: 7 })
  t.same(luns(), [...own, [7, DATA.id, DATA.naa]])
  t.same(exports.showing(DATA.id), [SERVER.iqn])
  registry.attachments.delete(DATA.id)
  t.same([luns(), exports.showing(DATA.id)], [own, []])
  t.end()
})

void t.test('a snapshot is followed under its session, and portals look again', async (t) => {
  const bench = new Bench(t)
  await bench.login()
  await bench.newTop('top', CLONE.id)
  t.match(await bench.reload(), { added: [], removed: [], volumes: { changed: [VOLUME.id], failed: [] } })
  t.same([bench.told, bench.events], [['refresh', 'refresh'], []])
})

void t.test(
  'a volume rolled back under a session is closed, so that the next login sees what is wished',
  async (t) => {
    const bench = new Bench(t)
    await bench.login()
    await bench.newTop('other', GOLDEN.id)
    t.match((await bench.reload()).volumes, { failed: [] })
    t.same([bench.told[0], bench.volumes.openIds, bench.events], [`drop ${SERVER.iqn}`, [], []])
  },
)

void t.test('a volume that cannot follow goes on, and an event of its server says why', async (t) => {
  const bench = new Bench(t)
  await bench.login()
  await bench.newTop('top', CLONE.id, false)
  t.match((await bench.reload()).volumes, { failed: [{ volumeId: VOLUME.id, message: /ENOENT/ }] })
  t.match(bench.events, [{ kind: 'volume.behind', iqn: SERVER.iqn, message: /goes on as it was: .*ENOENT/ }])
  t.same(bench.told, ['refresh', 'refresh'], 'its session stays')
  await bench.device?.write(0, new Uint8Array(4096))
})

void t.test('a seed disk that cannot be rendered goes on, and an event of its server says why', async (t) => {
  const bench = new Bench(t)
  await bench.login()
  const seed = await bench.exports.find(SERVER.iqn)?.luns[1]?.open()
  bench.registry.servers.change(SERVER.id, { name: 'broken' })
  t.match(await bench.reload(), { added: [], removed: [], replaced: [] })
  const message = 'the seed disk goes on as it was: no such network'
  t.match(bench.events, [{ kind: 'seed.behind', iqn: SERVER.iqn, message }])
  const head = Buffer.alloc(SERVER.name.length)
  await seed?.read(0, head)
  t.equal(head.toString(), SERVER.name)
  await seed?.close()
})

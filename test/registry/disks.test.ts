import t from 'tap'
import type { AttachmentRecord, SnapshotRecord, VolumeRecord } from '../../src/registry/records.js'
import { openRegistry, type Registry } from '../../src/registry/registry.js'
import { CLONE, fill, GOLDEN, IMAGE, SERVER, VOLUME } from './sample-records.js'

const BLANK = {
  id: 'blank',
  parentId: undefined,
  sizeBytes: 2 ** 30,
  isImmutable: false,
  createdMs: 3000,
} as const
const DATA: VolumeRecord = {
  id: 'volume-2',
  name: 'web-1-data',
  layerId: 'blank',
  naa: '6e1be11e00000002',
  sizeBytes: 2 ** 30,
  imageId: undefined,
  createdMs: 3000,
}
const ATTACHED: AttachmentRecord = { volumeId: DATA.id, serverId: SERVER.id, lun: 2 }
const SNAPSHOT: SnapshotRecord = {
  id: 'snapshot-1',
  name: 'before-upgrade',
  volumeId: VOLUME.id,
  layerId: CLONE.id,
  status: 'creating',
  sizeBytes: VOLUME.sizeBytes,
  createdMs: 4000,
}

function opened(): Registry {
  const registry = openRegistry(':memory:')
  fill(registry)
  registry.layers.insert(BLANK)
  registry.volumes.insert(DATA)
  return registry
}

/** A second data volume, so that two can want one LUN. */
function another(registry: Registry): VolumeRecord {
  const volume = { ...DATA, id: 'volume-3', name: 'more', layerId: 'blank-3', naa: '6e1be11e00000003' }
  registry.layers.insert({ ...BLANK, id: 'blank-3' })
  registry.volumes.insert(volume)
  return volume
}

void t.test('attachments and snapshots come back as they were written', (t) => {
  const { attachments, snapshots, volumes } = opened()
  attachments.insert(ATTACHED)
  snapshots.insert(SNAPSHOT)
  t.same([attachments.get(DATA.id), attachments.listByServer(SERVER.id)], [ATTACHED, [ATTACHED]])
  t.same([snapshots.find(SNAPSHOT.id), snapshots.find(SNAPSHOT.name)], [SNAPSHOT, SNAPSHOT])
  t.same([snapshots.findByLayer(CLONE.id), snapshots.list()], [SNAPSHOT, [SNAPSHOT]])
  t.same(volumes.findByLayer(CLONE.id), VOLUME)
  t.same(
    [attachments.get('x'), snapshots.find('x'), snapshots.findByLayer('x')],
    [undefined, undefined, undefined],
  )
  t.end()
})

void t.test('a volume is attached once, and a LUN of a server is one volume, from 2 to 255', (t) => {
  const registry = opened()
  const { attachments } = registry
  attachments.insert(ATTACHED)
  t.throws(() => attachments.insert({ ...ATTACHED, lun: 3 }), { code: 'IN_USE', message: /volume volume-2$/ })
  const other = another(registry)
  const taken = { volumeId: other.id, serverId: SERVER.id, lun: 2 }
  t.throws(() => attachments.insert(taken), { code: 'SQLITE_CONSTRAINT_UNIQUE' }, 'our own fault')
  for (const lun of [0, 1, 256])
    t.throws(() => attachments.insert({ ...taken, lun }), { code: 'SQLITE_CONSTRAINT_CHECK' }, `LUN ${lun}`)
  attachments.insert({ ...taken, lun: 255 })
  t.same(
    attachments.listByServer(SERVER.id).map(({ lun }) => lun),
    [2, 255],
  )
  t.end()
})

void t.test('what refers to nothing is refused', (t) => {
  const { attachments, snapshots, layers, volumes } = opened()
  const refused = (write: () => void): void => void t.throws(write, { code: 'NOT_FOUND' })
  refused(() => attachments.insert({ ...ATTACHED, volumeId: 'none' }))
  refused(() => attachments.insert({ ...ATTACHED, serverId: 'none' }))
  refused(() => snapshots.insert({ ...SNAPSHOT, volumeId: 'none' }))
  refused(() => snapshots.insert({ ...SNAPSHOT, layerId: 'none' }))
  refused(() => snapshots.setStatus('none', 'available'))
  refused(() => layers.setParent(CLONE.id, 'none'))
  refused(() => layers.setParent('none', undefined))
  refused(() => layers.setSize('none', 4096))
  refused(() => layers.setImmutable('none'))
  refused(() => volumes.update({ ...DATA, layerId: 'none' }))
  refused(() => volumes.update({ ...DATA, id: 'none' }))
  t.end()
})

void t.test(`a snapshot's name is taken once`, (t) => {
  const { snapshots } = opened()
  snapshots.insert(SNAPSHOT)
  const again = { ...SNAPSHOT, id: 'snapshot-2', layerId: GOLDEN.id }
  t.throws(() => snapshots.insert(again), { code: 'NAME_TAKEN', message: /snapshot.* before-upgrade$/ })
  t.end()
})

void t.test(`a volume with a snapshot or an attachment is not deleted, nor is a snapshot's layer`, (t) => {
  const { attachments, snapshots, volumes, layers } = opened()
  attachments.insert(ATTACHED)
  snapshots.insert(SNAPSHOT)
  const refused = (message: RegExp, remove: () => unknown): void =>
    void t.throws(remove, { code: 'IN_USE', message })
  refused(/^volume volume-2 is used by server web-1$/, () => volumes.delete(DATA.id))
  refused(/^volume volume-1 is used by server web-1, snapshot before-upgrade$/, () =>
    volumes.delete(VOLUME.id),
  )
  refused(/^layer clone is used by volume web-1-system, snapshot before-upgrade$/, () =>
    layers.delete(CLONE.id),
  )
  t.ok(attachments.delete(DATA.id))
  t.notOk(attachments.delete(DATA.id), 'a second delete says that there was nothing')
  t.ok(volumes.delete(DATA.id))
  t.ok(snapshots.delete(SNAPSHOT.id))
  t.end()
})

void t.test(`a server's attachments go with it, its data volumes stay`, (t) => {
  const { servers, attachments, volumes } = opened()
  attachments.insert(ATTACHED)
  servers.delete(SERVER.id)
  t.equal(attachments.get(DATA.id), undefined)
  t.same(volumes.get(DATA.id), DATA)
  t.end()
})

void t.test(
  'a volume changes layer, size and image and nothing else; a layer parent, size and immutability',
  (t) => {
    const { layers, volumes } = opened()
    layers.insert({ ...CLONE, id: 'top', parentId: CLONE.id })
    layers.setImmutable(CLONE.id)
    layers.setSize('top', 2 ** 33)
    volumes.update({ ...VOLUME, name: 'other', layerId: 'top', sizeBytes: 2 ** 33, imageId: undefined })
    t.same(volumes.get(VOLUME.id), { ...VOLUME, layerId: 'top', sizeBytes: 2 ** 33, imageId: undefined })
    t.equal(volumes.countByImage(IMAGE.id), 0)
    t.same(layers.chain('top'), [
      { ...CLONE, id: 'top', parentId: CLONE.id, sizeBytes: 2 ** 33 },
      { ...CLONE, isImmutable: true },
      GOLDEN,
    ])
    layers.setParent('top', GOLDEN.id)
    t.same(
      layers.children(GOLDEN.id).map(({ id }) => id),
      ['clone', 'top'],
    )
    layers.setParent('top', undefined)
    t.same(
      layers.chain('top').map(({ id }) => id),
      ['top'],
    )
    t.end()
  },
)

void t.test('doomed layers are remembered until their files are gone', (t) => {
  const { doomedLayers } = opened()
  for (const id of ['b', 'a']) doomedLayers.insert(id)
  t.same(doomedLayers.list(), ['b', 'a'])
  doomedLayers.delete('b')
  t.same(doomedLayers.list(), ['a'])
  t.end()
})

void t.test('a snapshot goes from creating to available', (t) => {
  const { snapshots } = opened()
  snapshots.insert(SNAPSHOT)
  snapshots.setStatus(SNAPSHOT.id, 'available')
  t.same(snapshots.get(SNAPSHOT.id), { ...SNAPSHOT, status: 'available' })
  t.end()
})

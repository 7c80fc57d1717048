import t from 'tap'
import { DaemonError } from '../../src/errors.js'
import { IMAGE, SERVER, VOLUME } from '../registry/sample-records.js'
import { DiskBench } from './disk-bench.js'

const MIB = 2 ** 20

void t.test('a data volume is one empty layer of its own', async (t) => {
  const { volumes, registry, files } = await DiskBench.make(t)
  const volume = await volumes.create({ name: 'data-1', sizeBytes: 10 * 2 ** 30 })
  t.match(volume, { name: 'data-1', sizeBytes: 10 * 2 ** 30, imageId: undefined })
  t.match(volume.naa, /^3[0-9a-f]{15}$/)
  t.equal(registry.layers.chain(volume.layerId).length, 1)
  t.notOk(files.includes(volume.layerId), 'there was none before')
})

void t.test('what breaks a rule is refused by field, and nothing is changed', async (t) => {
  const bench = await DiskBench.make(t)
  const { volumes, registry, server } = bench
  await volumes.create({ name: 'data-1', sizeBytes: MIB })
  await volumes.create({ name: 'data-2', sizeBytes: MIB })
  await volumes.attach(server, 'data-1')
  const state = (): unknown => [registry.volumes.list(), registry.layers.list(), bench.files]
  const before = state()
  const refused = (code: string, message: RegExp, work: Promise<unknown>): Promise<unknown> =>
    t.rejects(work, { name: 'DaemonError', code, message }, String(message))
  const create = (wish: object): Promise<unknown> => volumes.create({ name: 'x', sizeBytes: MIB, ...wish })
  await refused('INVALID_INPUT', /^name: expected/, create({ name: 'X!' }))
  await refused('NAME_TAKEN', /^name: .*data-1/, create({ name: 'data-1' }))
  for (const sizeBytes of [0, 4096, MIB + 512, 2 ** 46 + 4096, 2 ** 60, Number.MAX_VALUE])
    await refused('INVALID_INPUT', /^size_bytes: expected a multiple/, create({ sizeBytes }))
  await refused('INVALID_INPUT', /^size_bytes, snapshot: one/, create({ sizeBytes: undefined }))
  await refused('NOT_FOUND', /^snapshot: no snapshot "s"/, create({ snapshot: 's' }))
  await refused('NOT_FOUND', /^no volume "x"/, volumes.delete('x'))
  await refused('IN_USE', /in use by server web-1$/, volumes.delete('data-1'))
  await refused('IN_USE', /in use by server web-1$/, volumes.delete(VOLUME.name))
  await refused('NOT_FOUND', /^no volume "x"/, volumes.attach(server, 'x'))
  await refused('IN_USE', /^volume: data-1 is in use by server web-1$/, volumes.attach(server, 'data-1'))
  await refused('IN_USE', /^volume: web-1-system is in use by server/, volumes.attach(server, VOLUME.name))
  await refused(
    'WRONG_STATE',
    /^volume: data-2 is not attached to server web-1/,
    volumes.detach(server, 'data-2'),
  )
  await refused('INVALID_INPUT', /^size_bytes: volumes only grow/, volumes.grow('data-1', MIB))
  await refused('INVALID_INPUT', /64 TiB/, volumes.grow('data-1', 2 ** 46 + 4096))
  t.same(state(), before)
})

void t.test('data volumes get the lowest free LUN, from 2 to 255', async (t) => {
  const { volumes, registry, server } = await DiskBench.make(t)
  for (let n = 2; n <= 255; n++) {
    const { id } = await volumes.create({ name: `d${n}`, sizeBytes: MIB })
    registry.attachments.insert({ volumeId: id, serverId: server.id, lun: n })
  }
  await volumes.create({ name: 'more', sizeBytes: MIB })
  const full = { code: 'NO_CAPACITY', message: /^server: web-1 has no free LUN of 2 to 255/ }
  await t.rejects(volumes.attach(server, 'more'), full)
  await volumes.detach(server, 'd7')
  t.match(await volumes.attach(server, 'more'), { lun: 7 })
})

void t.test('an attachment that the target cannot be told of is undone', async (t) => {
  const bench = await DiskBench.make(t)
  await bench.volumes.create({ name: 'data-1', sizeBytes: MIB })
  bench.target.reload = () => Promise.reject(new DaemonError('TARGET_UNAVAILABLE', 'gone'))
  await t.rejects(bench.volumes.attach(bench.server, 'data-1'), { code: 'TARGET_UNAVAILABLE' })
  t.same(bench.registry.attachments.listByServer(SERVER.id), [])
  await bench.volumes.delete('data-1')
  t.equal(
    bench.registry.doomedLayers.list().length,
    1,
    'a deleted volume loses its files when the target is back',
  )
})

void t.test('attaching and detaching are events of the server', async (t) => {
  const { volumes, server, events } = await DiskBench.make(t)
  await volumes.create({ name: 'data-1', sizeBytes: MIB })
  await volumes.attach(server, 'data-1')
  await volumes.detach(server, 'data-1')
  t.match(events, [
    { kind: 'volume.attached', message: 'volume data-1 is LUN 2 of server web-1', serverId: SERVER.id },
    { kind: 'volume.detached', serverId: SERVER.id },
  ])
})

void t.test('a volume grows, system disks too; a target that could not is told', async (t) => {
  const bench = await DiskBench.make(t)
  const { volumes, registry } = bench
  await volumes.grow(VOLUME.name, 4 * 2 ** 30)
  t.equal(registry.volumes.get(VOLUME.id)?.sizeBytes, 4 * 2 ** 30)
  t.equal(registry.layers.get(VOLUME.layerId)?.sizeBytes, 4 * 2 ** 30)
  const failed = [{ volumeId: VOLUME.id, message: 'no space' }]
  bench.target.reload = () => Promise.resolve({ failed })
  await t.rejects(volumes.grow(VOLUME.name, 5 * 2 ** 30), { code: 'DISK_FAILED', message: /no space$/ })
})

void t.test('a volume that goes on from a snapshot shares its layer and depends on its image', async (t) => {
  const bench = await DiskBench.make(t)
  const { volumes, snapshots, registry } = bench
  const { snapshot, job } = await snapshots.create(VOLUME.name, 'before')
  await bench.ended(job)
  const small = { code: 'INVALID_INPUT', message: /^size_bytes: expected not less than the 3221225472 bytes/ }
  await t.rejects(volumes.create({ name: 'copy', snapshot: 'before', sizeBytes: MIB }), small)
  const copy = await volumes.create({ name: 'copy', snapshot: 'before' })
  t.match(copy, { sizeBytes: VOLUME.sizeBytes, imageId: IMAGE.id })
  t.same(
    registry.layers.chain(copy.layerId).map(({ id }) => id),
    [copy.layerId, snapshot.layerId, 'golden'],
  )
  t.throws(() => snapshots.delete('before'), {
    code: 'IN_USE',
    message:
      /^snapshot: before is under volume (copy|web-1-system), volume (copy|web-1-system); a layer goes/,
  })
})

void t.test(
  'what only layers can do is refused with another target, whose LUNs are one further',
  async (t) => {
    const bench = await DiskBench.make(t, 'tgt')
    const { volumes, snapshots, merger, registry, server, events } = bench
    const { id } = await volumes.create({ name: 'data', sizeBytes: 2 ** 20 })
    await volumes.attach(server, id)
    t.match(events.at(-1)?.message, /volume data is LUN 3 of server/)
    t.equal(volumes.lunOf(volumes.get(id)), 3)
    const refusal = { code: 'UNSUPPORTED', message: /needs target.driver = "embedded", and it is "tgt"/ }
    await t.rejects(volumes.grow(id, 2 ** 21), refusal)
    await t.rejects(snapshots.create(id, 'now'), refusal)
    t.throws(() => merger.startFlatten(volumes.get(VOLUME.id)), refusal)
    t.same([volumes.get(id).sizeBytes, registry.snapshots.list()], [2 ** 20, []])
  },
)

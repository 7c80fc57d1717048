import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DaemonError } from '../../src/errors.js'
import { GOLDEN, IMAGE, SERVER, VOLUME } from '../registry/sample-records.js'
import { DiskBench } from './disk-bench.js'

const MIB = 2 ** 20

/** Takes snapshots of the server's disk and waits for them. */
async function take(bench: DiskBench, ...names: string[]): Promise<void> {
  for (const name of names) await bench.ended((await bench.snapshots.create(VOLUME.name, name)).job)
}

/** The layers of the server's disk by what keeps them, top first. */
function chain({ registry }: DiskBench): string[] {
  const { layerId = '' } = registry.volumes.get(VOLUME.id) ?? {}
  return registry.layers.chain(layerId).map(({ id }) => {
    if (id === GOLDEN.id) return 'image'
    return registry.snapshots.findByLayer(id)?.name ?? (id === layerId ? 'top' : 'nobody')
  })
}

void t.test('a snapshot is the old top layer, immutable, under a new one', async (t) => {
  const bench = await DiskBench.make(t)
  const { snapshot, job } = await bench.snapshots.create(VOLUME.name, 'before')
  t.match(snapshot, { status: 'creating', layerId: VOLUME.layerId, sizeBytes: VOLUME.sizeBytes })
  t.match(await bench.ended(job), { kind: 'snapshot-create', status: 'SUCCESS' })
  t.equal(bench.snapshots.get('before').status, 'available')
  t.same(chain(bench), ['top', 'before', 'image'])
  t.equal(bench.registry.layers.get(VOLUME.layerId)?.isImmutable, true)
})

void t.test('a snapshot whose target is away stays creating, and is available once it is back', async (t) => {
  const bench = await DiskBench.make(t)
  const { reload } = bench.target
  bench.target.reload = () => Promise.reject(new DaemonError('TARGET_UNAVAILABLE', 'gone'))
  const { job } = await bench.snapshots.create(VOLUME.name, 'before')
  t.match(await bench.ended(job), { status: 'FAIL', message: 'gone' })
  t.equal(bench.snapshots.get('before').status, 'creating')
  t.throws(() => bench.snapshots.delete('before'), { code: 'WRONG_STATE', message: /still being taken/ })
  await t.rejects(bench.snapshots.rollback(VOLUME.name, 'before'), {
    code: 'WRONG_STATE',
    message: /is creating/,
  })
  await t.rejects(bench.volumes.create({ name: 'x', snapshot: 'before' }), { code: 'WRONG_STATE' })
  bench.target.reload = reload
  await bench.wishes.apply()
  t.equal(bench.snapshots.get('before').status, 'available')
})

void t.test('a snapshot that the target could not go on from is not available', async (t) => {
  const bench = await DiskBench.make(t)
  bench.target.reload = () => Promise.resolve({ failed: [{ volumeId: VOLUME.id, message: 'no space' }] })
  const { job } = await bench.snapshots.create(VOLUME.name, 'before')
  t.match(await bench.ended(job), { status: 'FAIL', message: /no space$/ })
  t.equal(bench.snapshots.get('before').status, 'creating')
})

void t.test('what breaks a rule is refused by field, and nothing is changed', async (t) => {
  const bench = await DiskBench.make(t)
  const { snapshots, volumes, registry } = bench
  await volumes.create({ name: 'data-1', sizeBytes: MIB })
  await take(bench, 'before')
  const state = (): unknown => [registry.snapshots.list(), registry.layers.list(), bench.files]
  const before = state()
  const refused = (code: string, message: RegExp, work: Promise<unknown>): Promise<unknown> =>
    t.rejects(work, { name: 'DaemonError', code, message }, String(message))
  await refused('INVALID_INPUT', /^name: expected/, snapshots.create('data-1', 'X!'))
  await refused('NAME_TAKEN', /^name: snapshot before exists/, snapshots.create('data-1', 'before'))
  await refused('NOT_FOUND', /^volume: no volume "x"/, snapshots.create('x', 'y'))
  await refused('NOT_FOUND', /^no snapshot "x"/, snapshots.rollback('data-1', 'x'))
  await refused(
    'INVALID_INPUT',
    /^snapshot: before is not of volume data-1/,
    snapshots.rollback('data-1', 'before'),
  )
  await refused('IN_USE', /in use by server web-1, snapshot before/, volumes.delete(VOLUME.name))
  t.throws(() => snapshots.delete('x'), { code: 'NOT_FOUND' })
  registry.servers.setStatus(SERVER.id, 'ACTIVE')
  await refused('WRONG_STATE', /^server web-1 is ACTIVE/, snapshots.rollback(VOLUME.name, 'before'))
  registry.servers.setStatus(SERVER.id, 'SHUTOFF')
  bench.target.use = { sessions: [{ iqn: SERVER.iqn }], openVolumes: [VOLUME.id] }
  await refused('WRONG_STATE', /^a session of server web-1/, snapshots.rollback(VOLUME.name, 'before'))
  bench.target.use = { sessions: [], openVolumes: [VOLUME.id] }
  await refused('WRONG_STATE', /^volume web-1-system is in use/, snapshots.rollback(VOLUME.name, 'before'))
  t.same(state(), before)
})

void t.test('a rollback puts a new top over the snapshot; later snapshots stay and can go', async (t) => {
  const bench = await DiskBench.make(t)
  await take(bench, 'one', 'two')
  await bench.volumes.grow(VOLUME.name, 4 * 2 ** 30)
  const doomed = bench.registry.volumes.get(VOLUME.id)?.layerId ?? ''
  await bench.snapshots.rollback(VOLUME.name, 'one')
  t.same(chain(bench), ['top', 'one', 'image'])
  t.equal(bench.registry.volumes.get(VOLUME.id)?.sizeBytes, 4 * 2 ** 30, 'the size stays')
  t.notOk(bench.files.includes(doomed), 'what came after is gone')
  t.throws(() => bench.snapshots.delete('one'), {
    code: 'IN_USE',
    message: /^snapshot: one is under .*snapshot two/,
  })
  t.match(await bench.ended(bench.snapshots.delete('two')), { status: 'SUCCESS' })
  t.match(await bench.ended(bench.snapshots.delete('one')), { status: 'SUCCESS' })
  t.same([chain(bench), bench.merged.length, bench.files.length], [['top', 'image'], 1, 2])
})

void t.test('a snapshot that only another one stands on is not deleted before that one', async (t) => {
  const bench = await DiskBench.make(t)
  await take(bench, 'one', 'two', 'three')
  await bench.snapshots.rollback(VOLUME.name, 'one')
  t.throws(() => bench.snapshots.delete('two'), {
    code: 'IN_USE',
    message: /^snapshot: two is under snapshot three, which no volume goes on from: delete that first$/,
  })
})

void t.test('a middle layer goes up into the one over it, in as many questions as it takes', async (t) => {
  const bench = await DiskBench.make(t)
  await take(bench, 'one', 'two')
  const { layerId } = bench.snapshots.get('one')
  let questions = 0
  bench.target.merge = () => Promise.resolve({ isDone: ++questions === 3, fraction: questions / 3 })
  t.match(await bench.ended(bench.snapshots.delete('one')), {
    kind: 'snapshot-delete',
    status: 'SUCCESS',
    progress: 1,
  })
  t.same(bench.merged, Array(3).fill(`${VOLUME.id}: ${layerId}`))
  t.same(chain(bench), ['top', 'two', 'image'])
  t.notOk(bench.files.includes(layerId))
})

void t.test('a merge that failed leaves the snapshot deleting, and it can be deleted again', async (t) => {
  const bench = await DiskBench.make(t)
  await take(bench, 'one')
  const { merge } = bench.target
  bench.target.merge = () => Promise.reject(new DaemonError('DISK_FAILED', 'no space'))
  t.match(await bench.ended(bench.snapshots.delete('one')), { status: 'FAIL', message: 'no space' })
  t.equal(bench.snapshots.get('one').status, 'deleting')
  await t.rejects(bench.snapshots.rollback(VOLUME.name, 'one'), {
    code: 'WRONG_STATE',
    message: /is deleting/,
  })
  bench.target.merge = merge
  t.match(await bench.ended(bench.snapshots.delete('one')), { status: 'SUCCESS' })
  t.same(chain(bench), ['top', 'image'])
})

void t.test('while layers are merged their volume is not changed otherwise', async (t) => {
  const bench = await DiskBench.make(t)
  await take(bench, 'one')
  let finish = (): void => undefined
  const done = new Promise<void>((resolve) => (finish = resolve))
  bench.target.merge = () => done.then(() => ({ isDone: true, fraction: 1 }))
  const job = bench.snapshots.delete('one')
  const busy = { code: 'WRONG_STATE', message: /^not now: snapshot one is being deleted$/ }
  t.throws(() => bench.snapshots.delete('one'), busy)
  t.throws(() => bench.merger.startFlatten(bench.volumes.get(VOLUME.name)), busy)
  await t.rejects(bench.snapshots.create(VOLUME.name, 'two'), busy)
  await t.rejects(bench.volumes.grow(VOLUME.name, 4 * 2 ** 30), busy)
  finish()
  t.match(await bench.ended(job), { status: 'SUCCESS' })
  await bench.volumes.grow(VOLUME.name, 4 * 2 ** 30)
})

void t.test('a flattened volume stands alone; its snapshots and its image stay', async (t) => {
  const bench = await DiskBench.make(t)
  await take(bench, 'one')
  const { layerId } = bench.snapshots.get('one')
  t.match(await bench.ended(bench.merger.startFlatten(bench.volumes.get(VOLUME.name))), { status: 'SUCCESS' })
  t.same([chain(bench), bench.merged], [['top'], [`${VOLUME.id}: ${layerId} golden`]])
  t.equal(bench.registry.volumes.get(VOLUME.id)?.imageId, undefined)
  t.throws(() => bench.merger.startFlatten(bench.volumes.get(VOLUME.name)), { code: 'WRONG_STATE' })
  await bench.snapshots.rollback(VOLUME.name, 'one')
  t.equal(bench.registry.volumes.get(VOLUME.id)?.imageId, IMAGE.id, 'a rollback puts it over its image again')
  t.match(await bench.ended(bench.snapshots.delete('one')), { status: 'SUCCESS' })
  t.same(bench.files.length, 2)
})

/** What is asked of the daemon that dies, and what stands before. */
const OPERATIONS: Record<string, { before: string[]; run: (bench: DiskBench) => Promise<unknown> }> = {
  'create a volume': { before: [], run: ({ volumes }) => volumes.create({ name: 'x', sizeBytes: MIB }) },
  'create a volume from a snapshot': {
    before: ['one'],
    run: ({ volumes }) => volumes.create({ name: 'x', snapshot: 'one' }),
  },
  'attach a volume': { before: [], run: ({ volumes, server }) => volumes.attach(server, 'data-1') },
  'grow a volume': { before: [], run: ({ volumes }) => volumes.grow('data-1', 2 * MIB) },
  'delete a volume': { before: [], run: ({ volumes }) => volumes.delete('data-1') },
  'take a snapshot': {
    before: ['one'],
    run: async (bench) => bench.ended((await bench.snapshots.create(VOLUME.name, 'two')).job),
  },
  'roll back': { before: ['one', 'two'], run: ({ snapshots }) => snapshots.rollback(VOLUME.name, 'one') },
  'delete a middle snapshot': {
    before: ['one', 'two'],
    run: (bench) => bench.ended(bench.snapshots.delete('one')),
  },
  'delete the newest snapshot': {
    before: ['one', 'two'],
    run: (bench) => bench.ended(bench.snapshots.delete('two')),
  },
  'flatten a volume': {
    before: ['one'],
    run: (bench) => bench.ended(bench.merger.startFlatten(bench.volumes.get(VOLUME.name))),
  },
}

for (const [name, { before, run }] of Object.entries(OPERATIONS)) {
  void t.test(
    `a daemon killed at any step of "${name}" finds a state that its next start repairs`,
    async (t) => {
      for (let steps = 0; ; steps++) {
        const bench = await prepared(t, steps, before)
        const doomed = new DiskBench(bench.dir, steps)
        await run(doomed).catch((err: unknown) => {
          if (!doomed.isDead) throw err
        })
        const hasDied = doomed.isDead
        if (!hasDied) doomed.registry.close()
        const next = new DiskBench(bench.dir)
        await next.repair()
        expectWhole(t, next, `killed at step ${steps}`)
        next.registry.close()
        if (!hasDied) return t.ok(steps > 1, `${steps} steps`)
      }
    },
  )
}

async function prepared(t: Test, steps: number, snapshots: readonly string[]): Promise<DiskBench> {
  const dir = join(t.testdir(), String(steps))
  mkdirSync(dir)
  const bench = await DiskBench.fill(dir)
  await bench.volumes.create({ name: 'data-1', sizeBytes: MIB })
  await take(bench, ...snapshots)
  bench.registry.close()
  return bench
}

/** Files and rows agree, nothing is half done. */
function expectWhole(t: Test, { registry, files }: DiskBench, when: string): void {
  const layers = registry.layers.list()
  t.same(files, layers.map(({ id }) => id).sort(), `${when}: the layers known have files, and no others do`)
  t.same(registry.doomedLayers.list(), [], `${when}: nothing waits to be removed`)
  t.ok(
    registry.snapshots.list().every(({ status }) => status === 'available'),
    `${when}: every snapshot is available`,
  )
  t.ok(
    registry.jobs.list().every(({ status }) => status !== 'RUNNING'),
    `${when}: no job runs`,
  )
  for (const { name, layerId, sizeBytes } of registry.volumes.list()) {
    const [top, ...parents] = registry.layers.chain(layerId)
    t.match(top, { isImmutable: false, sizeBytes }, `${when}: ${name} has a top layer of its size`)
    t.ok(
      parents.every(({ isImmutable }) => isImmutable),
      `${when}: what ${name} stands on does not change`,
    )
  }
}

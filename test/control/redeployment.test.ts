import t, { type Test } from 'tap'
import { DaemonError } from '../../src/errors.js'
import type { ServerRecord } from '../../src/registry/records.js'
import { addMachine, bench, WISH, type Bench, type BenchParts } from './server-bench.js'

interface Deployed extends Bench {
  readonly server: ServerRecord
}

async function deployed(t: Test, parts: BenchParts = {}): Promise<Deployed> {
  const made = bench(t, parts)
  addMachine(made.machines, 1)
  return { ...made, server: await made.servers.create(WISH) }
}

/** Everything that a failed redeploy must leave as it was. */
function state({ registry, layers }: Bench): unknown {
  const { servers, volumes, doomedLayers } = registry
  const rows = [servers.list(), volumes.list(), registry.layers.list(), doomedLayers.list()]
  return [rows, [...layers].toSorted()]
}

void t.test(
  'a redeployed server has a new clone, identity and secrets, and keeps what is its own',
  async (t) => {
    const made = await deployed(t)
    const { redeployment, registry, layers, server } = made
    const old = registry.volumes.get(server.volumeId)
    registry.servers.change(server.id, { sealedPassword: 'YWFh', rescue: 'wanted', status: 'SHUTOFF' })
    const after = await redeployment.redeploy('web1', {})
    const fresh = ['volumeId', 'instanceId', 'chapSecret', 'bootToken', 'cloneMs'] as const
    for (const field of fresh) t.not(after[field], server[field], field)
    const kept = Object.fromEntries(fresh.map((field) => [field, after[field]]))
    t.strictSame(after, { ...server, ...kept, sealedPassword: undefined, rescue: undefined })
    const volume = registry.volumes.get(after.volumeId)
    t.strictSame(
      registry.layers.chain(volume?.layerId ?? '').map(({ id }) => id),
      [volume?.layerId, 'gold'],
    )
    t.strictSame([registry.volumes.list().length, registry.volumes.get(old?.id ?? '')], [1, undefined])
    t.strictSame([...layers], [volume?.layerId], 'the files of the old disk have gone')
    t.ok(made.events.some(({ kind }) => kind === 'server.redeployed'))
  },
)

void t.test(
  'a redeploy from another image stands on that image, and the first one can be deleted',
  async (t) => {
    const { redeployment, registry, server } = await deployed(t)
    const gold = registry.layers.get('gold')
    if (gold === undefined) throw new Error('the bench has a golden layer')
    registry.layers.insert({ ...gold, id: 'gold-2' })
    const debian = registry.images.get('img')
    if (debian === undefined) throw new Error('the bench has an image')
    registry.images.insert({ ...debian, id: 'img-2', name: 'other', layerId: 'gold-2' })
    const after = await redeployment.redeploy(server.id, { image: 'other' })
    t.equal(after.imageId, 'img-2')
    t.equal(registry.layers.chain(registry.volumes.get(after.volumeId)?.layerId ?? '')[1]?.id, 'gold-2')
    t.ok(registry.images.delete('img'))
  },
)

void t.test(
  'a running server is deployed again only by force, which cuts its power once the clone is there',
  async (t) => {
    const { redeployment, servers, power, server, registry } = await deployed(t)
    await servers.start('web1')
    await t.rejects(redeployment.redeploy('web1', {}), {
      code: 'WRONG_STATE',
      message: /running: stop it first/,
    })
    t.equal(registry.servers.get(server.id)?.instanceId, server.instanceId)
    const after = await redeployment.redeploy('web1', { force: true })
    t.equal(power.state, 'off')
    t.equal(after.status, 'SHUTOFF')
  },
)

void t.test('a redeploy that cannot be is refused before anything is touched', async (t) => {
  const refusal = new DaemonError('INVALID_INPUT', 'network.links[0].mac: no such NIC')
  let isRefusing = false
  const made = await deployed(t, {
    checkSeed: () => {
      if (isRefusing) throw refusal
    },
  })
  const { redeployment, registry, server } = made
  const before = state(made)
  await t.rejects(redeployment.redeploy('nobody', {}), { code: 'NOT_FOUND' })
  await t.rejects(redeployment.redeploy('web1', { image: 'nothing' }), { code: 'NOT_FOUND' })
  isRefusing = true
  await t.rejects(redeployment.redeploy('web1', {}), refusal)
  t.strictSame(state(made), before)
  isRefusing = false
  const { layerId = '', sizeBytes = 0 } = registry.volumes.get(server.volumeId) ?? {}
  const snapshot = { id: 's', name: 'before', volumeId: server.volumeId, layerId, sizeBytes, createdMs: 1 }
  registry.snapshots.insert({ ...snapshot, status: 'available' })
  await t.rejects(redeployment.redeploy('web1', {}), { code: 'IN_USE', message: /has snapshots: before$/ })
  t.equal(registry.volumes.list().length, 1)
})

void t.test('whatever fails in the middle, the server keeps its old disk and identity', async (t) => {
  const faults: Readonly<Record<string, (made: Deployed) => void>> = {
    'no room for the clone': ({ deps }) => {
      Object.assign(deps, { createLayer: () => Promise.reject(new DaemonError('DISK_FULL', 'no room')) })
    },
    'power cannot be cut': ({ power }) => {
      power.powerOff = () => Promise.reject(new DaemonError('POWER_FAILED', 'no answer'))
    },
    'the target is away': ({ deps }) => {
      Object.assign(deps.wishes, {
        apply: () => Promise.reject(new DaemonError('TARGET_UNAVAILABLE', 'gone')),
      })
    },
    'the target cannot open the clone': (made) => {
      const failed = (): unknown =>
        Promise.resolve({
          failed: made.registry.volumes.list().map(({ id }) => ({ volumeId: id, message: 'no' })),
        })
      Object.assign(made.deps.wishes, { apply: failed })
    },
  }
  for (const [name, fail] of Object.entries(faults)) {
    await t.test(name, async (t) => {
      const made = await deployed(t)
      const before = state(made)
      const apply = made.deps.wishes.apply.bind(made.deps.wishes)
      fail(made)
      await t.rejects(made.redeployment.redeploy('web1', { force: true }), { name: 'DaemonError' })
      Object.assign(made.deps.wishes, { apply })
      await made.deps.wishes.apply()
      t.strictSame(state(made), before, 'and no file of the clone is left once the target answers')
    })
  }
})

void t.test(
  'a daemon that dies between the exchange and the end leaves both disks and no broken server',
  async (t) => {
    const made = await deployed(t)
    const { redeployment, registry, server } = made
    const died = new Error('killed')
    Object.assign(registry.volumes, {
      delete: () => {
        throw died
      },
    })
    await t.rejects(redeployment.redeploy('web1', {}), died)
    const after = registry.servers.get(server.id)
    t.not(after?.volumeId, server.volumeId)
    t.same(registry.volumes.list().length, 2)
    t.ok(registry.volumes.get(after?.volumeId ?? ''))
  },
)

void t.test('only one redeploy of a server goes on at a time', async (t) => {
  const { redeployment, registry } = await deployed(t)
  const outcomes = await Promise.allSettled([
    redeployment.redeploy('web1', {}),
    redeployment.redeploy('web1', {}),
  ])
  t.strictSame(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
  t.equal(registry.volumes.list().length, 1)
})

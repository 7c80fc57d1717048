import t from 'tap'
import type { Servers } from '../../src/control/servers.js'
import { DaemonError } from '../../src/errors.js'
import { addMachine, bench, WISH, type Bench } from './server-bench.js'

void t.test('a server is one new layer over the image, one volume, one target', async (t) => {
  const { servers, machines, registry, layers } = bench(t)
  addMachine(machines, 1)
  const server = await servers.create(WISH)
  const volume = registry.volumes.get(server.volumeId)
  t.equal(layers.size, 1)
  t.ok(layers.has(volume?.layerId ?? ''))
  t.strictSame(
    registry.layers.chain(volume?.layerId ?? '').map((layer) => layer.id),
    [volume?.layerId, 'gold'],
  )
  t.match(server.iqn, /^iqn\.2026-11\.io\.ingot:server:/)
  t.ok(
    server.chapSecret.length <= 16 && server.chapSecret.length >= 12,
    'a secret that iPXE and Windows can carry',
  )
})

void t.test('a refused server leaves no layer, row or event behind', async (t) => {
  const { servers, machines, registry, layers, events } = bench(t)
  addMachine(machines, 1)
  const refusals: readonly [name: string, wish: Parameters<Servers['create']>[0], code: string][] = [
    ['an unknown image', { ...WISH, image: 'nope' }, 'NOT_FOUND'],
    ['an unknown machine', { ...WISH, machine: 'nope' }, 'NOT_FOUND'],
    ['a name that is no host name', { ...WISH, name: 'Web_1' }, 'INVALID_INPUT'],
  ]
  for (const [name, wish, code] of refusals)
    await t.rejects(servers.create(wish), { name: 'DaemonError', code }, name)
  t.equal(layers.size + registry.servers.list().length + registry.volumes.list().length + events.length, 0)
})

void t.test('a machine with a signed loader takes only an image with a kernel beside it', async (t) => {
  const { servers, machines, registry, layers } = bench(t)
  addMachine(machines, 1)
  machines.setLoader('m1', 'shimx64.efi')
  const refused = {
    code: 'WRONG_STATE',
    message: /image debian has no kernel .* shimx64\.efi .*ingot image build/,
  }
  await t.rejects(servers.create(WISH), refused)
  t.equal(layers.size, 0)
  machines.setLoader('m1', undefined)
  await servers.create(WISH)
  t.throws(() => machines.setLoader('m1', 'shimx64.efi'), refused)
  t.equal(machines.get('m1').loader, undefined)
  const { layerId = '', sha256 = '', sizeBytes } = registry.images.get('img') ?? { sizeBytes: 0 }
  registry.images.setActive('img', { layerId, sha256, sizeBytes, kernelArguments: 'ro' })
  t.equal(machines.setLoader('m1', 'shimx64.efi').loader, 'shimx64.efi')
})

void t.test('a name, and a machine, serve one server only', async (t) => {
  const { servers, machines } = bench(t)
  addMachine(machines, 1)
  await t.rejects(servers.create({ ...WISH, machine: 'm2' }), { code: 'NOT_FOUND' })
  await servers.create(WISH)
  await t.rejects(servers.create({ ...WISH, name: 'web2', machine: 'm1' }), { code: 'IN_USE' })
  await t.rejects(servers.create({ ...WISH, name: 'web2' }), { code: 'NO_CAPACITY' })
  addMachine(machines, 2)
  await t.rejects(servers.create(WISH), { code: 'NAME_TAKEN' })
  t.throws(() => machines.delete('m1'), { code: 'IN_USE' })
})

void t.test('a server that the target cannot serve is undone', async (t) => {
  const { servers, machines, registry, layers } = bench(t, {
    reload: () => Promise.reject(new DaemonError('TARGET_UNAVAILABLE', 'gone')),
  })
  addMachine(machines, 1)
  await t.rejects(servers.create(WISH), { code: 'TARGET_UNAVAILABLE' })
  t.equal(layers.size + registry.servers.list().length + registry.volumes.list().length, 0)
})

void t.test('a server whose disk the target cannot make is undone, and why is told', async (t) => {
  const made: Bench = bench(t, {
    reload: () => {
      const failed = made.registry.volumes.list().map(({ id }) => ({ volumeId: id, message: 'no space' }))
      return Promise.resolve({ failed })
    },
  })
  addMachine(made.machines, 1)
  const refusal = { code: 'DISK_FAILED', message: 'the disk of server web1 cannot be served: no space' }
  await t.rejects(made.servers.create(WISH), refusal)
  t.equal(made.layers.size + made.registry.servers.list().length + made.registry.volumes.list().length, 0)
})

void t.test(
  'starting asks for one network boot, then for power; deleting cuts it and forgets the disk',
  async (t) => {
    const { servers, machines, registry, layers, power, events } = bench(t)
    addMachine(machines, 1)
    await servers.create(WISH)
    await servers.start('web1')
    t.strictSame(power.told, ['pxe-once', 'on'])
    t.ok(events.some((event) => event.stage === 'powered-on'))
    await t.rejects(servers.start('web1'), { code: 'WRONG_STATE' })
    await servers.delete('web1')
    t.equal(power.state, 'off')
    t.equal(layers.size + registry.servers.list().length + registry.layers.chain('gold').length, 1)
  },
)

void t.test('a server whose disk has a snapshot is neither powered off nor deleted', async (t) => {
  const { servers, machines, registry, power } = bench(t)
  addMachine(machines, 1)
  const server = await servers.create(WISH)
  await servers.start('web1')
  const { layerId = '', sizeBytes = 0 } = registry.volumes.get(server.volumeId) ?? {}
  const snapshot = { id: 's', name: 'before', volumeId: server.volumeId, layerId, sizeBytes, createdMs: 1 }
  registry.snapshots.insert({ ...snapshot, status: 'available' })
  await t.rejects(servers.delete('web1'), { code: 'IN_USE', message: /has snapshots: before$/ })
  t.equal(power.state, 'on')
  registry.snapshots.delete('s')
  await servers.delete('web1')
  t.equal(registry.servers.list().length, 0)
})

void t.test('machines are refused with the field and the rule', (t) => {
  const { machines } = bench(t)
  const nic = { mac: '52:54:00:00:00:01', ip: '198.18.0.11' }
  const add =
    (changed: object): (() => unknown) =>
    () =>
      machines.add({ name: 'm1', firmware: 'bios', nics: [nic], ...changed })
  t.throws(add({ nics: [{ ...nic, mac: '52:54' }] }), { code: 'INVALID_INPUT', message: /^mac:/ })
  t.throws(add({ nics: [{ ...nic, ip: '10.0.0.1' }] }), { code: 'INVALID_INPUT', message: /^ip:/ })
  t.throws(add({ nics: [{ ...nic, ip: '198.18.0.1' }] }), { code: 'ADDRESS_TAKEN' })
  t.throws(add({ nics: [] }), { code: 'INVALID_INPUT' })
  t.throws(add({ bmcUrl: 'http://x/' }), { code: 'INVALID_INPUT', message: /^bmc_url:/ })
  add({})()
  t.throws(add({ name: 'm2', nics: [{ ...nic, ip: '198.18.0.12' }] }), { code: 'MAC_TAKEN' })
  t.throws(add({ name: 'm1', nics: [{ mac: '52:54:00:00:00:02', ip: '198.18.0.12' }] }), {
    code: 'NAME_TAKEN',
  })
  t.throws(add({ name: 'm2', nics: [{ mac: '52:54:00:00:00:02', ip: '198.18.0.11' }] }), {
    code: 'ADDRESS_TAKEN',
  })
  t.end()
})

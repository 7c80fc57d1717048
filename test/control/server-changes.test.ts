import t, { type Test } from 'tap'
import { DaemonError } from '../../src/errors.js'
import type { ServerRecord } from '../../src/registry/records.js'
import { addMachine, bench, WISH, type Bench, type BenchParts } from './server-bench.js'

async function created(t: Test, parts: BenchParts = {}): Promise<Bench & { server: ServerRecord }> {
  const made = bench(t, parts)
  addMachine(made.machines, 1)
  return { ...made, server: await made.servers.create(WISH) }
}

const KEY = { name: 'mine', publicKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA' }

void t.test('what is named changes, what is null goes, and the target is told', async (t) => {
  let reloads = 0
  const reload = (): Promise<{ failed: [] }> => {
    reloads++
    return Promise.resolve({ failed: [] })
  }
  const { changes, server, events } = await created(t, { reload })
  const network = { links: [{ id: 'a', kind: 'nic' }] }
  const userData = Buffer.from('#cloud-config\n')
  const first = await changes.change('web1', { name: 'web2', keys: [KEY], network, userData })
  const wanted = { name: 'web2', keys: [KEY], network: JSON.stringify(network), userData }
  t.strictSame(first, { ...server, ...wanted })
  t.equal(reloads, 2, 'once at the creation, once at the change')
  const second = await changes.change('web2', { network: null, userData: null })
  t.strictSame(second, { ...first, network: undefined, userData: undefined })
  t.match(events.at(-1), { kind: 'server.changed', message: /: network, userData$/ })
})

void t.test('a change that is refused changes nothing and tells nobody', async (t) => {
  let isRefusing = false
  const checkSeed = (): void => {
    if (isRefusing) throw new DaemonError('INVALID_INPUT', 'network.links[0]: no')
  }
  const { changes, server, servers, events, machines } = await created(t, { checkSeed })
  addMachine(machines, 2)
  await servers.create({ ...WISH, name: 'web2' })
  const told = events.length
  await t.rejects(changes.change('web1', { name: 'web2' }), { code: 'NAME_TAKEN' })
  await t.rejects(changes.change('web1', { name: 'Web 2' }), { code: 'INVALID_INPUT', message: /^name: / })
  await t.rejects(changes.change('web9', { name: 'web3' }), { code: 'NOT_FOUND' })
  await t.rejects(changes.change('web1', { network: { x: 'y'.repeat(70_000) } }), {
    code: 'INVALID_INPUT',
    message: /^network: /,
  })
  await t.rejects(changes.change('web1', { adminPassword: 'weak' }), { message: /^admin_password: / })
  isRefusing = true
  await t.rejects(changes.change('web1', { network: {} }), { message: 'network.links[0]: no' })
  t.strictSame(servers.get('web1'), server)
  t.equal(events.length, told)
})

void t.test(
  "the administrator's password is kept as its hash alone, and not at all for Windows",
  async (t) => {
    const { changes, servers, registry, machines, events } = await created(t)
    const password = 'Correct-Horse9'
    const { adminPasswordHash } = await changes.change('web1', { adminPassword: password })
    t.match(adminPasswordHash, /^\$6\$/)
    t.notMatch(JSON.stringify([registry.servers.list(), events]), password)
    const again = await changes.change('web1', { adminPassword: password })
    t.not(again.adminPasswordHash, adminPasswordHash, 'each has a salt of its own')
    t.equal((await changes.change('web1', { adminPassword: null })).adminPasswordHash, undefined)
    registry.images.change('img', { osType: 'windows' })
    const refused = { code: 'UNSUPPORTED', message: /^admin_password: .*Windows.*ingot server password/ }
    await t.rejects(changes.change('web1', { adminPassword: password }), refused)
    addMachine(machines, 2)
    await t.rejects(servers.create({ ...WISH, name: 'web2', adminPassword: password }), refused)
    t.equal(registry.servers.list().length, 1)
  },
)

void t.test('roles of NICs are checked, written, and followed by the seed of the server', async (t) => {
  let reloads = 0
  const { machines, registry, server } = await created(t, {
    reload: () => {
      reloads++
      return Promise.resolve({ failed: [] })
    },
    checkSeed: (_server, { nics }) => {
      if (nics[1]?.role === 'storage' && nics[0]?.role === 'tenant')
        throw new DaemonError('INVALID_INPUT', 'network.links[0].mac: a storage NIC')
    },
  })
  const nics = [{ mac: '52:54:00:00:01:01', ip: '198.18.0.50' }, { mac: '52:54:00:00:01:02' }]
  machines.add({ name: 'two', firmware: 'bios', nics: [{ ...nics[0], role: 'storage' }, nics[1]] as never })
  const roles = (): unknown => machines.get('two').nics.map(({ role }) => role)
  t.strictSame(roles(), ['storage', 'tenant'])
  const set = (...wanted: readonly { mac: string; role: 'tenant' | 'storage' }[]): Promise<unknown> =>
    machines.setWiring('two', { roles: wanted })
  const [first, second] = ['52:54:00:00:01:01', '52:54:00:00:01:02']
  await t.rejects(set({ mac: second, role: 'storage' }), {
    message: /^nics: expected one NIC of role tenant/,
  })
  await t.rejects(set({ mac: '52:54:00:00:09:09', role: 'storage' }), { code: 'NOT_FOUND' })
  await set({ mac: first, role: 'tenant' })
  t.strictSame([roles(), reloads], [['tenant', 'tenant'], 1], 'without a server nobody is told')
  registry.servers.change(server.id, {})
  registry.servers.delete(server.id)
  registry.servers.insert({ ...server, machineId: machines.get('two').id })
  await t.rejects(set({ mac: second, role: 'storage' }), { message: /^network.links\[0\]/ })
  t.strictSame(roles(), ['tenant', 'tenant'])
  await set({ mac: first, role: 'storage' })
  t.equal((await machines.setWiring('two', { inic: 'card' })).inic, 'card')
  t.strictSame([roles(), reloads], [['storage', 'tenant'], 3])
  const allStorage = { ...nics[0], role: 'storage' } as never
  t.throws(() => machines.add({ name: 'x', firmware: 'bios', nics: [allStorage] }), { message: /^nics: / })
})

void t.test('NICs come and go but for the first, and a refusal leaves them as they were', async (t) => {
  const { machines } = bench(t)
  addMachine(machines, 1)
  const names = (): unknown => machines.get('m1').nics.map(({ mac, position }) => [mac, position])
  const [first, second, third] = ['52:54:00:00:00:01', '52:54:00:00:02:02', '52:54:00:00:02:03']
  await machines.setWiring('m1', {
    added: [
      { mac: second, ip: '198.18.0.60' },
      { mac: third, role: 'storage' },
    ],
  })
  const all = [
    [first, 0],
    [second, 1],
    [third, 2],
  ]
  t.strictSame(names(), all)
  const refused: readonly (readonly [change: Parameters<typeof machines.setWiring>[1], code: string])[] = [
    [{ removed: [first] }, 'INVALID_INPUT'],
    [{ removed: ['52:54:00:00:09:09'] }, 'NOT_FOUND'],
    [{ added: [{ mac: second }] }, 'MAC_TAKEN'],
    [{ removed: [third], added: [{ mac: third, ip: '198.18.0.60' }] }, 'ADDRESS_TAKEN'],
    [{ added: [{ mac: '52:54:00:00:02:04', ip: '10.0.0.1' }] }, 'INVALID_INPUT'],
    [{ added: Array.from({ length: 14 }, (_, n) => ({ mac: `52:54:00:00:03:${10 + n}` })) }, 'INVALID_INPUT'],
  ]
  for (const [change, code] of refused) await t.rejects(machines.setWiring('m1', change), { code })
  t.strictSame(names(), all)
  await machines.setWiring('m1', { removed: [second], added: [{ mac: '52:54:00:00:02:04' }] })
  t.strictSame(names(), [all[0], all[2], ['52:54:00:00:02:04', 3]])
})

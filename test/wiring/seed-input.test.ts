import t, { type Test } from 'tap'
import { parseConfig } from '../../src/config.js'
import type { MachineRecord, NicRecord, ServerRecord } from '../../src/registry/records.js'
import { openRegistry } from '../../src/registry/registry.js'
import { seedDiskOf, seedInputOf, seedRevisionOf, type SeedSources } from '../../src/wiring/seed-input.js'
import { fill, IMAGE, MACHINE, SERVER } from '../registry/sample-records.js'

const CONFIG = parseConfig(
  `[boot]
address = "198.18.0.1"
[[subnet]]
cidr = "198.18.0.0/24"
address = "198.18.0.1"
interface = "eth0"
router = "198.18.0.254"
dns = ["198.18.0.53"]
[[subnet]]
cidr = "198.18.1.0/24"
address = "198.18.1.1"
interface = "eth1"
router = "198.18.1.254"
dns = ["198.18.1.53"]
`,
  'FILE',
)
const AGENT = Buffer.from('#!/usr/bin/python3\n')

function sourcesOf(t: Test): SeedSources {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  fill(registry)
  return { config: CONFIG, registry, networkAgent: AGENT }
}

/** NICs of a machine, the first one first. */
function nics(...given: readonly Partial<NicRecord>[]): NicRecord[] {
  return given.map((nic, position) => ({
    machineId: MACHINE.id,
    position,
    mac: `52:54:00:00:00:0${position + 1}`,
    ip: undefined,
    switchPort: undefined,
    role: 'tenant',
    ...nic,
  }))
}

const TWO: MachineRecord = { ...MACHINE, nics: nics({ ip: '198.18.0.11' }, { ip: '198.18.1.11' }) }
const STATIC: ServerRecord = { ...SERVER, addressing: 'static' }

void t.test('without a document each tenant NIC is as its subnet has it, with one default route', (t) => {
  const { network, localIpv4 } = seedInputOf(STATIC, TWO, sourcesOf(t))
  t.match(network.links, [
    {
      mac: '52:54:00:00:00:01',
      isRoot: true,
      ipv4: { kind: 'static', address: '198.18.0.11', gateway: '198.18.0.254' },
    },
    {
      mac: '52:54:00:00:00:02',
      isRoot: false,
      ipv4: { kind: 'static', address: '198.18.1.11', prefixLength: 24 },
    },
  ])
  t.notOk('gateway' in (network.links[1]?.ipv4 ?? {}))
  t.same([network.dns, localIpv4], [['198.18.0.53'], '198.18.0.11'])
  const dhcp = seedInputOf(SERVER, TWO, sourcesOf(t))
  t.same(
    dhcp.network.links.map(({ ipv4 }) => ipv4.kind),
    ['dhcp', 'dhcp'],
  )
  t.equal(dhcp.localIpv4, '198.18.0.11')
  t.end()
})

void t.test('a storage NIC is in no document, and no other NIC is the root disk then', (t) => {
  const machine = { ...TWO, nics: nics({ ip: '198.18.0.11', role: 'storage' }, { ip: '198.18.1.11' }) }
  const { network, localIpv4 } = seedInputOf(STATIC, machine, sourcesOf(t))
  t.match(network.links, [{ mac: '52:54:00:00:00:02', isRoot: false, ipv4: { gateway: '198.18.1.254' } }])
  t.same([network.links.length, network.dns, localIpv4], [1, ['198.18.1.53'], '198.18.1.11'])
  t.end()
})

void t.test('behind a card that shows the root disk no NIC is the root disk', (t) => {
  const { network } = seedInputOf(STATIC, { ...TWO, inic: 'card' }, sourcesOf(t))
  t.same(
    network.links.map((link) => link.kind === 'nic' && link.isRoot),
    [false, false],
  )
  t.end()
})

void t.test("the operator's document is the network, as far as the machine can have it", (t) => {
  const sources = sourcesOf(t)
  const document = {
    links: [
      { kind: 'nic', id: 'a', mac: '52:54:00:00:00:01', ipv4: { kind: 'dhcp' } },
      { kind: 'nic', id: 'b', mac: '52:54:00:00:00:02' },
      {
        kind: 'vlan',
        id: 'v',
        parent: 'b',
        vlan_id: 7,
        ipv4: { kind: 'static', address: '203.0.113.9', prefix_length: 24 },
      },
    ],
  }
  const server = { ...SERVER, network: JSON.stringify(document) }
  const { network, localIpv4 } = seedInputOf(server, TWO, sources)
  t.match(network.links, [
    { id: 'a', isRoot: true },
    { id: 'b', isRoot: false },
    { id: 'v', vlanId: 7 },
  ])
  t.equal(localIpv4, '203.0.113.9')
  const storage = { ...TWO, nics: nics({ role: 'storage' }, {}) }
  t.throws(() => seedInputOf(server, storage, sources), {
    code: 'INVALID_INPUT',
    message: /^network\.links\[0\]\.mac: .*storage NIC/,
  })
  t.end()
})

void t.test('what an image is decides what its servers are told', (t) => {
  const sources = sourcesOf(t)
  const server = { ...SERVER, adminPasswordHash: `$6$salt$${'x'.repeat(86)}` }
  const linux = seedInputOf(server, TWO, sources)
  t.match(linux, {
    osType: 'linux',
    keys: SERVER.keys,
    adminPasswordHash: server.adminPasswordHash,
    networkQuirks: { bondAlways: false },
    metadata: { image_name: IMAGE.name, os_type: 'linux', 'metering.image_id': IMAGE.id },
  })
  t.equal(linux.networkAgent, AGENT)
  const properties = { network_data_bond: 'always' }
  const images = { get: () => ({ ...IMAGE, osType: 'windows' as const, properties }) } as never
  const windows = seedInputOf(server, TWO, { ...sources, registry: { ...sources.registry, images } })
  t.match(windows, { osType: 'windows', networkQuirks: { bondAlways: true } })
  t.notOk('adminPasswordHash' in windows || 'networkAgent' in windows)
  t.end()
})

void t.test('the revision is another one exactly when the bytes of the disk are', (t) => {
  const sources = sourcesOf(t)
  const changes: readonly Partial<ServerRecord>[] = [
    { name: 'web-2' },
    { instanceId: 'i-2' },
    { keys: [] },
    { keys: SERVER.keys.map((key) => ({ ...key, publicKey: `${key.publicKey}x` })) },
    { userData: undefined },
    { userData: Buffer.from('#!/bin/sh\n') },
    { seedSecret: Buffer.alloc(32, 8) },
    { adminPasswordHash: `$6$salt$${'x'.repeat(86)}` },
    { addressing: 'static' },
  ]
  const sound = {
    ...SERVER,
    keys: [{ name: 'key-0', publicKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhbGFuY2Vz' }],
  }
  const before = [seedRevisionOf(sound, sources), Buffer.from(seedDiskOf(sound, sources))] as const
  for (const change of changes) {
    const after = { ...sound, ...change }
    if (after.keys.length === 2)
      after.keys = sound.keys.map((key) => ({ ...key, publicKey: `${key.publicKey} me` }))
    const field = Object.keys(change).join()
    t.not(seedRevisionOf(after, sources), before[0], field)
    t.notOk(before[1].equals(seedDiskOf(after, sources)), field)
  }
  const unseen: readonly Partial<ServerRecord>[] = [
    { status: 'ACTIVE' },
    { bootToken: 'other' },
    { chapSecret: 'other' },
    { rescue: 'wanted' },
    { sealedPassword: 'QUJD' },
  ]
  for (const change of unseen) {
    t.equal(seedRevisionOf({ ...sound, ...change }, sources), before[0], Object.keys(change).join())
    t.ok(before[1].equals(seedDiskOf({ ...sound, ...change }, sources)), Object.keys(change).join())
  }
  t.end()
})

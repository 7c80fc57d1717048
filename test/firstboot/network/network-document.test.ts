import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { DaemonError } from '../../../src/errors.js'
import { checkNetwork } from '../../../src/firstboot/network/check-network.js'
import { parseNetwork, type MachineNic } from '../../../src/firstboot/network/network-document.js'
import { renderNetworkConfig } from '../../../src/firstboot/network/network-config.js'
import { renderNetworkData } from '../../../src/firstboot/network/network-data.js'
import type { NicLink } from '../../../src/firstboot/network/network.js'
import { DHCP_NETWORK, STATIC_NETWORK } from '../seed/sample-seed.js'

type Json = Readonly<Record<string, unknown>>

const MAC = ['52:54:00:00:00:00', '52:54:00:00:00:01', '52:54:00:00:00:02', '52:54:00:00:00:03'] as const
// The root NIC first, then two tenant NICs, then a storage NIC.
const NICS: readonly MachineNic[] = MAC.map((mac, index) => ({
  mac,
  role: index === 3 ? 'storage' : 'tenant',
  isRoot: index === 0,
}))

const DHCP = { kind: 'dhcp' }
const nic = (index: number, change: Json = {}): Json => ({
  kind: 'nic',
  id: `nic${index}`,
  mac: MAC[index],
  ...change,
})
const bond = (change: Json = {}): Json => ({
  kind: 'bond',
  id: 'bond0',
  members: ['nic1', 'nic2'],
  mode: 'active-backup',
  ...change,
})
const vlan = (change: Json = {}): Json => ({
  kind: 'vlan',
  id: 'vlan7',
  parent: 'nic1',
  vlan_id: 7,
  ...change,
})
const ipv4 = (address: unknown, prefix: unknown = 24, gateway?: unknown): Json => ({
  ipv4: { kind: 'static', address, prefix_length: prefix, ...(gateway !== undefined && { gateway }) },
})
const ipv6 = (address: unknown, prefix: unknown = 64, gateway?: unknown): Json => ({
  ipv6: { kind: 'static', address, prefix_length: prefix, ...(gateway !== undefined && { gateway }) },
})
const via = (destination: unknown, gateway: unknown, metric?: unknown): Json => ({
  destination,
  via: gateway,
  ...(metric !== undefined && { metric }),
})
const links = (...list: unknown[]): Json => ({ links: list })
const PAIR = [nic(1), nic(2)]
const HOME = ipv4('198.18.0.10')

const REFUSED: readonly [field: string, what: string, document: unknown][] = [
  ['', 'is a list', []],
  ['', 'is null', null],
  ['', 'has a member that is not known', { links: [nic(1)], renderer: 'networkd' }],
  ['links', 'is empty', links()],
  ['links', 'is an object', { links: {} }],
  ['links', 'has 65', links(...Array.from({ length: 65 }, (_, i) => nic(1, { id: `n${i}` })))],
  ['links[0]', 'is a string', links('nic0')],
  ['links[0]', 'has a member that is not known', links(nic(1, { isRoot: true }))],
  ['links[0]', 'has a member of another kind', links(nic(1, { members: [] }))],
  ['links[0].kind', 'is left out', links({ id: 'nic0', mac: MAC[1] })],
  ['links[0].kind', 'is a bridge', links({ kind: 'bridge', id: 'br0' })],
  ['links[0].id', 'is left out', links({ kind: 'nic', mac: MAC[1] })],
  ['links[0].id', 'has a capital', links(nic(1, { id: 'Nic' }))],
  ['links[0].id', 'has a slash', links(nic(1, { id: 'a/b' }))],
  ['links[0].id', 'is longer than the name of an interface', links(nic(1, { id: 'a23456789012345' }))],
  ['links[0].id', 'is the loopback', links(nic(1, { id: 'lo' }))],
  ['links[1].id', 'comes twice', links(nic(1), nic(2, { id: 'nic1' }))],
  ['links[2].id', 'of a bond could be a NIC', links(...PAIR, bond({ id: 'eth0' }))],
  ['links[1].id', 'of a VLAN could be a NIC', links(nic(1), vlan({ id: 'enp3s0' }))],
  ['links[0].mac', 'is no MAC', links(nic(1, { mac: '52:54:00:00:00' }))],
  ['links[0].mac', 'has a newline', links(nic(1, { mac: `${MAC[1]}\n` }))],
  ['links[0].mac', 'is a number', links(nic(1, { mac: 5254 }))],
  ['links[0].mac', 'is no NIC of the machine', links(nic(1, { mac: '52:54:00:00:00:99' }))],
  ['links[0].mac', 'is a storage NIC', links(nic(3))],
  ['links[1].mac', 'comes twice in another spelling', links(nic(1), nic(2, { mac: '52-54-00-00-00-01' }))],
  ['links[2].mac', 'of a bond is a group address', links(...PAIR, bond({ mac: '01:00:5e:00:00:01' }))],
  ['links[2].mac', 'of a bond is all zeros', links(...PAIR, bond({ mac: '00:00:00:00:00:00' }))],
  [
    'links[1].mac',
    'of a bond is a NIC outside of it',
    links(nic(1), bond({ members: ['nic1'], mac: MAC[2] }), nic(2)),
  ],
  ['links[2].mac', 'of a VLAN is a NIC not below it', links(...PAIR, vlan({ mac: MAC[2] }))],
  ['links[0].mtu', 'is too small', links(nic(1, { mtu: 575 }))],
  ['links[0].mtu', 'is too large', links(nic(1, { mtu: 9217 }))],
  ['links[0].mtu', 'is no integer', links(nic(1, { mtu: 1500.5 }))],
  ['links[0].mtu', 'is a string', links(nic(1, { mtu: '1500' }))],
  ['links[0].mtu', 'is too small for IPv6', links(nic(1, { mtu: 1279, ipv6: { kind: 'slaac' } }))],
  ['links[1].mtu', "of a VLAN is above its parent's", links(nic(1, { mtu: 2000 }), vlan({ mtu: 2001 }))],
  ['links[1].mtu', 'of a VLAN is above what its parent has untold', links(nic(1), vlan({ mtu: 1501 }))],
  ['links[0].ipv4', 'is a string', links(nic(1, { ipv4: 'dhcp' }))],
  [
    'links[0].ipv4',
    'has an address and DHCP',
    links(nic(1, { ipv4: { kind: 'dhcp', address: '198.18.0.1' } })),
  ],
  ['links[0].ipv4', 'is missing on the root NIC', links(nic(0, { ipv6: { kind: 'slaac' } }))],
  ['links[0].ipv4.kind', 'is slaac', links(nic(1, { ipv4: { kind: 'slaac' } }))],
  ['links[0].ipv4.prefix_length', 'is 0', links(nic(1, ipv4('198.18.0.10', 0)))],
  ['links[0].ipv4.prefix_length', 'is 33', links(nic(1, ipv4('198.18.0.10', 33)))],
  [
    'links[0].ipv4.prefix_length',
    'is left out',
    links(nic(1, { ipv4: { kind: 'static', address: '198.18.0.10' } })),
  ],
  ['links[0].ipv4.address', 'has a leading zero', links(nic(1, ipv4('198.18.0.010')))],
  ['links[0].ipv4.address', 'is an IPv6 one', links(nic(1, ipv4('2001:db8::1')))],
  ['links[0].ipv4.address', 'is multicast', links(nic(1, ipv4('224.0.0.1')))],
  ['links[0].ipv4.address', 'is loopback', links(nic(1, ipv4('127.0.0.1', 8)))],
  ['links[0].ipv4.address', 'is in 0/8', links(nic(1, ipv4('0.0.0.1', 8)))],
  ['links[0].ipv4.address', 'is the network', links(nic(1, ipv4('198.18.0.0')))],
  ['links[0].ipv4.address', 'is the broadcast', links(nic(1, ipv4('198.18.0.255')))],
  ['links[0].ipv4.gateway', 'is outside the subnet', links(nic(1, ipv4('198.18.0.10', 24, '198.18.1.1')))],
  ['links[0].ipv4.gateway', 'is the address itself', links(nic(1, ipv4('198.18.0.10', 24, '198.18.0.10')))],
  ['links[0].ipv4.gateway', 'is the broadcast', links(nic(1, ipv4('198.18.0.10', 24, '198.18.0.255')))],
  ['links[0].ipv6.prefix_length', 'is 129', links(nic(1, ipv6('2001:db8::1', 129)))],
  ['links[0].ipv6.address', 'is no address', links(nic(1, ipv6('2001:db8:::1')))],
  ['links[0].ipv6.address', 'has a zone', links(nic(1, ipv6('2001:db8::1%eth0')))],
  ['links[0].ipv6.address', 'is the loopback', links(nic(1, ipv6('::1')))],
  ['links[0].ipv6.address', 'is multicast', links(nic(1, ipv6('ff02::1')))],
  ['links[0].ipv6.address', 'is a mapped IPv4 one', links(nic(1, ipv6('::ffff:198.18.0.1')))],
  ['links[0].ipv6.address', 'is link-local', links(nic(1, ipv6('fe80::5')))],
  ['links[0].ipv6.address', 'is that of all routers', links(nic(1, ipv6('2001:db8::')))],
  [
    'links[0].ipv6.gateway',
    'is outside the subnet',
    links(nic(1, ipv6('2001:db8::10', 64, '2001:db8:0:1::1'))),
  ],
  [
    'links[0].ipv6.gateway',
    'is the address itself',
    links(nic(1, ipv6('2001:db8::10', 64, '2001:db8:0::10'))),
  ],
  [
    'links[1].ipv4.address',
    'lies in the subnet of another link',
    links(nic(1, HOME), nic(2, ipv4('198.18.1.10', 16))),
  ],
  ['links[1].ipv4.address', 'is that of another link', links(nic(1, HOME), nic(2, HOME))],
  [
    'links[1].ipv6.address',
    'lies in the subnet of another link',
    links(nic(1, ipv6('2001:db8::1', 48)), nic(2, ipv6('2001:db8:0:5::1'))),
  ],
  [
    'links[1].ipv4.gateway',
    'is a second default route',
    links(nic(1, ipv4('198.18.0.10', 24, '198.18.0.1')), nic(2, ipv4('198.18.1.10', 24, '198.18.1.1'))),
  ],
  [
    'links[1].ipv6.gateway',
    'is a second default route',
    links(nic(1, ipv6('2001:db8::10', 64, 'fe80::1')), nic(2, ipv6('2001:db8:1::10', 64, 'fe80::1'))),
  ],
  [
    'links[0].routes[0].destination',
    'is a second default route',
    links(nic(1, { ...ipv4('198.18.0.10', 24, '198.18.0.1'), routes: [via('0.0.0.0/0', '198.18.0.2', 0)] })),
  ],
  [
    'links[0].routes[0].destination',
    'has host bits',
    links(nic(1, { ...HOME, routes: [via('198.18.5.1/24', '198.18.0.1')] })),
  ],
  [
    'links[0].routes[0].destination',
    'is "default"',
    links(nic(1, { ...HOME, routes: [via('default', '198.18.0.1')] })),
  ],
  [
    'links[0].routes[0].via',
    'is of the other family',
    links(nic(1, { ...HOME, routes: [via('198.18.5.0/24', '2001:db8::1')] })),
  ],
  [
    'links[0].routes[0].via',
    'is not on the link',
    links(nic(1, { ...HOME, routes: [via('198.18.5.0/24', '198.18.5.1')] })),
  ],
  [
    'links[0].routes[0].via',
    'is the link itself',
    links(nic(1, { ...HOME, routes: [via('198.18.5.0/24', '198.18.0.10')] })),
  ],
  [
    'links[0].routes[0].via',
    'is on a link without addresses of the family',
    links(nic(1, { ...HOME, routes: [via('2001:db8:5::/48', 'fe80::1')] })),
  ],
  [
    'links[0].routes[0].metric',
    'is negative',
    links(nic(1, { ...HOME, routes: [via('198.18.5.0/24', '198.18.0.1', -1)] })),
  ],
  [
    'links[0].routes[1].destination',
    'comes twice at one metric',
    links(
      nic(1, { ...HOME, routes: [via('198.18.5.0/24', '198.18.0.1'), via('198.18.5.0/24', '198.18.0.2')] }),
    ),
  ],
  [
    'links[0].routes[0]',
    'has a member that is not known',
    links(nic(1, { ...HOME, routes: [{ ...via('198.18.5.0/24', '198.18.0.1'), table: 5 }] })),
  ],
  [
    'links[0].routes',
    'has 65',
    links(
      nic(1, {
        ...HOME,
        routes: Array.from({ length: 65 }, (_, i) => via('198.18.5.0/24', '198.18.0.1', i)),
      }),
    ),
  ],
  ['links[2].members', 'is empty', links(...PAIR, bond({ members: [] }))],
  ['links[2].members[1]', 'is no link', links(...PAIR, bond({ members: ['nic1', 'nic5'] }))],
  ['links[2].members[1]', 'is a member already', links(...PAIR, bond({ members: ['nic1', 'nic1'] }))],
  ['links[1].members[0]', 'is a bond', links(nic(1), bond({ members: ['bond0'] }))],
  ['links[0].members[0]', 'is a VLAN', links(bond({ members: ['vlan7'] }), nic(1), vlan())],
  ['links[1].members[0]', 'is the root NIC', links(nic(0, { ipv4: DHCP }), bond({ members: ['nic0'] }))],
  ['links[2].members[1]', 'asks by DHCP itself', links(nic(1), nic(2, { ipv4: DHCP }), bond())],
  ['links[2].members[1]', 'has an IPv6 address itself', links(nic(1), nic(2, ipv6('2001:db8::1')), bond())],
  ['links[2].members[0]', 'has another MTU than the bond', links(nic(1, { mtu: 9000 }), nic(2), bond())],
  [
    'links[3].members[0]',
    'is in another bond',
    links(...PAIR, bond(), bond({ id: 'bond1', members: ['nic2'] })),
  ],
  ['links[2].mode', 'is another one', links(...PAIR, bond({ mode: 'balance-rr' }))],
  ['links[2].mode', 'is a number', links(...PAIR, bond({ mode: 4 }))],
  ['links[2].primary', 'is no member', links(...PAIR, bond({ members: ['nic1'], primary: 'nic2' }))],
  [
    'links[2].primary',
    'is told of an 802.3ad bond',
    links(...PAIR, bond({ mode: '802.3ad', primary: 'nic1' })),
  ],
  ['links[2].miimon_ms', 'is 0', links(...PAIR, bond({ miimon_ms: 0 }))],
  [
    'links[2].xmit_hash_policy',
    'is another one',
    links(...PAIR, bond({ mode: '802.3ad', xmit_hash_policy: 'layer4' })),
  ],
  [
    'links[2].xmit_hash_policy',
    'is told of an active-backup bond',
    links(...PAIR, bond({ xmit_hash_policy: 'layer2' })),
  ],
  ['links[1].vlan_id', 'is 0', links(nic(1), vlan({ vlan_id: 0 }))],
  ['links[1].vlan_id', 'is 4095', links(nic(1), vlan({ vlan_id: 4095 }))],
  ['links[2].vlan_id', 'comes twice on one parent', links(nic(1), vlan(), vlan({ id: 'vlan8' }))],
  ['links[1].parent', 'is no link', links(nic(1), vlan({ parent: 'nic2' }))],
  ['links[2].parent', 'is a VLAN', links(nic(1), vlan(), vlan({ id: 'vlan8', parent: 'vlan7' }))],
  ['links[3].parent', 'is a member of a bond', links(...PAIR, bond(), vlan())],
  ['dns[1]', 'is a name', { ...links(nic(1)), dns: ['198.18.0.53', 'ns.example'] }],
  ['dns[1]', 'comes twice in another spelling', { ...links(nic(1)), dns: ['2001:db8::1', '2001:db8:0::1'] }],
  ['dns[0]', 'is multicast', { ...links(nic(1)), dns: ['224.0.0.251'] }],
  ['dns[0]', 'is link-local', { ...links(nic(1)), dns: ['fe80::1'] }],
  ['dns', 'has nine', { ...links(nic(1)), dns: Array.from({ length: 9 }, (_, i) => `198.18.0.${i + 1}`) }],
  ['search[0]', 'is no name', { ...links(nic(1)), search: ['lab example'] }],
  ['search[0]', 'is an address', { ...links(nic(1)), search: ['198.18.0.1'] }],
  [
    'search[1]',
    'comes twice in another spelling',
    { ...links(nic(1)), search: ['lab.example', 'LAB.example'] },
  ],
  ['search', 'has seven', { ...links(nic(1)), search: Array.from({ length: 7 }, (_, i) => `lab${i}`) }],
  [
    'search',
    'is too long in all',
    { ...links(nic(1)), search: Array.from({ length: 5 }, (_, i) => `lab${i}.${'a'.repeat(50)}`) },
  ],
]

for (const [field, what, document] of REFUSED) {
  void t.test(`a network is refused when ${field === '' ? 'the document' : field} ${what}`, (t) => {
    try {
      parseNetwork(document, NICS)
      t.fail('was accepted')
    } catch (err) {
      t.type(err, DaemonError)
      t.match(err, { code: 'INVALID_INPUT' })
      t.ok(err instanceof Error && err.message.startsWith(`network${field && '.'}${field}: `), String(err))
    }
    t.end()
  })
}

const ACCEPTED: readonly [what: string, document: unknown][] = [
  ['a NIC that only carries VLANs', links(nic(1), vlan({ ipv4: DHCP }))],
  ['a VLAN on the root NIC', links(nic(0, { ipv4: DHCP }), vlan({ parent: 'nic0', mac: MAC[0] }))],
  [
    'a bond of one, as when its second cable is to come',
    links(nic(1), bond({ members: ['nic1'], mode: '802.3ad' })),
  ],
  ["a bond with a member's address", links(...PAIR, bond({ mac: MAC[2], primary: 'nic2' }))],
  ['the same VLAN on two parents', links(...PAIR, vlan(), vlan({ id: 'vlan8', parent: 'nic2' }))],
  ['a NIC called as its kernel calls it', links(nic(1, { id: 'eth1' }))],
  ['a /31 and a /32', links(nic(1, ipv4('198.18.0.0', 31, '198.18.0.1')), nic(2, ipv4('198.18.0.7', 32)))],
  [
    'a /127 and a /128',
    links(nic(1, ipv6('2001:db8::', 127, '2001:db8::1')), nic(2, ipv6('2001:db8::7', 128))),
  ],
  ['a router by its link-local address', links(nic(1, ipv6('2001:db8::10', 64, 'fe80::1')))],
  [
    'default routes at different metrics',
    links(nic(1, { ...ipv4('198.18.0.10', 24, '198.18.0.1'), routes: [via('0.0.0.0/0', '198.18.0.2', 9)] })),
  ],
  [
    'a route by a neighbour that only DHCP knows',
    links(nic(1, { ipv4: DHCP, routes: [via('198.18.5.0/24', '203.0.113.1')] })),
  ],
  ['a resolver inside the guest', { ...links(nic(1)), dns: ['127.0.0.53'] }],
]

for (const [what, document] of ACCEPTED) {
  void t.test(`a network may have ${what}`, (t) => {
    t.doesNotThrow(() => parseNetwork(document, NICS))
    t.end()
  })
}

void t.test(
  'spelling is made canonical, the root NIC is known by the machine, what is left out is none',
  (t) => {
    const document = links(
      nic(0, {
        mac: '52-54-00-00-00-00',
        ...HOME,
        ...ipv6('2001:DB8:0::A', 64, 'FE80::1'),
        routes: [via('2001:DB8:5::/48', 'FE80::2')],
      }),
      nic(1, { id: 'b' }),
    )
    t.strictSame(parseNetwork({ ...document, dns: ['2001:DB8::53'], search: ['Lab.example'] }, NICS), {
      links: [
        {
          kind: 'nic',
          id: 'nic0',
          mac: MAC[0],
          isRoot: true,
          ipv4: { kind: 'static', address: '198.18.0.10', prefixLength: 24 },
          ipv6: { kind: 'static', address: '2001:db8::a', prefixLength: 64, gateway: 'fe80::1' },
          routes: [{ destination: '2001:db8:5::/48', via: 'fe80::2' }],
        },
        {
          kind: 'nic',
          id: 'b',
          mac: MAC[1],
          isRoot: false,
          ipv4: { kind: 'none' },
          ipv6: { kind: 'none' },
          routes: [],
        },
      ],
      dns: ['2001:db8::53'],
      search: ['Lab.example'],
    })
    t.end()
  },
)

void t.test("a machine's NICs may be in one subnet where no document says so", (t) => {
  const [link] = STATIC_NETWORK.links
  if (link?.ipv4.kind !== 'static') return void t.fail('the sample has a static address')
  const { kind, prefixLength } = link.ipv4
  const second: NicLink = {
    kind: 'nic',
    id: 'nic9',
    mac: MAC[1],
    isRoot: false,
    ipv4: { kind, prefixLength, address: '198.18.0.11' },
    ipv6: { kind: 'none' },
    routes: [],
  }
  t.doesNotThrow(() => checkNetwork({ ...STATIC_NETWORK, links: [link, second] }))
  t.end()
})

void t.test('the examples of docs/network.md are networks', (t) => {
  const text = readFileSync(join(import.meta.dirname, '../../../docs/network.md'), 'utf8')
  const examples = [...text.matchAll(/^```json\n(.*?)^```$/gms)].map(
    ([, json]) => JSON.parse(json ?? '') as unknown,
  )
  t.equal(examples.length, 2)
  const nics = ['52:54:00:00:00:0a', '52:54:00:00:00:0b'].map(
    (mac) => ({ mac, role: 'tenant', isRoot: false }) as const,
  )
  for (const example of examples) t.doesNotThrow(() => parseNetwork(example, nics))
  t.end()
})

void t.test('the networks that seeds are tested with are sound', (t) => {
  t.doesNotThrow(() => checkNetwork(DHCP_NETWORK))
  t.doesNotThrow(() => checkNetwork(STATIC_NETWORK))
  t.end()
})

/** Refused as the operator's fault, or a model that every document can be written from. */
function isJudged(document: unknown): boolean {
  try {
    const model = parseNetwork(document, NICS)
    for (const version of [1, 2] as const) renderNetworkConfig(model, version)
    for (const flag of [false, true]) renderNetworkData(model, { bondAlways: flag, windows: !flag })
    return true
  } catch (err) {
    return err instanceof DaemonError && err.code === 'INVALID_INPUT' && /^network[.:]/.test(err.message)
  }
}

void t.test('any JSON is refused with its field or becomes a network', (t) => {
  fc.assert(fc.property(fc.jsonValue(), isJudged))
  t.end()
})

void t.test('any document of nearly right shape is refused with its field or becomes documents', (t) => {
  const odd = fc.constantFrom<unknown>(
    null,
    -1,
    0.5,
    '',
    '\u0000',
    [],
    {},
    '__proto__',
    '198.18.0.10',
    'fe80::1',
    7,
  )
  const id = fc.constantFrom('nic0', 'nic1', 'nic2', 'bond0', 'vlan7')
  const addressing = fc.oneof(
    fc.constantFrom<unknown>(
      { kind: 'none' },
      DHCP,
      { kind: 'slaac' },
      ...Object.values(HOME),
      ...Object.values(ipv6('2001:db8::1')),
    ),
    odd,
  )
  const route = fc.record({
    destination: fc.constantFrom<unknown>('0.0.0.0/0', '::/0', '198.18.5.0/24', 5),
    via: fc.constantFrom<unknown>('198.18.0.1', 'fe80::1', null),
  })
  const link = fc.record(
    {
      kind: fc.constantFrom('nic', 'bond', 'vlan'),
      id,
      mac: fc.constantFrom<unknown>(...MAC, 'x'),
      members: fc.array(fc.oneof({ weight: 9, arbitrary: id }, odd), { maxLength: 3 }),
      mode: fc.constantFrom<unknown>('802.3ad', 'active-backup', 4),
      parent: id,
      vlan_id: fc.oneof(fc.integer({ min: 0, max: 9 }), odd),
      mtu: fc.oneof(fc.integer({ min: 500, max: 9300 }), odd),
      ipv4: addressing,
      ipv6: addressing,
      routes: fc.array(route, { maxLength: 2 }),
    },
    { requiredKeys: ['kind', 'id'] },
  )
  // Members of another kind alone would refuse nearly all.
  const OF_KIND: Readonly<Record<string, readonly string[]>> = {
    nic: ['mac'],
    bond: ['mac', 'members', 'mode'],
    vlan: ['mac', 'parent', 'vlan_id'],
  }
  const fitting = link.map((one) => {
    const names = ['kind', 'id', 'mtu', 'ipv4', 'ipv6', 'routes', ...(OF_KIND[one.kind] ?? [])]
    return Object.fromEntries(Object.entries(one).filter(([name]) => names.includes(name)))
  })
  const document = fc.record({
    links: fc.array(fc.oneof({ weight: 9, arbitrary: fitting }, odd), { maxLength: 4 }),
  })
  fc.assert(fc.property(document, isJudged), { numRuns: 3000 })
  t.end()
})

import fc from 'fast-check'
import t from 'tap'
import { DaemonError } from '../../../src/errors.js'
import { renderNetworkConfig } from '../../../src/firstboot/network/network-config.js'
import { renderNetworkData } from '../../../src/firstboot/network/network-data.js'
import { checkNetwork, maskOf } from '../../../src/firstboot/network/check-network.js'
import type { NetworkModel, NicLink } from '../../../src/firstboot/network/network.js'
import { DHCP_NETWORK, STATIC_NETWORK } from '../seed/sample-seed.js'

function nic(change: Partial<NicLink>): NicLink {
  return {
    kind: 'nic',
    id: 'nic0',
    mac: '52:54:00:00:00:01',
    isRoot: false,
    ipv4: { kind: 'dhcp' },
    ipv6: { kind: 'none' },
    routes: [],
    ...change,
  }
}

function fixed(address: string, prefixLength: number, gateway?: string): Partial<NicLink> {
  return { ipv4: { kind: 'static', address, prefixLength, ...(gateway === undefined ? {} : { gateway }) } }
}

const other = { id: 'nic1', mac: '52:54:00:00:00:02' }
const two = (a: Partial<NicLink>, b: Partial<NicLink>): Partial<NetworkModel> => ({
  links: [nic(a), nic({ ...other, ...b })],
})
const one = (change: Partial<NicLink>): Partial<NetworkModel> => ({ links: [nic(change)] })

const REFUSED: readonly [field: string, what: string, change: Partial<NetworkModel>][] = [
  ['links', 'is empty', { links: [] }],
  ['links[0].mac', 'is no MAC', one({ mac: '52:54:00:00:00' })],
  ['links[0].mac', 'has a newline', one({ mac: '52:54:00:00:00:01\n' })],
  ['links[0].mac', 'is a group address', one({ mac: '01:00:5e:00:00:01' })],
  ['links[0].mac', 'is all zeros', one({ mac: '00:00:00:00:00:00' })],
  ['links[1].mac', 'comes twice in another spelling', two({}, { mac: '52-54-00-00-00-01' })],
  ['links[1].isRoot', 'is set twice', two({ isRoot: true }, { isRoot: true })],
  ['links[0].mtu', 'is too small', one({ mtu: 575 })],
  ['links[0].mtu', 'is too large', one({ mtu: 9217 })],
  ['links[0].mtu', 'is no integer', one({ mtu: 1500.5 })],
  ['links[0].mtu', 'is not a number', one({ mtu: NaN })],
  ['links[0].ipv4.prefixLength', 'is 0', one(fixed('198.18.0.10', 0))],
  ['links[0].ipv4.prefixLength', 'is 33', one(fixed('198.18.0.10', 33))],
  ['links[0].ipv4.address', 'is no address', one(fixed('198.18.0.010', 24))],
  ['links[0].ipv4.address', 'is multicast', one(fixed('224.0.0.1', 24))],
  ['links[0].ipv4.address', 'is loopback', one(fixed('127.0.0.1', 8))],
  ['links[0].ipv4.address', 'is the network', one(fixed('198.18.0.0', 24))],
  ['links[0].ipv4.address', 'is the broadcast', one(fixed('198.18.0.255', 24))],
  ['links[0].ipv4.gateway', 'is outside the subnet', one(fixed('198.18.0.10', 24, '198.18.1.1'))],
  ['links[0].ipv4.gateway', 'is the address itself', one(fixed('198.18.0.10', 24, '198.18.0.10'))],
  ['links[0].ipv4.gateway', 'is the broadcast', one(fixed('198.18.0.10', 24, '198.18.0.255'))],
  [
    'links[1].ipv4.gateway',
    'is a second default route',
    two(fixed('198.18.0.10', 24, '198.18.0.1'), fixed('198.18.1.10', 24, '198.18.1.1')),
  ],
  ['dns[1]', 'is no address', { dns: ['198.18.0.53', 'ns.example'] }],
  ['dns', 'has nine', { dns: Array.from({ length: 9 }, () => '198.18.0.53') }],
]

for (const [field, what, change] of REFUSED) {
  void t.test(`a network is refused when ${field} ${what}`, (t) => {
    try {
      checkNetwork({ ...DHCP_NETWORK, ...change })
      t.fail('was accepted')
    } catch (err) {
      t.type(err, DaemonError)
      t.ok(err instanceof Error && err.message.startsWith(`network.${field}: `), String(err))
    }
    t.end()
  })
}

void t.test('ordinary networks are accepted, a /31 and a /32 among them', (t) => {
  checkNetwork(DHCP_NETWORK)
  checkNetwork(STATIC_NETWORK)
  checkNetwork({ links: [nic(fixed('198.18.0.0', 31, '198.18.0.1'))], dns: [], search: [] })
  checkNetwork({ links: [nic(fixed('198.18.0.7', 32))], dns: [], search: [] })
  t.end()
})

void t.test('no document ever renames a NIC', (t) => {
  for (const network of [DHCP_NETWORK, STATIC_NETWORK]) {
    t.notMatch(JSON.stringify(renderNetworkConfig(network)), 'set-name')
    for (const link of renderNetworkData(network).links) t.notOk('name' in link)
  }
  t.end()
})

void t.test('only the root NIC is critical, and only the others are optional', (t) => {
  t.match(renderNetworkConfig(STATIC_NETWORK), {
    ethernets: { nic0: { critical: true, optional: false }, nic1: { critical: undefined, optional: true } },
  })
  t.end()
})

void t.test('a MAC is written in lower case with colons', (t) => {
  t.match(renderNetworkConfig(STATIC_NETWORK), {
    ethernets: { nic1: { match: { macaddress: '52:54:00:ab:cd:ef' } } },
  })
  t.equal(renderNetworkData(STATIC_NETWORK).links[1]?.['ethernet_mac_address'], '52:54:00:ab:cd:ef')
  t.end()
})

void t.test('a mask has as many leading ones as its prefix is long', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 32 }), (prefix) => {
      return maskOf(prefix).toString(2).padStart(32, '0') === '1'.repeat(prefix) + '0'.repeat(32 - prefix)
    }),
  )
  t.end()
})

import t from 'tap'
import {
  networkFindings,
  type BootInProgress,
  type NetworkFacts,
} from '../../../src/control/doctor/network-findings.js'

const NOW = 10_000_000
const SUBNET: NetworkFacts['subnets'][number] = {
  ...{ cidr: '198.18.0.0/24', mode: 'authoritative', address: '198.18.0.1', isRelayed: false },
  probe: { isAsked: true, servers: [] },
}
const BRIDGE = { name: 'br0', state: 'up', mac: '02:00:00:00:00:01', addresses: ['198.18.0.1/24'] }
const GOOD: NetworkFacts = {
  subnets: [SUBNET],
  interfaces: [BRIDGE],
  routes: [{ interface: 'br0', destination: 0xc6120000, mask: 0xffffff00, gateway: undefined, metric: 0 }],
  sockets: [{ address: '198.18.0.1', port: 67, queuedBytes: 0, drops: 0 }],
  dhcpPort: 67,
  metadataAddress: undefined,
  relays: [],
  boots: [],
}
const OTHER = { serverAddress: '198.18.0.2', offered: '198.18.0.77', bootFile: undefined }
const BOOT: BootInProgress = {
  ...{ machine: 'm1', poweredOnMs: undefined, heardMs: undefined, secs: 0, proxiedMs: undefined },
  followedMs: undefined,
}

function boot(change: Partial<BootInProgress>): Partial<NetworkFacts> {
  return { boots: [{ ...BOOT, ...change }] }
}

function subnet(change: Partial<typeof SUBNET>): Partial<NetworkFacts> {
  return { subnets: [{ ...SUBNET, ...change }] }
}

const SILENT: readonly (readonly [string, Partial<NetworkFacts>])[] = [
  ['a network where all is well', {}],
  [
    'another server where it is to give the addresses',
    subnet({ mode: 'proxy', probe: { isAsked: true, servers: [OTHER] } }),
  ],
  ['a segment that was not asked', subnet({ probe: undefined })],
  [
    'a subnet with DHCP off that has nothing',
    { ...subnet({ mode: 'off', probe: undefined }), interfaces: [], sockets: [] },
  ],
  [
    'a relayed subnet with a route',
    {
      ...subnet({ isRelayed: true }),
      interfaces: [],
      relays: [{ address: '198.18.0.9', cidr: '198.18.0.0/24' }],
    },
  ],
  [
    'a metadata address that the host has',
    {
      metadataAddress: '169.254.169.254',
      interfaces: [BRIDGE, { ...BRIDGE, name: 'lo', addresses: ['127.0.0.1/8', '169.254.169.254/32'] }],
    },
  ],
  ['a machine that was powered on just now', boot({ poweredOnMs: NOW - 29_000 })],
  ['a machine that has been off the network for an hour', boot({ poweredOnMs: NOW - 3_600_000 })],
  ['a machine that was heard since', boot({ poweredOnMs: NOW - 60_000, heardMs: NOW - 50_000 })],
  ['a machine that was told by proxy and came', boot({ proxiedMs: NOW - 60_000, followedMs: NOW - 59_000 })],
  ['a bridge without forward delay', { interfaces: [{ ...BRIDGE, forwardDelaySeconds: 0 }] }],
]

const WRONG: readonly (readonly [string, Partial<NetworkFacts>, string, RegExp])[] = [
  ['our address is on no interface', { interfaces: [] }, '198.18.0.0/24', /no interface .* 198\.18\.0\.1/],
  ['a link is down', { interfaces: [{ ...BRIDGE, state: 'down' }] }, 'br0', /link is down/],
  [
    'a bridge keeps new links waiting',
    { interfaces: [{ ...BRIDGE, forwardDelaySeconds: 15 }] },
    'br0',
    /after 15 s/,
  ],
  [
    'no socket has the port',
    { sockets: [{ address: '0.0.0.0', port: 69, queuedBytes: 0, drops: 0 }] },
    '198.18.0.0/24',
    /port 67/,
  ],
  [
    'datagrams were lost',
    { sockets: [{ address: '0.0.0.0', port: 67, queuedBytes: 0, drops: 3 }] },
    'udp 0.0.0.0:67',
    /^3 datagrams/,
  ],
  [
    'the metadata address is on no interface',
    { metadataAddress: '169.254.169.254' },
    '169.254.169.254',
    /ip address add 169\.254\.169\.254\/32 dev lo/,
  ],
  [
    'another server gives addresses',
    subnet({ probe: { isAsked: true, servers: [OTHER] } }),
    '198.18.0.0/24',
    /^198\.18\.0\.2 .* 198\.18\.0\.77/,
  ],
  [
    'another server boots machines',
    subnet({ probe: { isAsked: true, servers: [{ ...OTHER, offered: undefined, bootFile: 'pxe.0' }] } }),
    '198.18.0.0/24',
    /boot pxe\.0/,
  ],
  [
    'others could not be asked',
    subnet({ probe: { isAsked: false, reason: 'bind EACCES' } }),
    '198.18.0.0/24',
    /not known: bind EACCES/,
  ],
  [
    'nobody gives addresses beside a proxy',
    subnet({ mode: 'proxy' }),
    '198.18.0.0/24',
    /no DHCP server gives addresses/,
  ],
  [
    'a relayed subnet has no route',
    { ...subnet({ isRelayed: true }), routes: [] },
    '198.18.0.0/24',
    /no route/,
  ],
  [
    'a relay has no route back',
    { relays: [{ address: '198.19.0.1', cidr: '198.18.0.0/24' }] },
    '198.19.0.1',
    /no route/,
  ],
  [
    'a relay asks for an unknown subnet',
    { relays: [{ address: '198.19.0.1', cidr: undefined }] },
    '198.19.0.1',
    /no \[\[subnet\]\]/,
  ],
  ['a machine is on and silent', boot({ poweredOnMs: NOW - 45_000 }), 'm1', /^powered on 45 s ago.*portfast/],
  [
    'a machine is on again and silent',
    boot({ poweredOnMs: NOW - 45_000, heardMs: NOW - 90_000 }),
    'm1',
    /^powered on 45 s ago/,
  ],
  [
    'a first packet came late',
    boot({ heardMs: NOW - 1000, secs: 28 }),
    'm1',
    /after it had asked for 28 s.*portfast/,
  ],
  [
    'a firmware did not come back to 4011',
    boot({ proxiedMs: NOW - 20_000 }),
    'm1',
    /did not come back, neither to port 4011/,
  ],
]

for (const [name, change] of SILENT) {
  void t.test(`nothing is said of ${name}`, (t) => {
    t.strictSame(networkFindings({ ...GOOD, ...change }, NOW), [])
    t.end()
  })
}

for (const [name, change, about, message] of WRONG) {
  void t.test(`it is said once that ${name}`, (t) => {
    const findings = networkFindings({ ...GOOD, ...change }, NOW)
    t.equal(findings.length, 1)
    t.equal(findings[0]?.about, about)
    t.match(findings[0]?.message, message)
    t.end()
  })
}

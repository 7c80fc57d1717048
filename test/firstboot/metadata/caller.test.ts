import fc from 'fast-check'
import t from 'tap'
import { decideCaller, type CallerFacts, type KnownServer } from '../../../src/firstboot/metadata/caller.js'

const NOW = 1000
const [A, B, STRANGER] = ['52:54:00:00:00:0a', '52:54:00:00:00:0b', '52:54:00:00:00:99']
const SECOND_A = '52:54:00:00:01:0a'
const ALICE: KnownServer = { macs: [A, SECOND_A], ownAddresses: [] }
const BOB: KnownServer = { macs: [B], ownAddresses: ['198.18.0.20'] }
const SERVERS = new Map([
  [A, ALICE],
  [SECOND_A, ALICE],
  [B, BOB],
])

const ALICE_ASKS: CallerFacts = {
  address: '198.18.0.10',
  way: 'segment',
  neighbourMac: A,
  lease: { mac: A, expiresMs: NOW + 1 },
  fixedMac: undefined,
}
const BOB_ASKS: CallerFacts = {
  address: '198.18.0.20',
  way: 'segment',
  neighbourMac: B,
  lease: undefined,
  fixedMac: B,
}

function decide(facts: CallerFacts): string | KnownServer {
  const caller = decideCaller(facts, (mac) => SERVERS.get(mac), NOW)
  return caller.server ?? caller.refusal
}

const CASES: readonly [string, CallerFacts, string | KnownServer][] = [
  ['lease, neighbour and NIC agree', ALICE_ASKS, ALICE],
  ['a static server needs no lease', BOB_ASKS, BOB],
  [
    'what a static server’s firmware leased may run out',
    { ...BOB_ASKS, lease: { mac: B, expiresMs: NOW } },
    BOB,
  ],
  ['nobody is served from outside', { ...ALICE_ASKS, way: 'none' }, 'it is in no subnet that is served'],
  [
    'an address that no link knows is nobody’s',
    { ...ALICE_ASKS, neighbourMac: undefined },
    'no neighbour of the kernel has this address',
  ],
  [
    'another MAC with the address of a lease is refused',
    { ...ALICE_ASKS, neighbourMac: B },
    `the address is leased to ${A}`,
  ],
  [
    'a server with an address that nobody leased is refused',
    { ...ALICE_ASKS, address: '198.18.0.30', lease: undefined },
    'no lease is for this address',
  ],
  [
    'an address that was leased to another server is refused',
    { ...BOB_ASKS, neighbourMac: A },
    'no lease is for this address',
  ],
  ['a lease ends', { ...ALICE_ASKS, lease: { mac: A, expiresMs: NOW } }, 'its lease is over'],
  ['a MAC without a server is refused', { ...ALICE_ASKS, neighbourMac: STRANGER }, 'no server has this NIC'],
  [
    'another NIC of the same machine has no lease of the first',
    { ...ALICE_ASKS, neighbourMac: SECOND_A },
    `the address is leased to ${A}`,
  ],
  [
    'an address of its own that was leased to somebody else is refused',
    { ...BOB_ASKS, lease: { mac: A, expiresMs: NOW + 1 } },
    `the address is leased to ${A}`,
  ],
  ['behind a router the lease decides', { ...ALICE_ASKS, way: 'router', neighbourMac: undefined }, ALICE],
  [
    'behind a router a fixed address decides for a static server',
    { ...BOB_ASKS, way: 'router', neighbourMac: undefined },
    BOB,
  ],
  [
    'behind a router a fixed address is no lease',
    { ...ALICE_ASKS, way: 'router', lease: undefined, fixedMac: A },
    'no lease is for this address',
  ],
  [
    'behind a router an ended lease is none',
    { ...ALICE_ASKS, way: 'router', lease: { mac: A, expiresMs: NOW } },
    'its lease is over',
  ],
]

for (const [name, facts, expected] of CASES) {
  void t.test(name, (t) => {
    t.same(decide(facts), expected)
    t.end()
  })
}

void t.test(
  'a bond that answers by its second NIC keeps the address that its firmware leased by the first',
  (t) => {
    const bond: KnownServer = { ...ALICE, ownAddresses: [ALICE_ASKS.address] }
    const caller = decideCaller({ ...ALICE_ASKS, neighbourMac: SECOND_A }, () => bond, NOW)
    t.equal(caller.server, bond)
    t.end()
  },
)

const mac = fc.constantFrom(A, B, SECOND_A, STRANGER)
const anyFacts = fc.record({
  address: fc.constantFrom('198.18.0.10', '198.18.0.20', '198.18.0.30'),
  way: fc.constantFrom<CallerFacts['way']>('segment', 'router', 'none'),
  neighbourMac: fc.option(mac, { nil: undefined }),
  lease: fc.option(fc.record({ mac, expiresMs: fc.constantFrom(NOW - 1, NOW + 1) }), { nil: undefined }),
  fixedMac: fc.option(mac, { nil: undefined }),
})

void t.test('whoever is served on a segment has the MAC that the answer goes to', (t) => {
  fc.assert(
    fc.property(anyFacts, (facts) => {
      const { server } = decideCaller(facts, (one) => SERVERS.get(one), NOW)
      return server === undefined || facts.way !== 'segment' || server.macs.includes(facts.neighbourMac ?? '')
    }),
  )
  t.end()
})

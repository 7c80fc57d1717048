// RFC 2131 §4.3.2, table 4, and the ways a message can come in: every state of a client by every way.
import t from 'tap'
import { encodePacket, decodePacket, FLAG_BROADCAST, MESSAGE } from '../../../src/netboot/dhcp/codec.js'
import type { DhcpPacket } from '../../../src/netboot/dhcp/codec.js'
import { DhcpSubnets, ServedSubnet } from '../../../src/netboot/dhcp/dhcp-subnets.js'
import type { DhcpMachine } from '../../../src/netboot/dhcp/dhcp-subnets.js'
import { decideDhcp } from '../../../src/netboot/dhcp/engine.js'
import { encapsulate } from '../../../src/netboot/dhcp/options.js'
import type { Options } from '../../../src/netboot/dhcp/options.js'
import { formatIpv4 } from '../../../src/wire/ipv4.js'
import { dhcpRequest, ip4 } from '../../fakes/dhcp-request.js'

const NOW = 1_000_000
const SERVER = ip4('198.18.0.1')
const WRONG = ip4('198.18.0.77')
const RELAY_INFO = encapsulate([
  [1, [7, 7]],
  [2, [9]],
])

function subnet(cidr: string, isRelayed: boolean): ServedSubnet {
  return new ServedSubnet(
    { cidr, isRelayed, mode: 'authoritative', address: '198.18.0.1', leaseSeconds: 3600 },
    () => undefined,
    { leases: { all: () => [] }, unknownMachines: 'ignore' },
  )
}

const near = subnet('198.18.0.0/24', false)
const far = subnet('198.18.2.0/24', true)
const subnets = new DhcpSubnets([near, far])

/** A way in: what the relay adds, and the address that the machine has there. */
interface Way {
  readonly header: Partial<DhcpPacket>
  readonly options: Options
  readonly ip: string
}

const WAYS: Record<string, Way> = {
  'on the link': { header: {}, options: {}, ip: '198.18.0.50' },
  'on the link, through a switch that adds option 82': {
    header: {},
    options: { relayInfo: RELAY_INFO },
    ip: '198.18.0.50',
  },
  'through a relay': { header: { giaddr: ip4('198.18.2.2') }, options: {}, ip: '198.18.2.50' },
  'through a relay with option 82': {
    header: { giaddr: ip4('198.18.2.2') },
    options: { relayInfo: RELAY_INFO },
    ip: '198.18.2.50',
  },
  'through a relay elsewhere that selects the link': {
    header: { giaddr: ip4('10.9.9.9') },
    options: { relayInfo: encapsulate([[5, [198, 18, 2, 0]]]) },
    ip: '198.18.2.50',
  },
}

/** `unicast` is what a client without a relay in between is answered to. */
type Expected = 'OFFER' | 'ACK' | 'NAK' | 'ACK to the client itself' | 'declined' | 'released'

const { DISCOVER, REQUEST, DECLINE, RELEASE, INFORM } = MESSAGE
const STATES: Record<string, (ip: number) => [number, Options, Partial<DhcpPacket>, Expected]> = {
  'INIT (DISCOVER)': () => [DISCOVER, {}, {}, 'OFFER'],
  'INIT (DISCOVER) that wants an old address': () => [DISCOVER, { requestedIp: WRONG }, {}, 'OFFER'],
  SELECTING: (ip) => [REQUEST, { serverId: SERVER, requestedIp: ip }, {}, 'ACK'],
  'SELECTING what was not offered': () => [REQUEST, { serverId: SERVER, requestedIp: WRONG }, {}, 'NAK'],
  'INIT-REBOOT': (ip) => [REQUEST, { requestedIp: ip }, {}, 'ACK'],
  'INIT-REBOOT on the wrong network': () => [REQUEST, { requestedIp: ip4('10.1.1.1') }, {}, 'NAK'],
  'RENEWING or REBINDING': (ip) => [REQUEST, {}, { ciaddr: ip }, 'ACK to the client itself'],
  'REBINDING a wrong address': () => [REQUEST, {}, { ciaddr: WRONG }, 'NAK'],
  INFORM: (ip) => [INFORM, {}, { ciaddr: ip }, 'ACK to the client itself'],
  DECLINE: (ip) => [DECLINE, { serverId: SERVER, requestedIp: ip }, {}, 'declined'],
  RELEASE: (ip) => [RELEASE, { serverId: SERVER }, { ciaddr: ip }, 'released'],
}

function destination(state: string, ip: string, giaddr: number, expected: Expected): string {
  if (state === 'INFORM') return `${ip} client` // RFC 2131 §4.3.5: to ciaddr, relay or not
  if (giaddr !== 0) return `${formatIpv4(giaddr)} relay`
  return expected === 'ACK to the client itself' ? `${ip} client` : 'broadcast client'
}

const TYPES = new Map<number, string>([
  [MESSAGE.OFFER, 'OFFER'],
  [MESSAGE.ACK, 'ACK'],
  [MESSAGE.NAK, 'NAK'],
])

for (const [wayName, way] of Object.entries(WAYS)) {
  for (const [state, build] of Object.entries(STATES)) {
    const ip = ip4(way.ip)
    const [type, options, header, expected] = build(ip)
    void t.test(`${state}, ${wayName}: ${expected}`, (t) => {
      const request = dhcpRequest(type, { ...options, ...way.options }, { ...header, ...way.header, hops: 1 })
      const machine: DhcpMachine = { machineId: '1', name: 'node1', ip: way.ip }
      const found = subnets.find(request, near)
      t.equal(found, way.ip.startsWith('198.18.2.') ? far : near)
      if (found === undefined) throw new Error('no subnet')
      const record = found.record('52:54:00:00:00:01', machine, request, NOW)
      const decision = decideDhcp(request, record, found.policy, NOW)
      if (decision.kind === 'silence') {
        t.equal(decision.reason, expected)
        t.end()
        return
      }
      const { to } = decision
      const giaddr = way.header.giaddr ?? 0
      const where = typeof to.ip === 'number' ? formatIpv4(to.ip) : to.ip
      t.equal(`${where} ${String(to.port)}`, destination(state, way.ip, giaddr, expected))
      const bytes = encodePacket(decision.packet, decision.budgetBytes)
      const packet = decodePacket(bytes)
      t.equal(TYPES.get(packet.options.messageType ?? 0), expected.slice(0, expected.search(/ |$/)))
      t.equal(packet.yiaddr, expected === 'NAK' || state === 'INFORM' ? 0 : ip)
      t.match(packet, { hops: 0, giaddr, xid: request.xid, options: { serverId: SERVER } })
      t.equal(packet.flags, expected === 'NAK' && giaddr !== 0 ? FLAG_BROADCAST : 0)
      t.equal(packet.options.leaseSeconds === undefined, packet.yiaddr === 0)
      t.same(packet.options.relayInfo, way.options.relayInfo)
      if (way.options.relayInfo !== undefined) {
        const echo = Buffer.from([82, way.options.relayInfo.length, ...way.options.relayInfo, 255])
        t.ok(bytes.indexOf(echo) > 0, 'option 82 is echoed byte for byte, and last')
      }
      t.end()
    })
  }
}

void t.test('RENEWING past the relay, which no relay tells of: ACK to the client itself', (t) => {
  const ip = ip4('198.18.2.50')
  const request = dhcpRequest(REQUEST, {}, { ciaddr: ip })
  const found = subnets.find(request, near)
  const record = found?.record(
    '52:54:00:00:00:01',
    { machineId: '1', name: 'n', ip: '198.18.2.50' },
    request,
    NOW,
  )
  t.equal(found, far)
  const decision = decideDhcp(request, record, far.policy, NOW)
  t.match(decision, { kind: 'reply', to: { ip, port: 'client' }, packet: { yiaddr: ip } })
  t.end()
})

void t.test(
  'a relay that wants to be taken for the server is, in the reply and in what follows (RFC 5107)',
  (t) => {
    const relayInfo = encapsulate([[11, [198, 18, 2, 2]]])
    const header = { giaddr: ip4('198.18.2.2') }
    const ip = ip4('198.18.2.50')
    const record = { ip, isHeld: true }
    const offer = decideDhcp(dhcpRequest(DISCOVER, { relayInfo }, header), record, far.policy, NOW)
    t.match(offer, { packet: { siaddr: SERVER, options: { serverId: ip4('198.18.2.2') } } })
    const take = { relayInfo, serverId: ip4('198.18.2.2'), requestedIp: ip }
    const ack = decideDhcp(dhcpRequest(REQUEST, take, header), record, far.policy, NOW)
    t.match(ack, { kind: 'reply', packet: { yiaddr: ip } })
    const other = decideDhcp(dhcpRequest(REQUEST, { ...take, serverId: 7 }, header), record, far.policy, NOW)
    t.match(other, { kind: 'silence', reason: 'other-server' })
    t.end()
  },
)

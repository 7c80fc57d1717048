import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import type { BootAnswer, BootClient } from '../../../src/netboot/boot-client.js'
import {
  decodePacket,
  decodeRequest,
  encodePacket,
  FLAG_BROADCAST,
  MESSAGE,
} from '../../../src/netboot/dhcp/codec.js'
import type { DhcpPacket } from '../../../src/netboot/dhcp/codec.js'
import { decideDhcp, OFFER_MS } from '../../../src/netboot/dhcp/engine.js'
import type { ClientRecord, DhcpPolicy, DhcpReply, Silence } from '../../../src/netboot/dhcp/decision.js'
import type { Options } from '../../../src/netboot/dhcp/options.js'
import { isInSubnet, parseSubnet } from '../../../src/wire/ipv4.js'
import { dhcpRequest, ip4 } from '../../fakes/dhcp-request.js'
import { readPcap } from '../../fakes/pcap.js'

const FIXTURES = new URL('../../../fixtures/dhcp/', import.meta.url)
const SERVER = ip4('198.18.0.1')
const OTHER = ip4('198.18.0.9')
const MINE = ip4('198.18.0.50')
const NOT_MINE = ip4('198.18.0.51')
const ELSEWHERE = ip4('10.0.0.5')
const RELAY = ip4('198.18.0.2')
const NOW = 1_000_000

const HELD: ClientRecord = { ip: MINE, isHeld: true }
const FIXED: ClientRecord = { ip: MINE, isHeld: true, isFixed: true }
const NEW: ClientRecord = { ip: MINE, isHeld: false }
const FULL: ClientRecord = { ip: undefined, isHeld: false }
const ASTRAY: ClientRecord = { ip: ELSEWHERE, isHeld: true }

function policy(changes: Partial<DhcpPolicy> = {}): DhcpPolicy {
  const subnet = parseSubnet('198.18.0.0/24')
  if (subnet === undefined) throw new Error('subnet')
  return {
    ...{ serverAddress: SERVER, subnet, router: ip4('198.18.0.254'), dnsServers: [ip4('198.18.0.53')] },
    ...{ leaseSeconds: 3600, mode: 'authoritative', bootAnswer: () => undefined },
    ...changes,
  }
}

function reply(decision: DhcpReply | Silence): DhcpReply {
  if (decision.kind === 'silence') throw new Error(`silent: ${decision.reason}`)
  return decision
}

const NAMES = new Map<number | undefined, string>([
  [MESSAGE.OFFER, 'OFFER'],
  [MESSAGE.ACK, 'ACK'],
  [MESSAGE.NAK, 'NAK'],
])

function summary(decision: DhcpReply | Silence): string {
  if (decision.kind === 'silence') return decision.reason
  return NAMES.get(decision.packet.options.messageType) ?? 'BOOTP'
}

interface Case {
  readonly name: string
  readonly type: number | undefined
  readonly options?: Options
  readonly header?: Partial<DhcpPacket>
  readonly record: ClientRecord | undefined
  readonly gives: string
}

const { DISCOVER, REQUEST, DECLINE, RELEASE, INFORM } = MESSAGE
const CASES: Case[] = [
  {
    name: 'a new client is offered an address (RFC 2131 §4.3.1)',
    type: DISCOVER,
    record: NEW,
    gives: 'OFFER',
  },
  { name: 'a known client is offered its address (§4.3.1)', type: DISCOVER, record: HELD, gives: 'OFFER' },
  { name: 'a full pool is silent', type: DISCOVER, record: FULL, gives: 'pool-full' },
  { name: 'a client of nobody is ignored', type: DISCOVER, record: undefined, gives: 'unknown-machine' },
  {
    name: 'a fixed address of another subnet is not offered',
    type: DISCOVER,
    record: ASTRAY,
    gives: 'address-outside-subnet',
  },
  {
    name: 'SELECTING our offer is acknowledged (§4.3.2)',
    type: REQUEST,
    options: { serverId: SERVER, requestedIp: MINE },
    record: HELD,
    gives: 'ACK',
  },
  {
    name: 'SELECTING after we lost the offer is acknowledged when the address is free',
    type: REQUEST,
    options: { serverId: SERVER, requestedIp: MINE },
    record: NEW,
    gives: 'ACK',
  },
  {
    name: 'SELECTING another server is left to that server (§4.3.2)',
    type: REQUEST,
    options: { serverId: OTHER, requestedIp: MINE },
    record: HELD,
    gives: 'other-server',
  },
  {
    name: 'SELECTING an address that is not the client’s is refused',
    type: REQUEST,
    options: { serverId: SERVER, requestedIp: NOT_MINE },
    record: HELD,
    gives: 'NAK',
  },
  {
    name: 'INIT-REBOOT with the right address is acknowledged (§4.3.2)',
    type: REQUEST,
    options: { requestedIp: MINE },
    record: HELD,
    gives: 'ACK',
  },
  {
    name: 'INIT-REBOOT with a wrong address is refused when we have a record',
    type: REQUEST,
    options: { requestedIp: NOT_MINE },
    record: HELD,
    gives: 'NAK',
  },
  {
    name: 'INIT-REBOOT on the wrong network is refused',
    type: REQUEST,
    options: { requestedIp: ELSEWHERE },
    record: NEW,
    gives: 'NAK',
  },
  {
    name: 'INIT-REBOOT of a free address is confirmed by an authoritative server',
    type: REQUEST,
    options: { requestedIp: MINE },
    record: NEW,
    gives: 'ACK',
  },
  {
    name: 'INIT-REBOOT of a client of nobody is never refused',
    type: REQUEST,
    options: { requestedIp: ELSEWHERE },
    record: undefined,
    gives: 'unknown-machine',
  },
  {
    name: 'RENEWING and REBINDING are acknowledged (§4.3.2)',
    type: REQUEST,
    header: { ciaddr: MINE },
    record: HELD,
    gives: 'ACK',
  },
  {
    name: 'RENEWING a foreign address is refused',
    type: REQUEST,
    header: { ciaddr: NOT_MINE },
    record: HELD,
    gives: 'NAK',
  },
  {
    name: 'RENEWING with option 50 too, as dhcping does, counts ciaddr',
    type: REQUEST,
    options: { requestedIp: NOT_MINE },
    header: { ciaddr: MINE },
    record: HELD,
    gives: 'ACK',
  },
  {
    name: 'a REQUEST that names no address is dropped when none was offered',
    type: REQUEST,
    options: { serverId: SERVER },
    record: NEW,
    gives: 'no-address',
  },
  {
    name: 'a REQUEST that names no address means the one offered (npm dhcp)',
    type: REQUEST,
    options: { serverId: SERVER },
    record: HELD,
    gives: 'ACK',
  },
  {
    name: 'a REQUEST to a full pool is refused',
    type: REQUEST,
    options: { serverId: SERVER, requestedIp: MINE },
    record: FULL,
    gives: 'NAK',
  },
  {
    name: 'DECLINE of the client’s address is taken (§4.3.3)',
    type: DECLINE,
    options: { serverId: SERVER, requestedIp: MINE },
    record: HELD,
    gives: 'declined',
  },
  {
    name: 'DECLINE of somebody else’s address does nothing',
    type: DECLINE,
    options: { requestedIp: NOT_MINE },
    record: HELD,
    gives: 'no-record',
  },
  {
    name: 'DECLINE to another server does nothing',
    type: DECLINE,
    options: { serverId: OTHER, requestedIp: MINE },
    record: HELD,
    gives: 'other-server',
  },
  {
    name: 'RELEASE ends the lease (§4.3.4)',
    type: RELEASE,
    header: { ciaddr: MINE },
    record: HELD,
    gives: 'released',
  },
  {
    name: 'RELEASE of somebody else’s address does nothing',
    type: RELEASE,
    header: { ciaddr: NOT_MINE },
    record: HELD,
    gives: 'no-record',
  },
  {
    name: 'RELEASE without a lease does nothing',
    type: RELEASE,
    header: { ciaddr: MINE },
    record: NEW,
    gives: 'no-record',
  },
  {
    name: 'RELEASE to another server does nothing',
    type: RELEASE,
    options: { serverId: OTHER },
    header: { ciaddr: MINE },
    record: HELD,
    gives: 'other-server',
  },
  {
    name: 'INFORM is told parameters (§4.3.5)',
    type: INFORM,
    header: { ciaddr: NOT_MINE },
    record: NEW,
    gives: 'ACK',
  },
  { name: 'INFORM from nowhere is dropped', type: INFORM, record: NEW, gives: 'no-address' },
  {
    name: 'INFORM cannot make us send outside the subnet',
    type: INFORM,
    header: { ciaddr: ELSEWHERE },
    record: NEW,
    gives: 'inform-from-elsewhere',
  },
  { name: 'BOOTP without a fixed address is not served', type: undefined, record: HELD, gives: 'bootp' },
  { name: 'BOOTP of a machine is answered (RFC 1534 §2)', type: undefined, record: FIXED, gives: 'BOOTP' },
  {
    name: 'BOOTP of a client of nobody is ignored',
    type: undefined,
    record: undefined,
    gives: 'unknown-machine',
  },
  {
    name: 'an InfiniBand client without a client id is nobody (RFC 4390)',
    type: DISCOVER,
    header: { chaddr: new Uint8Array(0), htype: 32 },
    record: HELD,
    gives: 'no-hardware-address',
  },
  {
    name: 'an InfiniBand client with a client id is served (RFC 4390)',
    type: DISCOVER,
    options: { clientId: Uint8Array.of(255, 1, 2, 3) },
    header: { chaddr: new Uint8Array(0), htype: 32 },
    record: HELD,
    gives: 'OFFER',
  },
  { name: 'a server’s message is not answered', type: MESSAGE.OFFER, record: HELD, gives: 'server-message' },
  {
    name: 'a group address is nobody’s hardware address',
    type: DISCOVER,
    header: { chaddr: Uint8Array.of(1, 0, 94, 0, 0, 1) },
    record: HELD,
    gives: 'no-hardware-address',
  },
]

for (const { name, type, options, header, record, gives } of CASES) {
  void t.test(name, (t) => {
    t.equal(summary(decideDhcp(dhcpRequest(type, options, header), record, policy(), NOW)), gives)
    t.end()
  })
}

void t.test('an OFFER has what clients need and reserves for 60 seconds', (t) => {
  const { packet, to, effect } = reply(decideDhcp(dhcpRequest(DISCOVER), NEW, policy(), NOW))
  t.equal(packet.yiaddr, MINE)
  t.equal(packet.siaddr, SERVER)
  t.match(packet.options, {
    ...{ leaseSeconds: 3600, renewalSeconds: 1800, rebindingSeconds: 3150, serverId: SERVER },
    ...{ subnetMask: 0xffffff00, router: [ip4('198.18.0.254')], dnsServers: [ip4('198.18.0.53')] },
  })
  t.same(to, { ip: 'broadcast', port: 'client' })
  t.same(effect, { kind: 'offer', ip: MINE, untilMs: NOW + OFFER_MS })
  t.end()
})

void t.test('an ACK binds the lease with its client id and is echoed by RFC 6842', (t) => {
  const clientId = Uint8Array.of(1, 2, 3)
  const request = dhcpRequest(REQUEST, { serverId: SERVER, requestedIp: MINE, clientId })
  const { packet, effect, bootReason } = reply(
    decideDhcp(request, { ...HELD, hostName: 'web1' }, policy(), NOW),
  )
  t.same(packet.options.clientId, clientId)
  t.equal(packet.options.hostName, 'web1')
  t.equal(bootReason, '')
  t.same(effect, {
    kind: 'bind',
    lease: { ip: '198.18.0.50', mac: '52:54:00:00:00:01', clientId: '010203', expiresMs: NOW + 3_600_000 },
  })
  t.end()
})

void t.test('a renewal is answered to the client itself and begins no boot', (t) => {
  const decision = reply(decideDhcp(dhcpRequest(REQUEST, {}, { ciaddr: MINE }), HELD, policy(), NOW))
  t.same(decision.to, { ip: MINE, port: 'client' })
  t.equal(decision.packet.ciaddr, MINE)
  t.notOk('bootReason' in decision)
  t.end()
})

void t.test(
  'a relayed request is answered to the relay, with hops 0, its flags and option 82 (RFC 3046 §2.1)',
  (t) => {
    const relayInfo = Uint8Array.of(1, 2, 7, 7)
    const request = dhcpRequest(DISCOVER, { relayInfo }, { giaddr: RELAY, hops: 3, flags: 0 })
    const { packet, to } = reply(decideDhcp(request, NEW, policy(), NOW))
    t.same(to, { ip: RELAY, port: 'relay' })
    t.match(packet, { hops: 0, giaddr: RELAY, flags: 0 })
    t.same(packet.options.relayInfo, relayInfo)
    t.end()
  },
)

void t.test('a NAK is broadcast, through a relay too (§4.3.2), and says only what it may', (t) => {
  const near = reply(decideDhcp(dhcpRequest(REQUEST, {}, { ciaddr: NOT_MINE }), HELD, policy(), NOW))
  t.same(near.to, { ip: 'broadcast', port: 'client' })
  const far = reply(
    decideDhcp(dhcpRequest(REQUEST, {}, { ciaddr: NOT_MINE, giaddr: RELAY }), HELD, policy(), NOW),
  )
  t.same(far.to, { ip: RELAY, port: 'relay' })
  t.equal(far.packet.flags, FLAG_BROADCAST)
  t.same(Object.keys(far.packet.options).sort(), ['message', 'messageType', 'serverId'])
  t.equal(far.packet.yiaddr, 0)
  t.end()
})

void t.test('an INFORM is answered without address and times (§4.3.5)', (t) => {
  const { packet, to, effect } = reply(
    decideDhcp(dhcpRequest(INFORM, {}, { ciaddr: MINE }), HELD, policy(), NOW),
  )
  t.same(to, { ip: MINE, port: 'client' })
  t.equal(packet.yiaddr, 0)
  t.equal(packet.options.leaseSeconds, undefined)
  t.equal(effect, undefined)
  t.end()
})

void t.test('declining, releasing and choosing another server say what becomes of the address', (t) => {
  const effectOf = (decision: DhcpReply | Silence): unknown => decision.effect
  const decline = dhcpRequest(DECLINE, { requestedIp: MINE })
  t.same(effectOf(decideDhcp(decline, HELD, policy(), NOW)), {
    kind: 'decline',
    ip: MINE,
    untilMs: NOW + 3_600_000,
  })
  const release = dhcpRequest(RELEASE, {}, { ciaddr: MINE })
  t.same(effectOf(decideDhcp(release, HELD, policy(), NOW)), { kind: 'release', ip: MINE })
  const other = dhcpRequest(REQUEST, { serverId: OTHER, requestedIp: MINE })
  t.same(effectOf(decideDhcp(other, HELD, policy(), NOW)), { kind: 'withdraw' })
  t.end()
})

function offerWith(boot: BootAnswer | undefined, options: Options): DhcpPacket {
  return reply(decideDhcp(dhcpRequest(DISCOVER, options), NEW, policy({ bootAnswer: () => boot }), NOW))
    .packet
}

void t.test('a boot answer fills siaddr, file, 66 and 67', (t) => {
  const packet = offerWith({ bootFile: 'undionly.kpxe', nextServer: '198.18.0.7', reason: 'bios' }, {})
  t.match(packet, { siaddr: ip4('198.18.0.7'), file: 'undionly.kpxe' })
  t.match(packet.options, { bootFile: 'undionly.kpxe', tftpServerName: '198.18.0.7' })
  t.end()
})

void t.test('without next server our own address is named', (t) => {
  t.equal(offerWith({ bootFile: 'x', reason: '' }, {}).options.tftpServerName, '198.18.0.1')
  t.end()
})

void t.test('a URL longer than the file field is in option 67 alone', (t) => {
  const bootFile = `http://198.18.0.1/${'x'.repeat(200)}`
  const packet = offerWith({ bootFile, reason: '' }, {})
  t.equal(packet.file, '')
  t.equal(packet.options.bootFile, bootFile)
  t.end()
})

void t.test('an HTTPClient is told so in option 60, a PXEClient with 43.6 as well', (t) => {
  t.equal(offerWith({ vendorClass: 'HTTPClient', reason: '' }, {}).options.vendorClass, 'HTTPClient')
  const pxe = offerWith({ vendorClass: 'PXEClient', reason: '' }, { clientUuid: new Uint8Array(17) })
  t.equal(pxe.options.vendorClass, 'PXEClient')
  t.same(pxe.options.vendorSpecific, Uint8Array.of(6, 1, 8))
  t.same(pxe.options.clientUuid, new Uint8Array(17))
  t.end()
})

void t.test('iPXE is spared its wait for a proxy (175.176), boot answer or not', (t) => {
  const ipxe = { userClass: Buffer.from('iPXE') }
  t.same(offerWith(undefined, ipxe).options.ipxe, Uint8Array.of(176, 1, 1))
  t.same(offerWith({ bootFile: 'x', reason: '' }, ipxe).options.ipxe, Uint8Array.of(176, 1, 1))
  t.equal(offerWith({ bootFile: 'x', reason: '' }, {}).options.ipxe, undefined)
  t.end()
})

void t.test('routes and search domains go to who asks for them', (t) => {
  const router = ip4('198.18.0.254')
  const extra = {
    routes: [{ destination: 0x0a000000, prefixLength: 8, router: 7 }],
    domainSearch: ['a.example'],
  }
  const asked = dhcpRequest(DISCOVER, { parameterList: Uint8Array.of(119, 121) })
  const { options } = reply(decideDhcp(asked, NEW, policy(extra), NOW)).packet
  t.same(options.domainSearch, ['a.example'])
  const metadata = { destination: ip4('169.254.169.254'), prefixLength: 32, router: SERVER }
  t.same(options.classlessRoutes, [...extra.routes, metadata, { destination: 0, prefixLength: 0, router }])
  const plain = reply(decideDhcp(dhcpRequest(DISCOVER), NEW, policy(extra), NOW)).packet.options
  t.equal(plain.classlessRoutes, undefined)
  t.equal(plain.domainSearch, undefined)
  t.end()
})

void t.test('every recorded request gets an answer or a reason, and each reply fits and decodes', (t) => {
  const clients: BootClient[] = []
  const bootAnswer = (client: BootClient): BootAnswer => {
    clients.push(client)
    return { bootFile: 'x'.repeat(120), vendorClass: 'PXEClient', reason: 'test' }
  }
  const outcomes = new Map<string, number>()
  for (const capture of readdirSync(FIXTURES).filter((name) => name.endsWith('.pcap'))) {
    for (const { payload, toPort } of readPcap(new URL(capture, FIXTURES))) {
      if (toPort === 68 || payload[0] !== 1) continue
      const request = decodeRequest(payload)
      const ip = request.options.requestedIp ?? (request.ciaddr === 0 ? MINE : request.ciaddr)
      const decision = decideDhcp(request, { ip, isHeld: true }, policy({ bootAnswer }), NOW)
      const outcome = summary(decision)
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      if (decision.kind === 'silence') continue
      const bytes = encodePacket(decision.packet, decision.budgetBytes)
      t.ok(bytes.length >= 300 && bytes.length <= 1472)
      t.equal(decodePacket(bytes).xid, request.xid)
    }
  }
  t.same([...outcomes.keys()].sort(), ['ACK', 'OFFER', 'other-server', 'released'])
  t.ok(clients.some((client) => client.isIpxe && client.arch === 0))
  t.ok(clients.some((client) => client.isIpxe && client.arch === 7))
  t.ok(clients.some((client) => client.isPxeClient && !client.isIpxe && client.arch === 7))
  t.ok(clients.some((client) => client.isHttpClient && client.arch === 16))
  t.end()
})

void t.test(
  'whatever the header says, a reply goes to the segment, the relay or an address of the subnet',
  (t) => {
    const addresses = fc.constantFrom(0, MINE, NOT_MINE, ELSEWHERE, RELAY, 0xffffffff)
    const messages = fc.record({
      type: fc.constantFrom(undefined, ...Object.values(MESSAGE)),
      mode: fc.constantFrom('authoritative' as const, 'proxy' as const),
      ...{
        ciaddr: addresses,
        giaddr: addresses,
        requestedIp: addresses,
        serverId: fc.constantFrom(SERVER, OTHER),
      },
      record: fc.constantFrom(HELD, NEW, FULL, ASTRAY, undefined),
    })
    fc.assert(
      fc.property(messages, ({ type, mode, ciaddr, giaddr, requestedIp, serverId, record }) => {
        const request = dhcpRequest(type, { requestedIp, serverId }, { ciaddr, giaddr })
        const isLinkOurs = giaddr === 0 || isInSubnet(giaddr, policy().subnet)
        if (!isLinkOurs) return true // no subnet is found for it: dhcp-subnets.test.ts
        const decision = decideDhcp(request, record, policy({ mode }), NOW)
        if (decision.kind === 'silence') return true
        const { packet, to } = decision
        const allowed = to.ip === 'broadcast' || to.ip === giaddr || to.ip === ciaddr
        return allowed && to.ip !== ELSEWHERE && (packet.yiaddr === 0 || packet.yiaddr === record?.ip)
      }),
      { numRuns: 2000 },
    )
    t.end()
  },
)

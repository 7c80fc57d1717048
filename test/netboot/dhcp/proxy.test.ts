import t from 'tap'
import type { BootAnswer, BootClient } from '../../../src/netboot/boot-client.js'
import { decodeRequest, encodePacket, decodePacket, MESSAGE } from '../../../src/netboot/dhcp/codec.js'
import type { DhcpPacket } from '../../../src/netboot/dhcp/codec.js'
import type { ClientRecord, DhcpPolicy, DhcpReply, Silence } from '../../../src/netboot/dhcp/decision.js'
import { decideDhcp } from '../../../src/netboot/dhcp/engine.js'
import type { Options } from '../../../src/netboot/dhcp/options.js'
import { decidePxe } from '../../../src/netboot/dhcp/proxy.js'
import { parseSubnet } from '../../../src/wire/ipv4.js'
import { dhcpRequest, ip4 } from '../../fakes/dhcp-request.js'
import { readPcap } from '../../fakes/pcap.js'

const FIXTURES = new URL('../../../fixtures/dhcp/', import.meta.url)
const SERVER = ip4('198.18.0.1')
const OTHER = ip4('198.18.0.9')
const MINE = ip4('198.18.0.50')
const SOURCE = { ip: MINE, port: 4011 }
const MACHINE: ClientRecord = { ip: undefined, isHeld: false }
const PXE = { vendorClass: 'PXEClient:Arch:00007:UNDI:003000', clientUuid: new Uint8Array(17) }
const HTTP = { vendorClass: 'HTTPClient:Arch:00016:UNDI:003000' }
const IPXE = { vendorClass: 'PXEClient:Arch:00007:UNDI:003010', userClass: Buffer.from('iPXE') }

// what decide.ts does, as far as it matters here
function bootAnswer(client: BootClient): BootAnswer | undefined {
  if (client.isIpxe) return { bootFile: 'http://198.18.0.1/script', reason: 'iPXE' }
  if (client.isHttpClient) {
    return { bootFile: 'http://198.18.0.1/x.efi', vendorClass: 'HTTPClient', reason: 'HTTP' }
  }
  return client.isPxeClient ? { bootFile: 'snponly.efi', reason: 'PXE' } : { reason: 'address only' }
}

function policy(mode: DhcpPolicy['mode'] = 'proxy'): DhcpPolicy {
  const subnet = parseSubnet('198.18.0.0/24')
  if (subnet === undefined) throw new Error('subnet')
  return { serverAddress: SERVER, subnet, dnsServers: [], leaseSeconds: 3600, mode, bootAnswer }
}

function on67(
  type: number | undefined,
  options: Options,
  header: Partial<DhcpPacket> = {},
): DhcpReply | Silence {
  return decideDhcp(dhcpRequest(type, options, header), MACHINE, policy(), 0)
}

function on4011(
  type: number | undefined,
  options: Options,
  record: ClientRecord | undefined = MACHINE,
): DhcpReply | Silence {
  return decidePxe(dhcpRequest(type, options), SOURCE, record, policy('authoritative'))
}

function summary(decision: DhcpReply | Silence): string {
  if (decision.kind === 'silence') return decision.reason
  const { packet, to } = decision
  const type = packet.options.messageType === MESSAGE.OFFER ? 'OFFER' : 'ACK'
  const where = to.ip === 'broadcast' ? 'broadcast' : to.port
  return `${type} ${packet.options.vendorClass ?? ''} ${packet.options.bootFile ?? ''} to ${where}`
}

const { DISCOVER, REQUEST, DECLINE, RELEASE, INFORM } = MESSAGE
const TABLE: [string, DhcpReply | Silence, string][] = [
  ['DISCOVER of a PXE ROM', on67(DISCOVER, PXE), 'OFFER PXEClient snponly.efi to broadcast'],
  ['DISCOVER of HTTP boot', on67(DISCOVER, HTTP), 'OFFER HTTPClient http://198.18.0.1/x.efi to broadcast'],
  ['DISCOVER of iPXE', on67(DISCOVER, IPXE), 'OFFER PXEClient http://198.18.0.1/script to broadcast'],
  ['a relayed DISCOVER', on67(DISCOVER, PXE, { giaddr: OTHER }), 'OFFER PXEClient snponly.efi to relay'],
  ['DISCOVER of a system', on67(DISCOVER, {}), 'no-boot-client'],
  ['REQUEST to the other server', on67(REQUEST, { ...PXE, serverId: OTHER }), 'other-server'],
  ['REQUEST to nobody by name', on67(REQUEST, { ...PXE, requestedIp: MINE }), 'other-server'],
  ['REQUEST of a renewing client', on67(REQUEST, PXE, { ciaddr: MINE }), 'other-server'],
  ['REQUEST to us', on67(REQUEST, { ...PXE, serverId: SERVER }), 'ACK PXEClient snponly.efi to broadcast'],
  ['INFORM', on67(INFORM, PXE, { ciaddr: MINE }), 'ACK PXEClient snponly.efi to client'],
  ['INFORM from elsewhere', on67(INFORM, PXE, { ciaddr: 7 }), 'inform-from-elsewhere'],
  ['RELEASE', on67(RELEASE, PXE, { ciaddr: MINE }), 'other-server'],
  ['DECLINE', on67(DECLINE, { requestedIp: MINE }), 'other-server'],
  ['BOOTP', on67(undefined, {}), 'other-server'],
  ['4011: REQUEST of a PXE ROM', on4011(REQUEST, PXE), 'ACK PXEClient snponly.efi to 4011'],
  [
    '4011: REQUEST of iPXE is sent a script, never a loader again',
    on4011(REQUEST, IPXE),
    'ACK PXEClient http://198.18.0.1/script to 4011',
  ],
  ['4011: INFORM', on4011(INFORM, PXE), 'ACK PXEClient snponly.efi to 4011'],
  ['4011: DISCOVER', on4011(DISCOVER, PXE), 'OFFER PXEClient snponly.efi to 4011'],
  ['4011: a system', on4011(REQUEST, {}), 'no-boot-client'],
  ['4011: an OFFER', on4011(MESSAGE.OFFER, PXE), 'server-message'],
  ['4011: BOOTP', on4011(undefined, PXE), 'server-message'],
]

for (const [name, decision, gives] of TABLE) {
  void t.test(`${name} gives ${gives}`, (t) => {
    t.equal(summary(decision), gives)
    if (decision.kind === 'reply') {
      const { packet } = decision
      t.same([packet.yiaddr, packet.siaddr, packet.options.serverId], [0, SERVER, SERVER])
      t.equal(packet.options.leaseSeconds, undefined)
      t.equal(decision.effect, undefined)
    }
    t.end()
  })
}

void t.test('a PXE ROM is told to use the file of this packet and its UUID is echoed', (t) => {
  const decision = on67(DISCOVER, PXE)
  if (decision.kind === 'silence') throw new Error(decision.reason)
  t.same(decision.packet.options.vendorSpecific, Uint8Array.of(6, 1, 8))
  t.same(decision.packet.options.clientUuid, PXE.clientUuid)
  t.equal(decision.packet.file, 'snponly.efi')
  t.end()
})

void t.test('nobody’s machines, and those with nothing to boot, hear nothing on either port', (t) => {
  const nothing = { ...policy(), bootAnswer: () => ({ reason: 'local disk' }) }
  const request = dhcpRequest(DISCOVER, PXE)
  t.equal(summary(decideDhcp(request, undefined, policy(), 0)), 'unknown-machine')
  t.equal(summary(decideDhcp(request, MACHINE, nothing, 0)), 'nothing-to-boot')
  t.equal(summary(decidePxe(request, SOURCE, undefined, policy())), 'unknown-machine')
  t.equal(summary(decidePxe(request, { ip: 0, port: 68 }, MACHINE, policy())), 'no-address')
  t.end()
})

void t.test('the recorded chain beside dnsmasq’s addresses ends in a script, on 67 and on 4011', (t) => {
  const files: string[] = []
  for (const { payload, toPort } of readPcap(new URL('dnsmasq-proxy-ovmf-pxe.pcap', FIXTURES))) {
    if (payload[0] !== 1 || (toPort !== 67 && toPort !== 4011)) continue
    const request = decodeRequest(payload)
    const decision =
      toPort === 4011
        ? decidePxe(request, SOURCE, MACHINE, policy())
        : decideDhcp(request, MACHINE, policy(), 0)
    if (decision.kind === 'silence') continue
    t.equal(decodePacket(encodePacket(decision.packet, decision.budgetBytes)).yiaddr, 0)
    const isIpxe = request.options.ipxe !== undefined
    const { bootFile = '' } = decision.packet.options
    t.equal(bootFile.startsWith('http://'), isIpxe)
    files.push(`${String(toPort)} ${bootFile}`)
  }
  t.same([...new Set(files)].sort(), [
    '4011 http://198.18.0.1/script',
    '4011 snponly.efi',
    '67 http://198.18.0.1/script',
    '67 snponly.efi',
  ])
  t.end()
})

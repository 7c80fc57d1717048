import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import type { BootAnswer, BootClient } from '../../../src/netboot/boot-client.js'
import { decodePacket, decodeRequest, encodePacket, MESSAGE } from '../../../src/netboot/dhcp/codec.js'
import type { DhcpPacket } from '../../../src/netboot/dhcp/codec.js'
import { parseSubnetOptions } from '../../../src/netboot/dhcp/dhcp-options.js'
import { decideDhcp } from '../../../src/netboot/dhcp/engine.js'
import { decidePxe } from '../../../src/netboot/dhcp/proxy.js'
import { dhcpRequest, ip4 } from '../../fakes/dhcp-request.js'
import { readPcap } from '../../fakes/pcap.js'

const FIXTURES = new URL('../../../fixtures/dhcp/', import.meta.url)
const GOLDEN = new URL('replies.json', FIXTURES)
const RECORD = { ip: ip4('198.18.0.50'), isHeld: true, isFixed: true, hostName: 'web1' }

function bootAnswer(client: BootClient): BootAnswer {
  const script = 'http://198.18.0.1:8080/boot/TOKEN/script'
  if (client.isIpxe) return { bootFile: script, nextServer: '198.18.0.1', reason: 'iPXE' }
  if (!client.isHttpClient) return { bootFile: 'snponly.efi', nextServer: '198.18.0.1', reason: 'PXE' }
  return {
    bootFile: 'http://198.18.0.1:8080/boot/loaders/ipxe.efi',
    vendorClass: 'HTTPClient',
    reason: 'HTTP',
  }
}

const { policy } = parseSubnetOptions(
  {
    ...{ cidr: '198.18.0.0/24', mode: 'authoritative', address: '198.18.0.1', router: '198.18.0.254' },
    ...{ dns: ['198.18.0.53'], ntp: ['198.18.0.7'], domainSearch: ['a.example', 'b.example'], mtu: 1400 },
    ...{ routes: [{ to: '10.0.0.0/8', via: '198.18.0.9' }], leaseSeconds: 3600 },
  },
  bootAnswer,
)

function first(capture: string, isWanted: (request: DhcpPacket) => boolean): DhcpPacket {
  const requests = readPcap(new URL(`${capture}.pcap`, FIXTURES))
    .filter(({ payload }) => payload[0] === 1)
    .map(({ payload }) => decodeRequest(payload))
  const found = requests.find(isWanted)
  if (found === undefined) throw new Error(capture)
  return found
}

function reply(request: DhcpPacket): Buffer {
  const decision = decideDhcp(request, RECORD, policy, 1_000_000)
  if (decision.kind === 'silence') throw new Error(decision.reason)
  return encodePacket(decision.packet, decision.budgetBytes)
}

const isDiscover = ({ options }: DhcpPacket): boolean => options.messageType === MESSAGE.DISCOVER

function replies(): Record<string, Buffer> {
  const all = Uint8Array.of(1, 3, 6, 12, 15, 26, 42, 119, 121)
  const pxe = decidePxe(
    first('dnsmasq-proxy-ovmf-pxe', ({ options }) => options.messageType === MESSAGE.REQUEST),
    { ip: ip4('198.18.0.50'), port: 4011 },
    RECORD,
    policy,
  )
  if (pxe.kind === 'silence') throw new Error(pxe.reason)
  return {
    'OFFER to the iPXE ROM': reply(first('dnsmasq-bios-ipxe-rom', isDiscover)),
    'OFFER to OVMF PXE': reply(first('dnsmasq-ovmf-pxe', isDiscover)),
    'OFFER to OVMF HTTP boot': reply(first('dnsmasq-ovmf-http', isDiscover)),
    'OFFER to dhclient': reply(first('dnsmasq-dhclient', isDiscover)),
    'ACK of port 4011 to OVMF PXE': encodePacket(pxe.packet, pxe.budgetBytes),
    'OFFER of everything that can be asked for': reply(dhcpRequest(MESSAGE.DISCOVER, { parameterList: all })),
    'NAK through a relay': reply(
      dhcpRequest(
        MESSAGE.REQUEST,
        { relayInfo: Uint8Array.of(1, 1, 7), clientId: Uint8Array.of(1, 2) },
        { ciaddr: ip4('198.18.0.51'), giaddr: ip4('198.18.0.2') },
      ),
    ),
    BOOTREPLY: reply(dhcpRequest(undefined)),
  }
}

void t.test('each reply is what was agreed, byte for byte', (t) => {
  const got = Object.fromEntries(
    Object.entries(replies()).map(([name, bytes]) => [name, bytes.toString('hex')]),
  )
  if (process.env['UPDATE_FIXTURES'] === '1') {
    writeFileSync(GOLDEN, `${JSON.stringify(got, null, 2)}\n`)
    t.fail('goldens were rewritten')
  }
  t.same(got, JSON.parse(readFileSync(GOLDEN, 'utf8')))
  t.end()
})

void t.test(
  'what was asked for is all there, the metadata address and a default route included (RFC 3442)',
  (t) => {
    const { options } = decodePacket(
      replies()['OFFER of everything that can be asked for'] ?? Buffer.alloc(0),
    )
    t.match(options, {
      ...{ mtu: 1400, ntpServers: [ip4('198.18.0.7')], domainName: 'a.example', hostName: 'web1' },
      domainSearch: ['a.example', 'b.example'],
    })
    t.same(
      options.classlessRoutes?.map(({ destination, prefixLength, router }) => [
        destination,
        prefixLength,
        router,
      ]),
      [
        [ip4('10.0.0.0'), 8, ip4('198.18.0.9')],
        [ip4('169.254.169.254'), 32, ip4('198.18.0.1')],
        [0, 0, ip4('198.18.0.254')],
      ],
    )
    t.end()
  },
)

void t.test('a BOOTREPLY is 300 bytes and knows no DHCP (RFC 1497)', (t) => {
  const bytes = replies()['BOOTREPLY'] ?? Buffer.alloc(0)
  t.equal(bytes.length, 300)
  const { options, yiaddr } = decodePacket(bytes)
  t.equal(yiaddr, RECORD.ip)
  t.same([options.messageType, options.serverId, options.leaseSeconds], [undefined, undefined, undefined])
  t.equal(options.hostName, 'web1')
  t.end()
})

void t.test('the way to the metadata address is told in each form that a client may know', (t) => {
  const asking = (...codes: number[]): DhcpPacket['options'] => {
    const parameterList = Uint8Array.from(codes)
    return decodePacket(reply(dhcpRequest(MESSAGE.DISCOVER, { parameterList }))).options
  }
  const metadata = { destination: ip4('169.254.169.254'), prefixLength: 32, router: ip4('198.18.0.1') }
  const windows = asking(1, 3, 33, 121, 249)
  t.match(windows.classlessRoutes, [{}, metadata, { destination: 0, router: ip4('198.18.0.254') }])
  const routes =
    '080ac6120009' + // 10.0.0.0/8 via 198.18.0.9
    '20a9fea9fec6120001' + // 169.254.169.254/32 via 198.18.0.1
    '00c61200fe' // 0.0.0.0/0 via 198.18.0.254
  t.equal(Buffer.from(windows.windowsRoutes ?? []).toString('hex'), routes, 'Windows')
  t.equal(windows.staticRoutes, undefined)
  t.same(asking(3, 249).windowsRoutes, windows.windowsRoutes, 'older Windows')
  t.same(asking(3, 33).staticRoutes, [metadata.destination, metadata.router], 'clients of RFC 2132 alone')
  t.same(
    [asking(3).staticRoutes, asking(3).classlessRoutes, asking(3).router],
    [undefined, undefined, [ip4('198.18.0.254')]],
  )
  t.end()
})

import t from 'tap'
import { MESSAGE } from '../../../src/netboot/dhcp/codec.js'
import type { DhcpPacket } from '../../../src/netboot/dhcp/codec.js'
import type { DhcpSubnetOptions } from '../../../src/netboot/dhcp/dhcp-options.js'
import { DhcpSubnets, ServedSubnet } from '../../../src/netboot/dhcp/dhcp-subnets.js'
import type { DhcpSubnetsDeps } from '../../../src/netboot/dhcp/dhcp-subnets.js'
import { encapsulate } from '../../../src/netboot/dhcp/options.js'
import type { Options } from '../../../src/netboot/dhcp/options.js'
import { dhcpRequest, ip4 } from '../../fakes/dhcp-request.js'

const { DISCOVER, REQUEST } = MESSAGE
const NOW = 1_000_000
const MAC = '52:54:00:00:00:01'

function subnet(
  options: Partial<DhcpSubnetOptions> & { cidr: string },
  deps: Partial<DhcpSubnetsDeps> = {},
): ServedSubnet {
  return new ServedSubnet(
    { mode: 'authoritative', address: '198.18.0.1', leaseSeconds: 3600, ...options },
    () => undefined,
    { leases: { all: () => [] }, unknownMachines: 'address', ...deps },
  )
}

const near = subnet({ cidr: '198.18.0.0/24' })
const other = subnet({ cidr: '198.18.1.0/24', address: '198.18.1.1' })
const far = subnet({ cidr: '198.18.2.0/24', isRelayed: true })
const subnets = new DhcpSubnets([near, other, far])

interface Case {
  readonly name: string
  readonly type?: number
  readonly options?: Options
  readonly header?: Partial<DhcpPacket>
  readonly gives: ServedSubnet | undefined
}

const ELSEWHERE = ip4('10.0.0.5')
const AT_FAR = ip4('198.18.2.9')
const link = (address: number[]): Uint8Array =>
  encapsulate([
    [1, [9]],
    [5, address],
  ])
const CASES: Case[] = [
  { name: 'without a relay it is the segment it was heard on', gives: near },
  { name: 'a relay names the subnet by its own address', header: { giaddr: AT_FAR }, gives: far },
  {
    name: 'a relay may speak for another segment of ours',
    header: { giaddr: ip4('198.18.1.2') },
    gives: other,
  },
  { name: 'a relay of nowhere has no subnet', header: { giaddr: ELSEWHERE }, gives: undefined },
  {
    name: 'link selection goes before giaddr (RFC 3527)',
    options: { relayInfo: link([198, 18, 2, 0]), subnetSelection: ELSEWHERE },
    header: { giaddr: ELSEWHERE },
    gives: far,
  },
  {
    name: 'subnet selection goes before giaddr (RFC 3011)',
    options: { subnetSelection: ELSEWHERE },
    header: { giaddr: AT_FAR },
    gives: undefined,
  },
  {
    name: 'link selection counts without a relay too: a switch put it in (RFC 3046 §2.1)',
    options: { relayInfo: link([198, 18, 2, 0]) },
    gives: far,
  },
  {
    name: 'a client that renews from behind a relay is where its address is (RFC 2131 §4.3.2)',
    type: REQUEST,
    header: { ciaddr: AT_FAR },
    gives: far,
  },
  {
    name: 'a client that brings the address of another segment of ours is here',
    type: REQUEST,
    header: { ciaddr: ip4('198.18.1.9') },
    gives: near,
  },
  { name: 'a DISCOVER is here, whatever its ciaddr says', header: { ciaddr: AT_FAR }, gives: near },
]

for (const { name, type = DISCOVER, options, header, gives } of CASES) {
  void t.test(name, (t) => {
    t.equal(subnets.find(dhcpRequest(type, options, header), near)?.cidr, gives?.cidr)
    t.end()
  })
}

void t.test('a client that has an address is in the subnet of it', (t) => {
  t.equal(subnets.at(AT_FAR), far)
  t.equal(subnets.at(ELSEWHERE), undefined)
  t.end()
})

void t.test('where only relays are heard a client on the link has no subnet', (t) => {
  t.equal(subnets.find(dhcpRequest(DISCOVER), undefined), undefined)
  t.equal(subnets.find(dhcpRequest(DISCOVER, {}, { giaddr: AT_FAR }), undefined), far)
  t.end()
})

void t.test('strangers leave what machines without a fixed address need', (t) => {
  const pool = { first: '198.18.0.10', last: '198.18.0.12' }
  const served = subnet({ cidr: '198.18.0.0/24', pool }, { reservedCount: () => 2 })
  const take = (mac: string, isKnown: boolean): number | undefined => {
    const machine = isKnown ? { machineId: '1', name: 'node1' } : undefined
    const ip = served.record(mac, machine, dhcpRequest(DISCOVER, {}, { mac }), NOW)?.ip
    if (ip !== undefined) served.book.offer(ip, mac, NOW + 60_000)
    return ip
  }
  t.ok(take('52:54:00:00:00:a1', false))
  for (let i = 0; i < 50; i++) t.equal(take(`52:54:00:00:01:${String(i + 10)}`, false), undefined)
  t.ok(take('52:54:00:00:00:b1', true))
  t.ok(take('52:54:00:00:00:b2', true))
  t.equal(take('52:54:00:00:00:b3', true), undefined)
  t.end()
})

void t.test(
  'where another server gives the addresses only machines are known, and none has one of ours',
  (t) => {
    const proxy = subnet({ cidr: '198.18.0.0/24', mode: 'proxy' })
    const request = dhcpRequest(DISCOVER)
    t.equal(proxy.record(MAC, undefined, request, NOW), undefined)
    t.match(proxy.record(MAC, { machineId: '1', name: 'node1', hostName: 'web1' }, request, NOW), {
      ip: undefined,
      isHeld: false,
      hostName: 'web1',
    })
    t.end()
  },
)

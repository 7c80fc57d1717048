import { DaemonError } from '../../errors.js'
import { isInSubnet, parseIpv4, type Subnet } from '../../wire/ipv4.js'
import { parseMac } from '../../wire/mac.js'
import type { Ipv4Addressing, NetworkLink, NetworkModel, NicLink } from './network.js'

// The smallest datagram every IPv4 host must take (RFC 791) up to what jumbo-frame switches carry.
const MTU = { min: 576, max: 9216 }
const MAX_RESOLVERS = 8

/**
 * Refuses a network that a guest could not come up with.
 * @throws DaemonError INVALID_INPUT whose message starts with the field, e.g. `network.links[0].mac`
 */
export function checkNetwork(network: NetworkModel): void {
  if (network.links.length === 0) throw refused('links', 'expected at least one link, got none')
  network.links.forEach((link, index) => checkLink(link, `links[${index}]`))
  checkUnique(network.links)
  if (network.dns.length > MAX_RESOLVERS) {
    throw refused('dns', `expected at most ${MAX_RESOLVERS} resolvers, got ${network.dns.length}`)
  }
  network.dns.forEach((address, index) => unicastAddress(address, `dns[${index}]`))
}

/** The netmask of `prefixLength` as an unsigned 32-bit number. */
export function maskOf(prefixLength: number): number {
  return prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0
}

function checkLink(link: NetworkLink, field: string): void {
  if (link.kind !== 'nic') throw refused(`${field}.kind`, `a ${link.kind} cannot be written yet`)
  checkMac(link.mac, `${field}.mac`)
  const { mtu } = link
  if (mtu !== undefined && (!Number.isInteger(mtu) || mtu < MTU.min || mtu > MTU.max)) {
    throw refused(`${field}.mtu`, `expected an integer ${MTU.min}..${MTU.max}, got ${mtu}`)
  }
  if (link.ipv4.kind === 'static') checkStatic(link.ipv4, `${field}.ipv4`)
}

function checkMac(text: string, field: string): void {
  const mac = parseMac(text)
  if (mac === undefined) throw refused(field, `expected a MAC address, got ${JSON.stringify(text)}`)
  // The group bit (IEEE 802 §8.2): no NIC has such an address of its own.
  const isGroup = (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1
  if (isGroup || mac === '00:00:00:00:00:00') throw refused(field, `${mac} is no NIC's own address`)
}

function checkStatic(ipv4: Ipv4Addressing & { kind: 'static' }, field: string): void {
  const { prefixLength } = ipv4
  if (!Number.isInteger(prefixLength) || prefixLength < 1 || prefixLength > 32) {
    throw refused(`${field}.prefixLength`, `expected an integer 1..32, got ${prefixLength}`)
  }
  const address = unicastAddress(ipv4.address, `${field}.address`)
  const subnet = subnetOf(address, prefixLength)
  checkHostPart(address, subnet, `${field}.address`)
  if (ipv4.gateway === undefined) return
  const gateway = unicastAddress(ipv4.gateway, `${field}.gateway`)
  if (!isInSubnet(gateway, subnet) || gateway === address) {
    throw refused(`${field}.gateway`, `${ipv4.gateway} is not a neighbour of ${ipv4.address}/${prefixLength}`)
  }
  checkHostPart(gateway, subnet, `${field}.gateway`)
}

function subnetOf(address: number, prefixLength: number): Subnet {
  const mask = maskOf(prefixLength)
  const network = (address & mask) >>> 0
  return { network, prefixLength, mask, broadcast: (network | ~mask) >>> 0 }
}

function checkHostPart(address: number, subnet: Subnet, field: string): void {
  if (subnet.prefixLength > 30) return // RFC 3021: a /31 has no network or broadcast address
  if (address === subnet.network || address === subnet.broadcast) {
    throw refused(field, `the network and broadcast addresses of a /${subnet.prefixLength} are no host's`)
  }
}

function unicastAddress(text: string, field: string): number {
  const address = parseIpv4(text)
  if (address === undefined) throw refused(field, `expected an IPv4 address, got ${JSON.stringify(text)}`)
  const first = address >>> 24 // 0/8 is this network, 127/8 the guest itself, 224/4 and up no host
  if (first === 0 || first === 127 || first >= 224) throw refused(field, `${text} is no host's address`)
  return address
}

function checkUnique(links: readonly NetworkLink[]): void {
  const nics = links.filter((link) => link.kind === 'nic')
  const macs = nics.map((link) => parseMac(link.mac))
  macs.forEach((mac, index) => {
    if (macs.indexOf(mac) !== index) throw refused(`links[${index}].mac`, 'expected each MAC address once')
  })
  const last = (has: (link: NicLink) => boolean): number => nics.findLastIndex(has)
  if (nics.filter((link) => link.isRoot).length > 1) {
    throw refused(`links[${last((link) => link.isRoot)}].isRoot`, 'expected at most one root NIC')
  }
  const hasGateway = (link: NicLink): boolean =>
    link.ipv4.kind === 'static' && link.ipv4.gateway !== undefined
  if (nics.filter(hasGateway).length > 1) {
    throw refused(`links[${last(hasGateway)}].ipv4.gateway`, 'expected at most one default route')
  }
}

function refused(field: string, reason: string): DaemonError {
  return new DaemonError('INVALID_INPUT', `network.${field}: ${reason}`)
}

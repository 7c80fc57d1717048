import {
  formatIpPrefix,
  isInPrefix,
  overlaps,
  parseIp,
  parseIpPrefix,
  prefixOf,
  widthOf,
  type IpAddress,
  type IpPrefix,
} from '../../wire/ip-prefix.js'
import type { Ipv4Addressing, Ipv6Addressing, NetworkLink, Route } from './network.js'
import { checkCount, checkInteger, refused, shown } from './refusal.js'

type Static = (Ipv4Addressing | Ipv6Addressing) & { readonly kind: 'static' }

/** A static address of a link, with where the document says so. */
interface Placed {
  readonly link: NetworkLink
  readonly field: string
  readonly address: IpAddress
  readonly subnet: IpPrefix
  readonly gateway: string | undefined
}

/** A way out of all subnets. */
interface DefaultRoute {
  readonly family: 4 | 6
  /** 0 when not told, which is the kernel's own. */
  readonly metric: number
  readonly field: string
}

const MAX_ROUTES = 64
const MAX_METRIC = 0xffffffff
const LINK_LOCAL: IpPrefix = { family: 6, first: 0xfe80n << 112n, length: 10 }

/** Checks addresses, gateways and routes of all links. @throws DaemonError INVALID_INPUT */
export function checkAddressing(links: readonly NetworkLink[]): void {
  const defaults: DefaultRoute[] = []
  links.forEach((link, index) => {
    const field = `links[${index}]`
    if (link.kind === 'nic' && link.isRoot && link.ipv4.kind === 'none') {
      throw refused(`${field}.ipv4`, 'the root disk is reached over this NIC: it needs its IPv4 address')
    }
    const placed = placedOf(link, field)
    for (const { field: at, subnet, gateway } of placed) {
      if (gateway !== undefined) defaults.push({ family: subnet.family, metric: 0, field: `${at}.gateway` })
    }
    defaults.push(...checkRoutes(link, placed, field))
  })
  checkDefaults(defaults)
}

/**
 * Refuses two links whose static subnets overlap. Only for what a document says: the addresses of a machine's
 * NICs were given one by one, and a server with two in one subnet must still boot.
 * @throws DaemonError INVALID_INPUT
 */
export function checkDisjoint(links: readonly NetworkLink[]): void {
  const placed = links.flatMap((link, index) => placedOf(link, `links[${index}]`))
  placed.forEach((one, index) => {
    for (const other of placed.slice(0, index)) {
      if (!overlaps(one.subnet, other.subnet)) continue
      const isSame = one.address.value === other.address.value
      const reason = isSame ? 'is the address of' : 'lies in the subnet of'
      const where = `${shown(other.link.id)}, ${formatIpPrefix(other.subnet)}`
      throw refused(`${one.field}.address`, `it ${reason} ${where}`)
    }
  })
}

function placedOf(link: NetworkLink, field: string): Placed[] {
  return ([4, 6] as const).flatMap((family) => {
    const addressing = family === 4 ? link.ipv4 : link.ipv6
    return addressing.kind === 'static'
      ? [checkStatic(addressing, family, `${field}.ipv${family}`, link)]
      : []
  })
}

function checkStatic(addressing: Static, family: 4 | 6, field: string, link: NetworkLink): Placed {
  const { prefixLength, gateway } = addressing
  checkInteger(prefixLength, `${field}.prefix_length`, 1, widthOf(family))
  const address = hostAddress(addressing.address, family, `${field}.address`)
  if (isInPrefix(address, LINK_LOCAL)) {
    throw refused(`${field}.address`, `${addressing.address}: the guest makes its link-local address itself`)
  }
  const subnet = prefixOf(address, prefixLength)
  checkHostPart(address, subnet, `${field}.address`)
  const placed = { link, field, address, subnet, gateway }
  if (gateway !== undefined) checkGateway(gateway, placed)
  return placed
}

function checkGateway(text: string, { address, subnet, field }: Placed): void {
  const at = `${field}.gateway`
  const gateway = hostAddress(text, subnet.family, at)
  if (isInPrefix(gateway, LINK_LOCAL)) return // RFC 4861: what routers of IPv6 announce
  if (!isInPrefix(gateway, subnet) || gateway.value === address.value) {
    throw refused(at, `${text} is not a neighbour in ${formatIpPrefix(subnet)}`)
  }
  if (subnet.family === 4) checkHostPart(gateway, subnet, at)
}

/** The first and last addresses of an IPv4 subnet, and the first of an IPv6 one (RFC 4291 §2.6.1), are no host's. */
function checkHostPart({ family, value }: IpAddress, { first, length }: IpPrefix, field: string): void {
  const hostBits = widthOf(family) - length
  if (hostBits < 2) return // RFC 3021, RFC 6164: a link between two
  const last = first + (1n << BigInt(hostBits)) - 1n
  if (value === first || (family === 4 && value === last)) {
    const which = family === 4 ? 'the first or the last address' : 'the address of all routers, the first,'
    throw refused(field, `no host has ${which} of a /${length}`)
  }
}

function hostAddress(text: string, family: 4 | 6, field: string): IpAddress {
  const ip = parseIp(text)
  if (ip?.family !== family) throw refused(field, `expected an IPv${family} address, got ${shown(text)}`)
  const first = ip.value >> (family === 4 ? 24n : 120n)
  const isHost =
    family === 4
      ? first !== 0n && first !== 127n && first < 224n // this network, the guest itself, multicast and above
      : ip.value > 1n && first !== 0xffn && ip.value >> 32n !== 0xffffn // ::, ::1, multicast, mapped IPv4
  if (!isHost) throw refused(field, `${text} is no host's address`)
  return ip
}

function checkRoutes(link: NetworkLink, placed: readonly Placed[], field: string): DefaultRoute[] {
  checkCount(link.routes, `${field}.routes`, MAX_ROUTES)
  return link.routes.flatMap((route, index) => {
    const at = `${field}.routes[${index}]`
    const destination = parseIpPrefix(route.destination)
    if (destination === undefined) {
      throw refused(
        `${at}.destination`,
        `expected a subnet without host bits, got ${shown(route.destination)}`,
      )
    }
    if (route.metric !== undefined) checkInteger(route.metric, `${at}.metric`, 0, MAX_METRIC)
    checkVia(route, destination, link, { placed, at })
    const twin = link.routes.findIndex(
      (other) => other.destination === route.destination && other.metric === route.metric,
    )
    if (twin !== index) throw refused(`${at}.destination`, `${route.destination} has a route of this metric`)
    const { family, length } = destination
    return length === 0 ? [{ family, metric: route.metric ?? 0, field: `${at}.destination` }] : []
  })
}

function checkVia(
  { via }: Route,
  { family }: IpPrefix,
  link: NetworkLink,
  where: { readonly placed: readonly Placed[]; readonly at: string },
): void {
  const field = `${where.at}.via`
  const gateway = hostAddress(via, family, field)
  const { kind } = family === 4 ? link.ipv4 : link.ipv6
  if (kind === 'none')
    throw refused(field, `${shown(link.id)} has no IPv${family} address to reach ${via} with`)
  if (kind !== 'static' || isInPrefix(gateway, LINK_LOCAL)) return // only the guest will know its subnet
  const own = where.placed.find(({ subnet }) => subnet.family === family)
  if (own === undefined || !isInPrefix(gateway, own.subnet) || gateway.value === own.address.value) {
    throw refused(field, `${via} is not a neighbour of ${shown(link.id)}`)
  }
}

function checkDefaults(defaults: readonly DefaultRoute[]): void {
  defaults.forEach(({ family, metric, field }, index) => {
    const first = defaults.findIndex((other) => other.family === family && other.metric === metric)
    if (first !== index) throw refused(field, `a second default route of IPv${family} at the same metric`)
  })
}

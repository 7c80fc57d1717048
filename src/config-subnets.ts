import type { Problem, RouteText, SubnetValues, Values } from './config-schema.js'
import { isInSubnet, parseIpv4, parseSubnet, type Subnet } from './wire/ipv4.js'

/** One subnet; the pool is for machines without a fixed address. */
export interface SubnetConfig {
  readonly cidr: string
  /** `proxy`: never an address, only what to boot; `off`: no DHCP there at all. */
  readonly mode: SubnetValues['mode']
  /** Ours, as its machines reach it. */
  readonly address: string
  /** Names the inherited sockets: `dhcp-NAME` and `pxe-NAME`. */
  readonly interface: string | undefined
  /** It has no socket of its own: its machines are reached through relays. */
  readonly isRelayed: boolean
  readonly router: string | undefined
  readonly dns: readonly string[]
  readonly ntp: readonly string[]
  readonly domainSearch: readonly string[]
  readonly mtu: number | undefined
  readonly routes: readonly RouteText[]
  readonly pool: { readonly first: string; readonly last: string } | undefined
  readonly leaseSeconds: number
  readonly hasRouterAdvertisement: boolean
}

/** The subnets of a configuration that was checked; none when nothing is booted or DHCP is somebody else's. */
export function subnetConfigs({ boot, subnet }: Values): readonly SubnetConfig[] {
  const { address } = boot
  if (!boot.enabled || !boot.dhcp || address === undefined) return []
  return subnet.flatMap((values) => subnetConfig(values, address))
}

function subnetConfig(values: SubnetValues, bootAddress: string): SubnetConfig[] {
  const { cidr, pool_first: first, pool_last: last } = values
  if (cidr === undefined) return []
  const config = {
    cidr,
    mode: values.mode,
    address: values.address ?? bootAddress,
    interface: values.interface,
    isRelayed: values.relayed,
    router: values.router,
    dns: values.dns,
    ntp: values.ntp,
    domainSearch: values.domain_search,
    mtu: values.mtu,
    routes: values.routes,
    pool: first === undefined || last === undefined ? undefined : { first, last },
    leaseSeconds: values.lease_seconds,
    hasRouterAdvertisement: values.router_advertisement,
  }
  return [config]
}

/** The subnet that an address (dotted) is in. */
export function subnetOfAddress(
  subnets: readonly SubnetConfig[],
  address: string | undefined,
): SubnetConfig | undefined {
  const number = parseIpv4(address ?? '')
  return number === undefined
    ? undefined
    : subnets.find(({ cidr }) => {
        const segment = parseSubnet(cidr)
        return segment !== undefined && isInSubnet(number, segment)
      })
}

/** The rules between the keys of a subnet, and between subnets. */
export function subnetProblems({ boot, subnet }: Values): Problem[] {
  return [
    ...subnet.flatMap((one) => [...missingCidr(one, boot), ...outside(one, boot), ...pool(one, boot)]),
    ...subnet.flatMap(modes),
    ...overlaps(subnet),
    ...unserved(subnet),
  ]
}

const NOTHING = 'nothing'

function missingCidr({ path, cidr }: SubnetValues, boot: Values['boot']): Problem[] {
  if (!boot.enabled || !boot.dhcp || cidr !== undefined) return []
  const expected = 'the subnet that DHCP serves, such as 198.18.0.0/24 (or boot.dhcp = false)'
  return [{ path: `${path}.cidr`, expected, got: NOTHING }]
}

/** Where our address on the subnet is written. */
function ownAddress({ path, address }: SubnetValues, boot: Values['boot']): [string, string | undefined] {
  return address === undefined ? ['boot.address', boot.address] : [`${path}.address`, address]
}

/** Machines behind a relay, and those of somebody else's DHCP, may reach us through a router. */
function outside(values: SubnetValues, boot: Values['boot']): Problem[] {
  const { path, cidr = '', relayed, mode } = values
  const segment = parseSubnet(cidr)
  if (segment === undefined || !boot.enabled) return []
  const inside: [string, string | undefined][] = [
    ...(relayed || mode === 'off' ? [] : [ownAddress(values, boot)]),
    [`${path}.router`, values.router],
    [`${path}.pool_first`, values.pool_first],
    [`${path}.pool_last`, values.pool_last],
    ...values.routes.map(({ via }): [string, string] => [`${path}.routes`, via]),
  ]
  return inside.flatMap(([where, value]) => {
    if (value === undefined || isHostOf(value, segment)) return []
    return [{ path: where, expected: `the address of a host in ${path}.cidr ${cidr}`, got: `"${value}"` }]
  })
}

function isHostOf(address: string, segment: Subnet): boolean {
  const number = parseIpv4(address) ?? 0
  return isInSubnet(number, segment) && number !== segment.network && number !== segment.broadcast
}

function pool(values: SubnetValues, boot: Values['boot']): Problem[] {
  const { path, pool_first: first, pool_last: last } = values
  if (first === undefined && last === undefined) return []
  if (first === undefined)
    return [{ path: `${path}.pool_first`, expected: 'the start of the pool', got: NOTHING }]
  if (last === undefined)
    return [{ path: `${path}.pool_last`, expected: 'the end of the pool', got: NOTHING }]
  const [low, high] = [parseIpv4(first) ?? 0, parseIpv4(last) ?? 0]
  if (high < low)
    return [{ path: `${path}.pool_last`, expected: `an address from ${first} on`, got: `"${last}"` }]
  const reserved: [string, string | undefined][] = [
    ownAddress(values, boot),
    [`${path}.router`, values.router],
  ]
  return reserved.flatMap(([where, value]) => {
    const number = parseIpv4(value ?? '')
    if (number === undefined || number < low || number > high) return []
    return [
      { path: where, expected: `an address outside the pool ${first}..${last}`, got: `"${value ?? ''}"` },
    ]
  })
}

function modes({ path, mode, relayed, pool_first: first, interface: name }: SubnetValues): Problem[] {
  const problems: Problem[] = []
  if (relayed && mode === 'proxy') {
    const expected = '"authoritative" or "off": a relay passes on the answer of one server'
    problems.push({ path: `${path}.mode`, expected, got: '"proxy"' })
  }
  if (mode !== 'authoritative' && first !== undefined) {
    const expected = `no pool, since ${path}.mode "${mode}" gives no address`
    problems.push({ path: `${path}.pool_first`, expected, got: `"${first}"` })
  }
  if (relayed && name !== undefined) {
    const expected = 'no interface: a relayed subnet has no socket of its own'
    problems.push({ path: `${path}.interface`, expected, got: `"${name}"` })
  }
  return problems
}

function overlaps(subnets: readonly SubnetValues[]): Problem[] {
  return subnets.flatMap((one, index) => {
    const segment = parseSubnet(one.cidr ?? '')
    const other = subnets.slice(0, index).find(({ cidr }) => {
      const before = parseSubnet(cidr ?? '')
      if (segment === undefined || before === undefined) return false
      return isInSubnet(segment.network, before) || isInSubnet(before.network, segment)
    })
    if (other === undefined) return []
    const expected = `a subnet that does not overlap ${other.path}.cidr ${other.cidr ?? ''}`
    return [{ path: `${one.path}.cidr`, expected, got: `"${one.cidr ?? ''}"` }]
  })
}

/** Without IP_PKTINFO only sockets that are bound to an interface each can tell segments apart. */
function unserved(subnets: readonly SubnetValues[]): Problem[] {
  const own = subnets.filter(({ mode, relayed }) => mode !== 'off' && !relayed)
  if (own.length < 2) return []
  return own.flatMap(({ path, interface: name }, index) => {
    const where = `${path}.interface`
    if (name === undefined) {
      const expected =
        'the interface of this segment (two segments are told apart by sockets bound to one each)'
      return [{ path: where, expected, got: NOTHING }]
    }
    const other = own.slice(0, index).find((before) => before.interface === name)
    if (other === undefined) return []
    const expected = `another interface than ${other.path}.interface`
    return [{ path: where, expected, got: `"${name}"` }]
  })
}

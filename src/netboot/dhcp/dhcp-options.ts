import { DaemonError } from '../../errors.js'
import { isInSubnet, parseIpv4, parseSubnet } from '../../wire/ipv4.js'
import type { Subnet } from '../../wire/ipv4.js'
import type { DecideBoot } from '../boot-client.js'
import type { PoolRange } from './address-book.js'
import type { DhcpPolicy } from './decision.js'

const MAX_POOL = 2 ** 24 // a whole /8

/** How one subnet is served. Addresses are dotted IPv4. */
export interface DhcpSubnetOptions {
  /** `198.18.0.0/24`. */
  readonly cidr: string
  readonly mode: DhcpPolicy['mode']
  /** Ours as its clients reach it: option 54, and the next server. */
  readonly address: string
  /** No segment of ours: its clients are reached through relays. */
  readonly isRelayed?: boolean | undefined
  readonly router?: string | undefined
  readonly dns?: readonly string[] | undefined
  readonly ntp?: readonly string[] | undefined
  /** The first is option 15 too. */
  readonly domainSearch?: readonly string[] | undefined
  /** Bytes. */
  readonly mtu?: number | undefined
  readonly routes?: readonly { readonly to: string; readonly via: string }[] | undefined
  /** Addresses for machines without a fixed one and for unknown machines; both ends included. */
  readonly pool?: { readonly first: string; readonly last: string } | undefined
  readonly leaseSeconds: number
}

/** The options as numbers. */
export interface ParsedSubnetOptions {
  readonly policy: DhcpPolicy
  readonly pool: PoolRange | undefined
  /** Addresses a pool must leave out. */
  readonly excluded: readonly number[]
}

/**
 * Checks the options once.
 * @throws DaemonError CONFIG_INVALID naming the field and the rule
 */
export function parseSubnetOptions(options: DhcpSubnetOptions, bootAnswer: DecideBoot): ParsedSubnetOptions {
  const subnet = parseSubnet(options.cidr)
  if (subnet === undefined) throw invalid('cidr', 'a subnet like 198.18.0.0/24', options.cidr)
  const serverAddress = address('address', options.address)
  const router = options.router === undefined ? undefined : address('router', options.router)
  const { mode, mtu, domainSearch = [] } = options
  const leaseSeconds = checkedLease(options.leaseSeconds)
  const policy: DhcpPolicy = {
    ...{ mode, serverAddress, subnet, router, leaseSeconds, mtu, bootAnswer },
    ...{ domainSearch, domainName: domainSearch[0] },
    dnsServers: addresses('dns', options.dns),
    ntpServers: addresses('ntp', options.ntp),
    routes: options.routes?.map(route),
  }
  const pool = options.pool === undefined ? undefined : poolRange(options.pool, subnet)
  const excluded = [
    serverAddress,
    subnet.network,
    subnet.broadcast,
    ...(router === undefined ? [] : [router]),
  ]
  return { policy, pool, excluded }
}

function route({ to, via }: { to: string; via: string }): NonNullable<DhcpPolicy['routes']>[number] {
  const subnet = parseSubnet(to)
  if (subnet === undefined) throw invalid('routes', 'a subnet like 10.0.0.0/8', to)
  return {
    destination: subnet.network,
    prefixLength: subnet.prefixLength,
    router: address('routes', via),
  }
}

function poolRange(pool: { first: string; last: string }, subnet: Subnet): PoolRange {
  const range = { first: address('pool.first', pool.first), last: address('pool.last', pool.last) }
  const size = range.last - range.first + 1
  const got = `${pool.first}-${pool.last}`
  if (size < 1 || size > MAX_POOL) throw invalid('pool', `1 to ${MAX_POOL} addresses`, got)
  if (isInSubnet(range.first, subnet) && isInSubnet(range.last, subnet)) return range
  throw invalid('pool', 'addresses inside the subnet', got)
}

function checkedLease(seconds: number): number {
  if (Number.isInteger(seconds) && seconds >= 60 && seconds <= 0xffffffff) return seconds
  throw invalid('leaseSeconds', 'an integer of at least 60', String(seconds))
}

function addresses(field: string, texts: readonly string[] = []): number[] {
  return texts.map((text) => address(field, text))
}

function address(field: string, text: string): number {
  const value = parseIpv4(text)
  if (value === undefined) throw invalid(field, 'a dotted IPv4 address', text)
  return value
}

function invalid(field: string, expected: string, got: string): DaemonError {
  return new DaemonError('CONFIG_INVALID', `dhcp.${field}: expected ${expected}, got "${got}"`)
}

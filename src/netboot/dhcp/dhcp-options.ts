import { DaemonError } from '../../errors.js'
import { isInSubnet, parseIpv4, parseSubnet } from '../../wire/ipv4.js'
import type { Subnet } from '../../wire/ipv4.js'
import type { DecideBoot } from '../boot-client.js'
import type { PoolRange } from './address-book.js'
import type { DhcpPolicy } from './engine.js'

const MAX_POOL = 65_536

/** How one segment is served. Addresses are dotted IPv4. */
export interface DhcpServerOptions {
  /** Our address on the segment: the source of every reply, and option 54. */
  readonly serverAddress: string
  /** Default 67; 0 picks a free port. */
  readonly port?: number
  /** Default 68. */
  readonly clientPort?: number
  /** `198.18.0.0/24`. */
  readonly subnet: string
  readonly router?: string | undefined
  readonly dnsServers: readonly string[]
  readonly domainName?: string | undefined
  /** Addresses for machines without a fixed one and for unknown machines; both ends included. */
  readonly pool?: { readonly first: string; readonly last: string } | undefined
  readonly leaseSeconds: number
  /** What a MAC gets that no machine has: nothing at all, or an address from the pool. */
  readonly unknownMachines: 'ignore' | 'address'
  /** Nobody else serves this segment: refuse at once what clients remember wrongly. */
  readonly authoritative: boolean
  /** An inherited socket bound to one interface (socket activation). */
  readonly fd?: number | undefined
  /** Datagrams one MAC (or, when relayed, one MAC behind one relay) may send in a second; default 20. */
  readonly maxPerSecondPerSource?: number
  /** Default 255.255.255.255; the loopback's 127.255.255.255 in tests. */
  readonly broadcastAddress?: string
}

/** The options as numbers. */
export interface ParsedDhcpOptions {
  readonly policy: DhcpPolicy
  readonly pool: PoolRange | undefined
  /** Addresses a pool must leave out. */
  readonly excluded: readonly number[]
}

/**
 * Checks the options once.
 * @throws DaemonError CONFIG_INVALID naming the field and the rule
 */
export function parseDhcpOptions(options: DhcpServerOptions, bootAnswer: DecideBoot): ParsedDhcpOptions {
  const subnet = parseSubnet(options.subnet)
  if (subnet === undefined) throw invalid('subnet', 'a subnet like 198.18.0.0/24', options.subnet)
  const serverAddress = address('serverAddress', options.serverAddress)
  const router = options.router === undefined ? undefined : address('router', options.router)
  const { leaseSeconds, authoritative, domainName } = options
  if (!Number.isInteger(leaseSeconds) || leaseSeconds < 60 || leaseSeconds > 0xffffffff) {
    throw invalid('leaseSeconds', 'an integer of at least 60', String(leaseSeconds))
  }
  const dnsServers = options.dnsServers.map((text) => address('dnsServers', text))
  const policy = {
    ...{ serverAddress, subnet, router, dnsServers, domainName, leaseSeconds, authoritative, bootAnswer },
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

function poolRange(pool: { first: string; last: string }, subnet: Subnet): PoolRange {
  const range = { first: address('pool.first', pool.first), last: address('pool.last', pool.last) }
  const size = range.last - range.first + 1
  const got = `${pool.first}-${pool.last}`
  if (size < 1 || size > MAX_POOL) throw invalid('pool', `1 to ${MAX_POOL} addresses`, got)
  if (isInSubnet(range.first, subnet) && isInSubnet(range.last, subnet)) return range
  throw invalid('pool', 'addresses inside the subnet', got)
}

function address(field: string, text: string): number {
  const value = parseIpv4(text)
  if (value === undefined) throw invalid(field, 'a dotted IPv4 address', text)
  return value
}

function invalid(field: string, expected: string, got: string): DaemonError {
  return new DaemonError('CONFIG_INVALID', `dhcp.${field}: expected ${expected}, got "${got}"`)
}

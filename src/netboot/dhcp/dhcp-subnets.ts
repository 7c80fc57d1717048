import { formatIpv4, isInSubnet, parseIpv4 } from '../../wire/ipv4.js'
import type { DecideBoot } from '../boot-client.js'
import { AddressBook } from './address-book.js'
import { parseSubnetOptions } from './dhcp-options.js'
import type { DhcpSubnetOptions } from './dhcp-options.js'
import { MESSAGE } from './codec.js'
import type { DhcpPacket } from './codec.js'
import type { ClientRecord, DhcpPolicy } from './decision.js'
import type { LeaseStore } from './lease-store.js'
import { RELAY, relayAddress } from './relay-info.js'

/** A machine as DHCP sees it. Without `ip` it is served from the pool. */
export interface DhcpMachine {
  readonly machineId: string
  readonly name: string
  /** The fixed address of this NIC, dotted. */
  readonly ip?: string | undefined
  readonly hostName?: string | undefined
  /** The NIC as it is enrolled, when it was found by its switch port. */
  readonly mac?: string | undefined
}

/** What the subnets need from the rest of the daemon. */
export interface DhcpSubnetsDeps {
  readonly leases: Pick<LeaseStore, 'all'>
  /** Whether an address belongs to a machine, so that pools leave it alone; default: none does. */
  readonly isFixedAddress?: (ip: string) => boolean
  /** How many pool addresses strangers must leave free, for machines without a fixed one; default 0. */
  readonly reservedCount?: () => number
  /** What a MAC gets that no machine has: nothing at all, or an address from the pool. */
  readonly unknownMachines: 'ignore' | 'address'
}

/** One subnet as it is served: what its clients are told, and who has which address of it. */
export class ServedSubnet {
  readonly cidr: string
  readonly policy: DhcpPolicy
  readonly book: AddressBook
  /** Its clients are reached through relays only. */
  readonly isRelayed: boolean
  readonly #deps: DhcpSubnetsDeps

  /** @throws DaemonError CONFIG_INVALID */
  constructor(options: DhcpSubnetOptions, bootAnswer: DecideBoot, deps: DhcpSubnetsDeps) {
    const { policy, pool, excluded } = parseSubnetOptions(options, bootAnswer)
    const { leases, isFixedAddress = () => false } = deps
    this.cidr = options.cidr
    this.policy = policy
    this.isRelayed = options.isRelayed ?? false
    this.book = new AddressBook(pool, excluded, leases.all(), isFixedAddress)
    this.#deps = deps
  }

  /** What is known of a client here; undefined when it is nobody's and such are not served. */
  record(
    mac: string,
    machine: DhcpMachine | undefined,
    request: DhcpPacket,
    nowMs: number,
  ): ClientRecord | undefined {
    const known = { hostName: machine?.hostName, bootMac: machine?.mac }
    if (machine?.ip !== undefined) {
      return { ip: parseIpv4(machine.ip), isHeld: true, isFixed: true, ...known }
    }
    const isProxy = this.policy.mode === 'proxy'
    if (machine === undefined && (isProxy || this.#deps.unknownMachines === 'ignore')) return undefined
    if (isProxy) return { ip: undefined, isHeld: false, ...known }
    return { ...this.#pooled(mac, machine === undefined, request, nowMs), ...known }
  }

  #pooled(mac: string, isStranger: boolean, request: DhcpPacket, nowMs: number): ClientRecord {
    const held = this.book.held(mac, nowMs)
    if (held !== undefined) return { ip: held, isHeld: true }
    const wanted = request.ciaddr === 0 ? request.options.requestedIp : request.ciaddr
    const keepFree = isStranger ? (this.#deps.reservedCount?.() ?? 0) : 0
    return { ip: this.book.candidate(wanted, nowMs, keepFree), isHeld: false }
  }
}

/** Every subnet that is served, whichever segment's socket its clients are heard on. */
export class DhcpSubnets {
  readonly #all: readonly ServedSubnet[]

  constructor(all: readonly ServedSubnet[]) {
    this.#all = all
  }

  /**
   * The client's subnet: 82.5 (RFC 3527), else 118 (RFC 3011), else the relay's own address; without any of them the
   * segment it was heard on, or the relayed one that a renewing client says it is in. Undefined: none of ours.
   * @param own the subnet of the segment itself
   */
  find({ giaddr, ciaddr, options }: DhcpPacket, own: ServedSubnet | undefined): ServedSubnet | undefined {
    const link = linkOf(giaddr, options.relayInfo, options.subnetSelection)
    if (link !== 0) return this.#all.find(({ policy }) => isInSubnet(link, policy.subnet))
    if (options.messageType === MESSAGE.DISCOVER) return own
    // a renewing client speaks for itself, past its relay (RFC 2131 §4.3.2)
    const far = this.#all.find(({ policy, isRelayed }) => isRelayed && isInSubnet(ciaddr, policy.subnet))
    return far ?? own
  }

  /** The subnet that an address (unsigned 32 bits) is in, whose client has one. */
  at(ip: number): ServedSubnet | undefined {
    return this.#all.find(({ policy }) => isInSubnet(ip, policy.subnet))
  }
}

/** The link of {@link DhcpSubnets.find}, dotted, for messages. */
export function linkName({ giaddr, options }: DhcpPacket): string {
  return formatIpv4(linkOf(giaddr, options.relayInfo, options.subnetSelection))
}

function linkOf(giaddr: number, relayInfo: Uint8Array | undefined, selection: number | undefined): number {
  return relayAddress(relayInfo, RELAY.linkSelection) ?? selection ?? giaddr
}

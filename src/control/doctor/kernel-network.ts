import { readdir, readFile, readlink } from 'node:fs/promises'
import { runCommand } from '../../command.js'
import {
  inodeIn,
  littleEndian,
  parseUdpTable,
  procRows,
  type UdpSocket,
} from '../../netboot/dhcp/kernel-drops.js'
import { formatIpv4, parseIpv4 } from '../../wire/ipv4.js'
import { parseMac } from '../../wire/mac.js'

/** A link of this host and its IPv4 addresses. */
export interface HostInterface {
  readonly name: string
  /** The kernel's word: `up`, `down`, `unknown` (of links that have no carrier), ... */
  readonly state: string
  readonly mac: string
  /** `198.18.0.1/24` */
  readonly addresses: readonly string[]
  /** Seconds that a bridge of this host waits before a new link passes packets; undefined when it is no bridge. */
  readonly forwardDelaySeconds?: number
}

/** A line of the kernel's IPv4 routing table; `gateway` is undefined on the link itself. */
export interface HostRoute {
  readonly interface: string
  readonly destination: number
  readonly mask: number
  readonly gateway: string | undefined
  readonly metric: number
}

const IP_LIMIT_MS = 5000
const ROUTE_UP = 0x1
const ROUTE_REJECTS = 0x200
const NEIGHBOUR_COMPLETE = 0x2 // ATF_COM

/**
 * Every link that has an IPv4 address, those without a carrier too, which Node's own list leaves out.
 * @throws CommandFailed when `ip` (iproute2) cannot be run
 */
export async function hostInterfaces(): Promise<readonly HostInterface[]> {
  const argv = ['-json', '-details', '-4', 'address', 'show']
  return parseInterfaces((await runCommand('ip', argv, { timeoutMs: IP_LIMIT_MS })).stdout)
}

/** What `ip -json -details -4 address show` prints. */
export function parseInterfaces(json: string): readonly HostInterface[] {
  const links = JSON.parse(json) as Partial<IpLink>[] // ip(8) has kept these names since 2018
  return links.flatMap(({ ifname = '', operstate = '', address = '', addr_info = [], linkinfo }) => {
    const addresses = addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`)
    const delay = linkinfo?.info_kind === 'bridge' ? linkinfo.info_data?.forward_delay : undefined
    if (addresses.length === 0) return []
    const link = { name: ifname, state: operstate.toLowerCase(), mac: address, addresses }
    return delay === undefined ? link : { ...link, forwardDelaySeconds: delay / 100 }
  })
}

interface IpLink {
  readonly ifname: string
  readonly operstate: string
  readonly address: string
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number }[]
  readonly linkinfo: { readonly info_kind?: string; readonly info_data?: { readonly forward_delay?: number } }
}

/** The routing table; empty where there is no /proc. */
export async function hostRoutes(): Promise<readonly HostRoute[]> {
  return parseRoutes(await textOf('/proc/net/route'))
}

/** The MAC to which this host sends what is for `address` (dotted); undefined when it knows none. */
export async function neighbourMac(address: string): Promise<string | undefined> {
  return parseNeighbour(await textOf('/proc/net/arp'), address)
}

/**
 * `/proc/net/arp`: the MAC of the complete entry for an address; undefined without one, and when two links have
 * different ones.
 */
export function parseNeighbour(table: string, address: string): string | undefined {
  const macs = procRows(table).flatMap(([ip, , flags = '', mac = '']) => {
    const isComplete = (Number.parseInt(flags, 16) & NEIGHBOUR_COMPLETE) !== 0
    return ip === address && isComplete ? (parseMac(mac) ?? []) : []
  })
  return new Set(macs).size === 1 ? macs[0] : undefined
}

/** The UDP sockets of this process with what the kernel says of them; empty where there is no /proc. */
export async function ownUdpSockets(): Promise<readonly UdpSocket[]> {
  const own = await ownInodes()
  return parseUdpTable(await textOf('/proc/net/udp')).filter(({ inode }) => own.has(inode))
}

/** `/proc/net/route`: addresses are hexadecimal as they lie in the memory of a little-endian host. */
export function parseRoutes(text: string): readonly HostRoute[] {
  return procRows(text).flatMap(
    ([name = '', destination = '', gateway = '', flags = '', , , metric, mask = '']) => {
      const bits = Number.parseInt(flags, 16)
      if ((bits & ROUTE_UP) === 0 || (bits & ROUTE_REJECTS) !== 0) return []
      const next = littleEndian(gateway)
      return {
        interface: name,
        destination: littleEndian(destination),
        mask: littleEndian(mask),
        gateway: next === 0 ? undefined : formatIpv4(next),
        metric: Number(metric),
      }
    },
  )
}

/** The route that packets to `address` (dotted) take: the longest prefix, then the smallest metric. */
export function routeTo(address: string, routes: readonly HostRoute[]): HostRoute | undefined {
  const number = parseIpv4(address) ?? 0
  return routes
    .filter(({ destination, mask }) => (number & mask) >>> 0 === destination)
    .sort((a, b) => b.mask - a.mask || a.metric - b.metric)[0]
}

async function ownInodes(): Promise<Set<string>> {
  const names = await readdir('/proc/self/fd').catch(() => [])
  const links = names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => ''))
  const inodes = (await Promise.all(links)).map(inodeIn)
  return new Set(inodes.filter((inode) => inode !== undefined))
}

function textOf(path: string): Promise<string> {
  return readFile(path, 'latin1').catch(() => '')
}

import { formatIpv4, isInSubnet, parseIpv4 } from '../../wire/ipv4.js'
import type { Subnet } from '../../wire/ipv4.js'
import { ByteWriter } from '../../wire/writer.js'
import type { BootAnswer, BootClient } from '../boot-client.js'
import { FLAG_BROADCAST, HTYPE_INFINIBAND, MESSAGE, OP, fitsFileField } from './codec.js'
import type { DhcpPacket } from './codec.js'
import { classlessRoutes, type ClasslessRoute } from './option-types.js'
import { encapsulate } from './options.js'
import type { Options } from './options.js'
import { RELAY, relayAddress } from './relay-info.js'

/** PXE 2.1 §2.4: option 43.6 bit 3: "only use the boot file of this packet", no discovery. */
const PXE_USE_BOOT_FILE = encapsulate([[6, [8]]])
/** iPXE's no-pxedhcp: spares the 3.0 s it waits for a proxy's answer (measured, iPXE 2019-01). */
const IPXE_NO_PROXY = encapsulate([[176, [1]]])
/** What is sent to who asks for it (option 55). */
const MTU = 26
const NTP = 42
const DOMAIN_SEARCH = 119
const CLASSLESS_ROUTES = 121
const WINDOWS_ROUTES = 249
const STATIC_ROUTES = 33
/** Where cloud-init looks for its data. */
const METADATA = 0xa9fea9fe

/** What the segment's clients are told besides their address; addresses are unsigned 32-bit numbers. */
export interface NetworkPolicy {
  readonly serverAddress: number
  readonly subnet: Subnet
  readonly router?: number | undefined
  readonly dnsServers: readonly number[]
  readonly domainName?: string | undefined
  readonly ntpServers?: readonly number[] | undefined
  /** Largest IP packet of the segment, bytes. */
  readonly mtu?: number | undefined
  readonly domainSearch?: readonly string[] | undefined
  /** The metadata address (when we are on the subnet) and a default route are added. */
  readonly routes?: readonly ClasslessRoute[] | undefined
  readonly leaseSeconds: number
}

/** An OFFER or ACK that gives `ip` for the policy's lease time. */
export function addressReply(
  request: DhcpPacket,
  messageType: number,
  ip: number,
  policy: NetworkPolicy,
): DhcpPacket {
  const { leaseSeconds } = policy
  const options = replyOptions(request, messageType, policy)
  options.leaseSeconds = leaseSeconds
  options.renewalSeconds = Math.floor(leaseSeconds / 2)
  options.rebindingSeconds = Math.floor((leaseSeconds * 7) / 8)
  addNetworkOptions(options, request, policy)
  const ciaddr = messageType === MESSAGE.ACK ? request.ciaddr : 0
  return replyTo(request, options, { ciaddr, yiaddr: ip, siaddr: policy.serverAddress })
}

/** The ACK to an INFORM: parameters, no address and no times (RFC 2131 §4.3.5). */
export function informReply(request: DhcpPacket, policy: NetworkPolicy): DhcpPacket {
  const options = replyOptions(request, MESSAGE.ACK, policy)
  addNetworkOptions(options, request, policy)
  return replyTo(request, options, { ciaddr: request.ciaddr, siaddr: policy.serverAddress })
}

/** The BOOTREPLY to a client without option 53 (RFC 951, RFC 1497): an address for good and no DHCP option. */
export function bootpReply(request: DhcpPacket, ip: number, policy: NetworkPolicy): DhcpPacket {
  const options: Options = {}
  addNetworkOptions(options, request, policy)
  addEchoes(options, { relayInfo: request.options.relayInfo })
  return replyTo(request, options, { ciaddr: request.ciaddr, yiaddr: ip, siaddr: policy.serverAddress })
}

/** A proxy's answer: whom to boot from, and no address (PXE 2.1 §2.2.3). */
export function proxyReply(request: DhcpPacket, messageType: number, policy: NetworkPolicy): DhcpPacket {
  const ciaddr = messageType === MESSAGE.ACK ? request.ciaddr : 0
  const options = replyOptions(request, messageType, policy)
  return replyTo(request, options, { ciaddr, siaddr: policy.serverAddress })
}

/** Option 54 towards this client: our address, or what its relay says instead (RFC 5107 §4). */
export function serverIdFor({ options }: DhcpPacket, { serverAddress }: NetworkPolicy): number {
  return relayAddress(options.relayInfo, RELAY.serverId) ?? serverAddress
}

/** A NAK: only 53, 54, 56 and the echoes (RFC 2131 table 3); a relay is told to broadcast it (§4.3.2). */
export function nakReply(request: DhcpPacket, reason: string, policy: NetworkPolicy): DhcpPacket {
  const options = replyOptions(request, MESSAGE.NAK, policy)
  options.message = reason
  const reply = replyTo(request, options, {})
  return request.giaddr === 0 ? reply : { ...reply, flags: reply.flags | FLAG_BROADCAST }
}

/** `reply` with the boot part filled in: siaddr, file, 66 and 67 alike, since ROMs differ in which they read. */
export function withBoot(reply: DhcpPacket, client: BootClient, boot: BootAnswer | undefined): DhcpPacket {
  const options = { ...reply.options }
  if (client.isIpxe) options.ipxe = IPXE_NO_PROXY
  if (boot === undefined) return { ...reply, options }
  const { bootFile } = boot
  const nextServer = (boot.nextServer === undefined ? undefined : parseIpv4(boot.nextServer)) ?? reply.siaddr
  addBootOptions(options, client, boot, nextServer)
  if (bootFile === undefined) return { ...reply, options }
  const file = fitsFileField(bootFile) ? bootFile : '' // a longer URL is in option 67 alone
  return { ...reply, options, siaddr: nextServer, file }
}

// 60 = PXEClient is never without 43.6, else the ROM looks for a boot server on port 4011; iPXE has no use for either.
function addBootOptions(options: Options, client: BootClient, boot: BootAnswer, nextServer: number): void {
  const { bootFile } = boot
  const isForRom = client.isPxeClient && !client.isIpxe && bootFile !== undefined
  const vendorClass = boot.vendorClass ?? (isForRom ? 'PXEClient' : undefined)
  if (bootFile !== undefined) {
    options.bootFile = bootFile
    options.tftpServerName = formatIpv4(nextServer)
  }
  if (vendorClass !== undefined) options.vendorClass = vendorClass
  if (vendorClass === 'PXEClient') options.vendorSpecific = PXE_USE_BOOT_FILE
}

/** The reply's own addresses; 0 where nothing is said. */
type Addresses = Partial<Pick<DhcpPacket, 'ciaddr' | 'yiaddr' | 'siaddr'>>

// Here and below one plain object is filled in place: spreading several into one costs kilobytes of garbage a packet.
function replyTo(request: DhcpPacket, options: Options, addresses: Addresses): DhcpPacket {
  const { htype, xid, flags, giaddr, chaddr } = request
  const { ciaddr = 0, yiaddr = 0, siaddr = 0 } = addresses
  // RFC 4390 §2.2: nobody can send to an InfiniBand address out of chaddr
  const isUnreachable = htype === HTYPE_INFINIBAND
  return {
    op: OP.REPLY,
    htype,
    hops: 0,
    xid,
    secs: 0,
    flags: isUnreachable ? flags | FLAG_BROADCAST : flags,
    ciaddr,
    yiaddr,
    siaddr,
    giaddr,
    chaddr,
    sname: '',
    file: '',
    options,
  }
}

function replyOptions(request: DhcpPacket, messageType: number, policy: NetworkPolicy): Options {
  const options: Options = { messageType, serverId: serverIdFor(request, policy) }
  addEchoes(options, request.options)
  return options
}

// 61 is echoed by RFC 6842, 97 by PXE 2.1, 82 by RFC 3046.
function addEchoes(options: Options, { clientId, clientUuid, relayInfo }: Echoes): void {
  if (clientId !== undefined) options.clientId = clientId
  if (clientUuid !== undefined) options.clientUuid = clientUuid
  if (relayInfo !== undefined) options.relayInfo = relayInfo
}

type Echoes = Partial<Record<'clientId' | 'clientUuid' | 'relayInfo', Uint8Array | undefined>>

function addNetworkOptions(options: Options, request: DhcpPacket, policy: NetworkPolicy): void {
  const { subnet, router, dnsServers, domainName } = policy
  options.subnetMask = subnet.mask
  options.broadcastAddress = subnet.broadcast
  if (router !== undefined) options.router = [router]
  if (dnsServers.length > 0) options.dnsServers = dnsServers
  if (domainName !== undefined) options.domainName = domainName
  const { parameterList } = request.options
  if (parameterList !== undefined) addAskedOptions(options, parameterList, policy)
}

function addAskedOptions(options: Options, asked: Uint8Array, policy: NetworkPolicy): void {
  const { mtu, ntpServers, domainSearch } = policy
  const has = (code: number, list: readonly unknown[] = []): boolean =>
    list.length > 0 && asked.includes(code)
  if (mtu !== undefined && asked.includes(MTU)) options.mtu = mtu
  if (ntpServers !== undefined && has(NTP, ntpServers)) options.ntpServers = ntpServers
  if (domainSearch !== undefined && has(DOMAIN_SEARCH, domainSearch)) options.domainSearch = domainSearch
  addRoutes(options, asked, policy)
}

// RFC 3442: who knows 121 ignores 33. Who knows neither it nor 249 is told of the metadata address at least.
function addRoutes(options: Options, asked: Uint8Array, policy: NetworkPolicy): void {
  const isOnLink = isInSubnet(policy.serverAddress, policy.subnet)
  const knowsNetworks = asked.includes(CLASSLESS_ROUTES) || asked.includes(WINDOWS_ROUTES)
  if (!knowsNetworks) {
    if (isOnLink && asked.includes(STATIC_ROUTES)) options.staticRoutes = [METADATA, policy.serverAddress]
    return
  }
  const routes = allRoutes(policy)
  if (routes.length === 0) return
  if (asked.includes(CLASSLESS_ROUTES)) options.classlessRoutes = routes
  if (asked.includes(WINDOWS_ROUTES)) options.windowsRoutes = routeBytes(routes)
}

function routeBytes(routes: readonly ClasslessRoute[]): Uint8Array {
  const writer = new ByteWriter()
  classlessRoutes.encode(writer, routes)
  return writer.bytes()
}

// RFC 3442: a client that gets option 121 must ignore option 3, so the default route is among them.
function allRoutes({ routes = [], router, serverAddress, subnet }: NetworkPolicy): ClasslessRoute[] {
  const isOnLink = isInSubnet(serverAddress, subnet)
  const has = (destination: number, prefixLength: number): boolean =>
    routes.some((route) => route.destination === destination && route.prefixLength === prefixLength)
  return [
    ...routes,
    ...(isOnLink && !has(METADATA, 32)
      ? [{ destination: METADATA, prefixLength: 32, router: serverAddress }]
      : []),
    ...(router !== undefined && !has(0, 0) ? [{ destination: 0, prefixLength: 0, router }] : []),
  ]
}

import { formatIpv4, isInSubnet, parseIpv4 } from '../../wire/ipv4.js'
import type { Subnet } from '../../wire/ipv4.js'
import type { BootAnswer, BootClient } from '../boot-client.js'
import { FLAG_BROADCAST, HTYPE_INFINIBAND, MESSAGE, OP, fitsFileField } from './codec.js'
import type { DhcpPacket } from './codec.js'
import type { ClasslessRoute } from './option-types.js'
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
  return {
    ...replyHeader(request),
    ciaddr: messageType === MESSAGE.ACK ? request.ciaddr : 0,
    yiaddr: ip,
    siaddr: policy.serverAddress,
    options: {
      ...replyOptions(request, messageType, policy),
      leaseSeconds,
      renewalSeconds: Math.floor(leaseSeconds / 2),
      rebindingSeconds: Math.floor((leaseSeconds * 7) / 8),
      ...networkOptions(request, policy),
    },
  }
}

/** The ACK to an INFORM: parameters, no address and no times (RFC 2131 §4.3.5). */
export function informReply(request: DhcpPacket, policy: NetworkPolicy): DhcpPacket {
  return {
    ...replyHeader(request),
    ciaddr: request.ciaddr,
    siaddr: policy.serverAddress,
    options: { ...replyOptions(request, MESSAGE.ACK, policy), ...networkOptions(request, policy) },
  }
}

/** The BOOTREPLY to a client without option 53 (RFC 951, RFC 1497): an address for good and no DHCP option. */
export function bootpReply(request: DhcpPacket, ip: number, policy: NetworkPolicy): DhcpPacket {
  const { relayInfo } = request.options
  return {
    ...replyHeader(request),
    ciaddr: request.ciaddr,
    yiaddr: ip,
    siaddr: policy.serverAddress,
    options: { ...networkOptions(request, policy), ...(relayInfo !== undefined && { relayInfo }) },
  }
}

/** A proxy's answer: whom to boot from, and no address (PXE 2.1 §2.2.3). */
export function proxyReply(request: DhcpPacket, messageType: number, policy: NetworkPolicy): DhcpPacket {
  return {
    ...replyHeader(request),
    ciaddr: messageType === MESSAGE.ACK ? request.ciaddr : 0,
    siaddr: policy.serverAddress,
    options: replyOptions(request, messageType, policy),
  }
}

/** Option 54 towards this client: our address, or what its relay says instead (RFC 5107 §4). */
export function serverIdFor({ options }: DhcpPacket, { serverAddress }: NetworkPolicy): number {
  return relayAddress(options.relayInfo, RELAY.serverId) ?? serverAddress
}

/** A NAK: only 53, 54, 56 and the echoes (RFC 2131 table 3); a relay is told to broadcast it (§4.3.2). */
export function nakReply(request: DhcpPacket, reason: string, policy: NetworkPolicy): DhcpPacket {
  const header = replyHeader(request)
  return {
    ...header,
    flags: request.giaddr === 0 ? header.flags : header.flags | FLAG_BROADCAST,
    options: { ...replyOptions(request, MESSAGE.NAK, policy), message: reason },
  }
}

/** `reply` with the boot part filled in: siaddr, file, 66 and 67 alike, since ROMs differ in which they read. */
export function withBoot(reply: DhcpPacket, client: BootClient, boot: BootAnswer | undefined): DhcpPacket {
  const ipxe: Options = client.isIpxe ? { ipxe: IPXE_NO_PROXY } : {}
  if (boot === undefined) return { ...reply, options: { ...reply.options, ...ipxe } }
  const nextServer = (boot.nextServer === undefined ? undefined : parseIpv4(boot.nextServer)) ?? reply.siaddr
  return {
    ...reply,
    ...(boot.bootFile !== undefined && bootHeader(boot.bootFile, nextServer)),
    options: { ...reply.options, ...ipxe, ...bootOptions(client, boot, nextServer) },
  }
}

function bootHeader(bootFile: string, siaddr: number): Pick<DhcpPacket, 'siaddr' | 'file'> {
  return { siaddr, file: fitsFileField(bootFile) ? bootFile : '' } // a longer URL is in option 67 alone
}

// 60 = PXEClient is never without 43.6, else the ROM looks for a boot server on port 4011; iPXE has no use for either.
function bootOptions(client: BootClient, boot: BootAnswer, nextServer: number): Options {
  const { bootFile } = boot
  const isForRom = client.isPxeClient && !client.isIpxe && bootFile !== undefined
  const vendorClass = boot.vendorClass ?? (isForRom ? 'PXEClient' : undefined)
  return {
    ...(bootFile !== undefined && { bootFile, tftpServerName: formatIpv4(nextServer) }),
    ...(vendorClass !== undefined && { vendorClass }),
    ...(vendorClass === 'PXEClient' && { vendorSpecific: PXE_USE_BOOT_FILE }),
  }
}

function replyHeader(request: DhcpPacket): DhcpPacket {
  const { htype, xid, flags, giaddr, chaddr } = request
  // RFC 4390 §2.2: nobody can send to an InfiniBand address out of chaddr
  const isUnreachable = htype === HTYPE_INFINIBAND
  return {
    ...{ op: OP.REPLY, htype, hops: 0, xid, secs: 0, giaddr, chaddr },
    flags: isUnreachable ? flags | FLAG_BROADCAST : flags,
    ...{ ciaddr: 0, yiaddr: 0, siaddr: 0, sname: '', file: '', options: {} },
  }
}

// 61 is echoed by RFC 6842, 97 by PXE 2.1, 82 by RFC 3046.
function replyOptions(request: DhcpPacket, messageType: number, policy: NetworkPolicy): Options {
  const { clientId, clientUuid, relayInfo } = request.options
  return {
    messageType,
    serverId: serverIdFor(request, policy),
    ...(clientId !== undefined && { clientId }),
    ...(clientUuid !== undefined && { clientUuid }),
    ...(relayInfo !== undefined && { relayInfo }),
  }
}

function networkOptions(request: DhcpPacket, policy: NetworkPolicy): Options {
  const { subnet, router, dnsServers, domainName } = policy
  return {
    subnetMask: subnet.mask,
    broadcastAddress: subnet.broadcast,
    ...(router !== undefined && { router: [router] }),
    ...(dnsServers.length > 0 && { dnsServers }),
    ...(domainName !== undefined && { domainName }),
    ...askedOptions(request.options.parameterList ?? new Uint8Array(), policy),
  }
}

function askedOptions(asked: Uint8Array, policy: NetworkPolicy): Options {
  const { mtu, ntpServers = [], domainSearch = [] } = policy
  const has = (code: number, list: readonly unknown[]): boolean => list.length > 0 && asked.includes(code)
  const classlessRoutes = allRoutes(policy)
  return {
    ...(mtu !== undefined && asked.includes(MTU) && { mtu }),
    ...(has(NTP, ntpServers) && { ntpServers }),
    ...(has(DOMAIN_SEARCH, domainSearch) && { domainSearch }),
    ...(has(CLASSLESS_ROUTES, classlessRoutes) && { classlessRoutes }),
  }
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

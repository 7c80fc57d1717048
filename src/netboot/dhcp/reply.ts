import { formatIpv4, parseIpv4 } from '../../wire/ipv4.js'
import type { Subnet } from '../../wire/ipv4.js'
import type { BootAnswer, BootClient } from '../boot-client.js'
import { FLAG_BROADCAST, MESSAGE, OP, fitsFileField } from './codec.js'
import type { DhcpPacket } from './codec.js'
import type { ClasslessRoute } from './option-types.js'
import { encapsulate } from './options.js'
import type { Options } from './options.js'

/** PXE 2.1 §2.4: option 43.6 bit 3: "only use the boot file of this packet", no discovery. */
const PXE_USE_BOOT_FILE = encapsulate([[6, [8]]])
/** iPXE's no-pxedhcp: spares the 3.0 s it waits for a proxy's answer (measured, iPXE 2019-01). */
const IPXE_NO_PROXY = encapsulate([[176, [1]]])
const CLASSLESS_ROUTES = 121
const DOMAIN_SEARCH = 119

/** What the segment's clients are told besides their address; addresses are unsigned 32-bit numbers. */
export interface NetworkPolicy {
  readonly serverAddress: number
  readonly subnet: Subnet
  readonly router?: number | undefined
  readonly dnsServers: readonly number[]
  readonly domainName?: string | undefined
  /** Sent to clients that ask for option 119. */
  readonly domainSearch?: readonly string[] | undefined
  /** Sent to clients that ask for option 121; a default route is added, for such clients ignore option 3. */
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
    options: { ...reply.options, ...ipxe, ...bootOptions(boot, nextServer) },
  }
}

function bootHeader(bootFile: string, siaddr: number): Pick<DhcpPacket, 'siaddr' | 'file'> {
  return { siaddr, file: fitsFileField(bootFile) ? bootFile : '' } // a longer URL is in option 67 alone
}

function bootOptions({ bootFile, vendorClass }: BootAnswer, nextServer: number): Options {
  return {
    ...(bootFile !== undefined && { bootFile, tftpServerName: formatIpv4(nextServer) }),
    ...(vendorClass !== undefined && { vendorClass }),
    ...(vendorClass === 'PXEClient' && { vendorSpecific: PXE_USE_BOOT_FILE }),
  }
}

function replyHeader(request: DhcpPacket): DhcpPacket {
  const { htype, xid, flags, giaddr, chaddr } = request
  return {
    ...{ op: OP.REPLY, htype, hops: 0, xid, secs: 0, flags, giaddr, chaddr },
    ...{ ciaddr: 0, yiaddr: 0, siaddr: 0, sname: '', file: '', options: {} },
  }
}

// 61 is echoed by RFC 6842, 97 by PXE 2.1, 82 by RFC 3046.
function replyOptions(request: DhcpPacket, messageType: number, policy: NetworkPolicy): Options {
  const { clientId, clientUuid, relayInfo } = request.options
  return {
    messageType,
    serverId: policy.serverAddress,
    ...(clientId !== undefined && { clientId }),
    ...(clientUuid !== undefined && { clientUuid }),
    ...(relayInfo !== undefined && { relayInfo }),
  }
}

function networkOptions(request: DhcpPacket, policy: NetworkPolicy): Options {
  const { subnet, router, dnsServers, domainName, domainSearch, routes } = policy
  const asked = request.options.parameterList ?? new Uint8Array()
  return {
    subnetMask: subnet.mask,
    broadcastAddress: subnet.broadcast,
    ...(router !== undefined && { router: [router] }),
    ...(dnsServers.length > 0 && { dnsServers }),
    ...(domainName !== undefined && { domainName }),
    ...(domainSearch !== undefined && asked.includes(DOMAIN_SEARCH) && { domainSearch }),
    ...(routes !== undefined &&
      asked.includes(CLASSLESS_ROUTES) && { classlessRoutes: allRoutes(routes, router) }),
  }
}

// RFC 3442: a client that gets option 121 must ignore option 3.
function allRoutes(routes: readonly ClasslessRoute[], router: number | undefined): readonly ClasslessRoute[] {
  if (router === undefined || routes.some((route) => route.prefixLength === 0)) return routes
  return [...routes, { destination: 0, prefixLength: 0, router }]
}

import type { UdpSocket } from '../../netboot/dhcp/kernel-drops.js'
import { formatIpv4, parseSubnet } from '../../wire/ipv4.js'
import type { ProbeResult } from './dhcp-probe.js'
import { routeTo, type HostInterface, type HostRoute } from './kernel-network.js'

/** A subnet of the configuration. */
export interface DoctorSubnet {
  readonly cidr: string
  readonly mode: 'authoritative' | 'proxy' | 'off'
  /** Ours, dotted. */
  readonly address: string
  readonly isRelayed: boolean
}

/** A relay that was heard. */
export interface SeenRelay {
  /** Its giaddr, dotted. */
  readonly address: string
  /** The subnet that its clients are served from; undefined when it is none of ours. */
  readonly cidr: string | undefined
}

/** How far the present boot of a machine came; times of the wall clock in milliseconds. */
export interface BootInProgress {
  readonly machine: string
  readonly poweredOnMs: number | undefined
  /** Its first DHCP message since then, and how many seconds it said that it had been asking (`secs`). */
  readonly heardMs: number | undefined
  readonly secs: number
  /** When it was told as a proxy what to boot. */
  readonly proxiedMs: number | undefined
  /** The last that it did besides asking on port 67: a question on 4011, a loader, a script. */
  readonly followedMs: number | undefined
}

/** Everything that a verdict stands on. */
export interface NetworkFacts {
  readonly subnets: readonly (DoctorSubnet & { readonly probe: ProbeResult | undefined })[]
  readonly interfaces: readonly HostInterface[]
  readonly routes: readonly HostRoute[]
  readonly sockets: readonly Omit<UdpSocket, 'inode'>[]
  readonly dhcpPort: number
  /** Where servers ask for their metadata (dotted); undefined when none is served. */
  readonly metadataAddress: string | undefined
  readonly relays: readonly SeenRelay[]
  readonly boots: readonly BootInProgress[]
}

/** Something that is wrong, and what to do about it. */
export interface Finding {
  /** A subnet, interface, socket, relay or machine. */
  readonly about: string
  readonly message: string
}

/** A link that has only just come up may still be silent. */
const SILENT_MS = 30_000
/** What is older is no boot in progress. */
const FORGOTTEN_MS = 30 * 60_000
/** A first packet so late in its own count was preceded by lost ones. */
const LATE_SECS = 8
const PROXY_PATIENCE_MS = 10_000

/** What is wrong, in the order of the cable: links, sockets, other servers, relays, machines. */
export function networkFindings(facts: NetworkFacts, nowMs: number): readonly Finding[] {
  return [
    ...facts.subnets.flatMap((subnet) => linkFindings(subnet, facts)),
    ...facts.subnets.flatMap((subnet) => socketFindings(subnet, facts)),
    ...facts.sockets.flatMap(dropFindings),
    ...metadataFindings(facts),
    ...facts.subnets.flatMap(otherServerFindings),
    ...facts.subnets.flatMap((subnet) => routeFindings(subnet, facts)),
    ...facts.relays.flatMap((relay) => relayFindings(relay, facts)),
    ...facts.boots.flatMap((boot) => bootFindings(boot, nowMs)),
  ]
}

/** What is told of a server that answers beside us; undefined when it is as it should be. */
export function otherServerFindings({
  cidr,
  mode,
  probe,
}: DoctorSubnet & { readonly probe: ProbeResult | undefined }): readonly Finding[] {
  if (probe === undefined) return []
  if (!probe.isAsked)
    return [{ about: cidr, message: `whether other DHCP servers answer is not known: ${probe.reason}` }]
  if (mode === 'proxy') {
    if (probe.servers.some(({ offered }) => offered !== undefined)) return []
    const message =
      'no DHCP server gives addresses here, and mode "proxy" never does: machines stay without one'
    return [{ about: cidr, message }]
  }
  return probe.servers.map(({ serverAddress, offered, bootFile }) => {
    const does = [
      offered && `offers the address ${offered}`,
      bootFile && `tells machines to boot ${bootFile}`,
    ]
    const what = does.filter((text) => text !== undefined).join(' and ') || 'answers without an address'
    const message =
      `${serverAddress} answers DHCP here too: it ${what}. Whoever is faster wins: ` +
      'switch it off, or set mode = "proxy" and let it give the addresses'
    return { about: cidr, message }
  })
}

function linkFindings(
  { cidr, mode, isRelayed, address }: DoctorSubnet,
  { interfaces }: NetworkFacts,
): Finding[] {
  if (mode === 'off' || isRelayed) return []
  const link = interfaces.find((one) => one.addresses.some((own) => own.split('/')[0] === address))
  if (link === undefined)
    return [{ about: cidr, message: `no interface of this host has our address ${address}` }]
  const findings: Finding[] = []
  if (link.state === 'down' || link.state === 'lowerlayerdown')
    findings.push({ about: link.name, message: `the link is ${link.state}: nothing is heard on ${cidr}` })
  const delay = link.forwardDelaySeconds ?? 0
  if (delay >= 2) {
    const message = `this bridge passes a new link's packets only after ${delay} s: set its forward_delay to 0`
    findings.push({ about: link.name, message })
  }
  return findings
}

function socketFindings(
  { cidr, mode, isRelayed }: DoctorSubnet,
  { sockets, dhcpPort }: NetworkFacts,
): Finding[] {
  if (mode === 'off' || isRelayed || sockets.length === 0) return []
  if (sockets.some(({ port }) => port === dhcpPort)) return []
  return [{ about: cidr, message: `no socket is bound to port ${dhcpPort}: DHCP is not served` }]
}

function dropFindings({ address, port, drops }: Omit<UdpSocket, 'inode'>): Finding[] {
  if (drops === 0) return []
  const message = `${drops} datagrams were lost because its buffer was full: raise net.core.rmem_max to 1 MiB or more`
  return [{ about: `udp ${address}:${port}`, message }]
}

function metadataFindings({ metadataAddress, interfaces }: NetworkFacts): Finding[] {
  const isOurs = interfaces.some(({ addresses }) =>
    addresses.some((own) => own.split('/')[0] === metadataAddress),
  )
  if (metadataAddress === undefined || isOurs) return []
  const message = `no interface has this address: servers get no metadata over HTTP. ${metadataRemedy(metadataAddress)}`
  return [{ about: metadataAddress, message }]
}

/** How the host is given the address of the metadata service. */
export function metadataRemedy(address: string): string {
  return `Start ingot-metadata-address.service, or: ip address add ${address}/32 dev lo`
}

function routeFindings({ cidr, mode, isRelayed }: DoctorSubnet, { routes }: NetworkFacts): Finding[] {
  const segment = parseSubnet(cidr)
  if (mode === 'off' || !isRelayed || segment === undefined) return []
  if (routeTo(formatIpv4(segment.network + 1), routes) !== undefined) return []
  return [
    {
      about: cidr,
      message: 'this host has no route to it: neither its relay nor its machines get an answer',
    },
  ]
}

function relayFindings({ address, cidr }: SeenRelay, { routes, subnets }: NetworkFacts): Finding[] {
  if (cidr === undefined) {
    const known = subnets.map((one) => one.cidr).join(', ')
    return [
      { about: address, message: `this relay asks for a subnet that no [[subnet]] is; there are ${known}` },
    ]
  }
  if (routeTo(address, routes) !== undefined) return []
  return [{ about: address, message: 'this host has no route to this relay: it gets no answer' }]
}

const PORTFAST =
  'set the switch port to portfast (edge), and a LACP port to individual fallback, since firmware asks as soon as the link is up'

function bootFindings(boot: BootInProgress, nowMs: number): Finding[] {
  return [silentBoot(boot, nowMs), lateBoot(boot, nowMs), proxiedBoot(boot, nowMs)].flatMap((message) =>
    message === undefined ? [] : [{ about: boot.machine, message }],
  )
}

function silentBoot({ poweredOnMs, heardMs }: BootInProgress, nowMs: number): string | undefined {
  if (poweredOnMs === undefined || (heardMs !== undefined && heardMs >= poweredOnMs)) return undefined
  const silentMs = nowMs - poweredOnMs
  if (silentMs < SILENT_MS || silentMs > FORGOTTEN_MS) return undefined
  const silentFor = `powered on ${Math.round(silentMs / 1000)} s ago, and no DHCP packet came`
  return `${silentFor}: is the cable in this segment, and does it boot from the network? If so, ${PORTFAST}`
}

function lateBoot({ heardMs, secs }: BootInProgress, nowMs: number): string | undefined {
  if (heardMs === undefined || secs < LATE_SECS || nowMs - heardMs > FORGOTTEN_MS) return undefined
  return `its first DHCP packet that came was sent after it had asked for ${secs} s: ${PORTFAST}`
}

function proxiedBoot({ proxiedMs, followedMs }: BootInProgress, nowMs: number): string | undefined {
  if (proxiedMs === undefined || (followedMs !== undefined && followedMs >= proxiedMs)) return undefined
  const waitedMs = nowMs - proxiedMs
  if (waitedMs < PROXY_PATIENCE_MS || waitedMs > FORGOTTEN_MS) return undefined
  return (
    'it was told by proxy what to boot and did not come back, neither to port 4011 nor for its loader: ' +
    'this firmware takes no proxy (some Dell and HPE UEFI do not). ' +
    "Name us in the other server's options 66 and 67, or give addresses here"
  )
}

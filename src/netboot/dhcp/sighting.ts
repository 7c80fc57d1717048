import type { DhcpPacket } from './codec.js'
import type { DhcpMachine, ServedSubnet } from './dhcp-subnets.js'

/** A DHCP message as the server understood it. */
export interface DhcpSighting {
  /** Lower case with colons; empty when it has none. */
  readonly mac: string
  /** Whether a machine has this MAC. */
  readonly isKnown: boolean
  /** The relay's address, 0 without one. */
  readonly giaddr: number
  /** How long the client said that it had been asking. */
  readonly secs: number
  /** The subnet that it belongs to; undefined when it is none of ours. */
  readonly cidr: string | undefined
  /** Heard on port 4011. */
  readonly isPxePort: boolean
  /** Answered with what to boot and without an address. */
  readonly isProxied: boolean
}

/** Who wants to know what a DHCP server hears. */
export interface DhcpWatch {
  /** Told of every message that is one. */
  saw(sighting: DhcpSighting): void
  /** Whether a MAC is one that we ask with ourselves, to find other servers: it is not answered. */
  isOurs(mac: string): boolean
}

/** A message, its sender, and whether it came to port 4011 (then its source is known). */
export interface HeardMessage {
  readonly request: DhcpPacket
  readonly mac: string
  readonly machine: DhcpMachine | undefined
  readonly source: object | undefined
}

/** What is told of a message to a {@link DhcpWatch}. */
export function sightingOf(
  { request, mac, machine, source }: HeardMessage,
  subnet: ServedSubnet | undefined,
  isAnswered: boolean,
): DhcpSighting {
  const isProxied = isAnswered && subnet?.policy.mode === 'proxy'
  const who = { mac: machine?.mac ?? mac, isKnown: machine !== undefined, isPxePort: source !== undefined }
  return { ...who, giaddr: request.giaddr, secs: request.secs, cidr: subnet?.cidr, isProxied }
}

import { formatIpv4, isInSubnet } from '../../wire/ipv4.js'
import type { LeaseRecord } from '../../registry/records.js'
import type { DecideBoot } from '../boot-client.js'
import { bootClient, clientMac } from './boot-traits.js'
import { MESSAGE, replyBudget } from './codec.js'
import type { DhcpPacket } from './codec.js'
import { addressReply, informReply, nakReply, withBoot } from './reply.js'
import type { NetworkPolicy } from './reply.js'

/** How long an offered address is kept for the client that was offered it. */
export const OFFER_MS = 60_000
/** How long a declined pool address is left alone: somebody else uses it. */
export const QUARANTINE_MS = 3_600_000
/** RFC 3046 §2.0 sub-option; RFC 3527 link selection. */
const LINK_SELECTION = 5

/** Everything an operator set that a decision needs. */
export interface DhcpPolicy extends NetworkPolicy {
  /** Answer for clients nobody told us about: NAK them, and confirm free addresses they remember. */
  readonly authoritative: boolean
  readonly bootAnswer: DecideBoot
}

/** What we know of a client before it is answered; undefined instead when it is nobody of ours. */
export interface ClientRecord {
  /** The address it may have; undefined when the pool has none left. */
  readonly ip: number | undefined
  /** Whether `ip` is the client's already: fixed, leased or offered. */
  readonly isHeld: boolean
  readonly hostName?: string | undefined
}

/** What must become true before the reply is sent (or, with silence, now). */
export type Effect =
  | { readonly kind: 'offer'; readonly ip: number; readonly untilMs: number }
  | { readonly kind: 'bind'; readonly lease: LeaseRecord }
  | { readonly kind: 'withdraw' }
  | { readonly kind: 'release'; readonly ip: number }
  | { readonly kind: 'decline'; readonly ip: number; readonly untilMs: number }

/** A message to send. */
export interface DhcpReply {
  readonly kind: 'reply'
  readonly packet: DhcpPacket
  /** UDP payload the client takes. */
  readonly budgetBytes: number
  /** `broadcast` is 255.255.255.255 and the client port; relays are answered on the server port. */
  readonly to: { readonly ip: number | 'broadcast'; readonly port: 'client' | 'relay' }
  readonly effect?: Effect
  /** Set on an ACK that begins a boot or a session, not on a renewal: why it boots what it boots. */
  readonly bootReason?: string
}

/** Why a message gets no answer: the names of the drop counters. */
export const SILENCE = [
  'not-ethernet',
  'bootp',
  'server-message',
  'unknown-machine',
  'unknown-link',
  'pool-full',
  'address-outside-subnet',
  'inform-from-elsewhere',
  'other-server',
  'no-record',
  'no-address',
  'released',
  'declined',
] as const

/** One of {@link SILENCE}. */
export type SilenceReason = (typeof SILENCE)[number]

/** No answer, and why. */
export interface Silence {
  readonly kind: 'silence'
  readonly reason: SilenceReason
  readonly effect?: Effect
}

interface Question {
  readonly request: DhcpPacket
  readonly mac: string
  readonly record: ClientRecord
  readonly policy: DhcpPolicy
  readonly nowMs: number
}

/** What to answer to `request` (RFC 2131 §4.3). `record` is what we know of the client, if it is one of ours. */
export function decideDhcp(
  request: DhcpPacket,
  record: ClientRecord | undefined,
  policy: DhcpPolicy,
  nowMs: number,
): DhcpReply | Silence {
  const mac = clientMac(request)
  if (mac === undefined) return silence('not-ethernet')
  if (request.options.messageType === undefined) return silence('bootp')
  if (!isOnOurLink(request, policy)) return silence('unknown-link')
  if (record === undefined) return silence('unknown-machine')
  return decideByType({ request, mac, record, policy, nowMs })
}

function decideByType(question: Question): DhcpReply | Silence {
  switch (question.request.options.messageType) {
    case MESSAGE.DISCOVER:
      return decideDiscover(question)
    case MESSAGE.REQUEST:
      return decideRequest(question)
    case MESSAGE.DECLINE:
      return decideDecline(question)
    case MESSAGE.RELEASE:
      return decideRelease(question)
    case MESSAGE.INFORM:
      return decideInform(question)
    default:
      return silence('server-message')
  }
}

function decideDiscover(question: Question): DhcpReply | Silence {
  const { record, policy, nowMs } = question
  if (record.ip === undefined) return silence('pool-full')
  if (!isInSubnet(record.ip, policy.subnet)) return silence('address-outside-subnet')
  return {
    ...give(question, MESSAGE.OFFER, record.ip),
    effect: { kind: 'offer', ip: record.ip, untilMs: nowMs + OFFER_MS },
  }
}

// RFC 2131 §4.3.2 tells the four states apart by 54, 50 and ciaddr.
function decideRequest(question: Question): DhcpReply | Silence {
  const { request, record, policy } = question
  const { serverId, requestedIp } = request.options
  if (serverId !== undefined && serverId !== policy.serverAddress) {
    return { ...silence('other-server'), effect: { kind: 'withdraw' } }
  }
  const isSelecting = serverId !== undefined
  // renewing and rebinding clients put their address into ciaddr; dhcping sends 50 as well
  const named = request.ciaddr === 0 ? requestedIp : request.ciaddr
  // npm dhcp's client (0.2.20) names no address when it takes an offer: it can only mean the one it was offered
  const wanted = named ?? (record.isHeld ? record.ip : undefined)
  if (wanted === undefined) return silence('no-address')
  return confirmOrRefuse(question, wanted, isSelecting)
}

function confirmOrRefuse(question: Question, wanted: number, isSelecting: boolean): DhcpReply | Silence {
  const { request, record, policy } = question
  const isOurs = isSelecting || record.isHeld || policy.authoritative
  if (!isOurs) return silence('no-record') // "the server MUST remain silent" (§4.3.2, INIT-REBOOT)
  if (record.ip === wanted && isInSubnet(wanted, policy.subnet)) return acknowledge(question, wanted)
  return {
    kind: 'reply',
    packet: nakReply(request, `${formatIpv4(wanted)} is not yours here`, policy),
    budgetBytes: replyBudget(request.options.maxMessageSize),
    to: request.giaddr === 0 ? { ip: 'broadcast', port: 'client' } : { ip: request.giaddr, port: 'relay' },
  }
}

function acknowledge(question: Question, ip: number): DhcpReply {
  const { request, mac, policy, nowMs } = question
  const { clientId } = request.options
  const lease: LeaseRecord = {
    ip: formatIpv4(ip),
    mac,
    clientId: clientId === undefined ? undefined : Buffer.from(clientId).toString('hex'),
    expiresMs: nowMs + policy.leaseSeconds * 1000,
  }
  const isRenewal = request.ciaddr !== 0
  const { bootReason = '', ...reply } = give(question, MESSAGE.ACK, ip)
  return { ...reply, effect: { kind: 'bind', lease }, ...(!isRenewal && { bootReason }) }
}

// The client found somebody else on the address (RFC 2131 §4.3.3).
function decideDecline({ request, record, policy, nowMs }: Question): Silence {
  const { serverId, requestedIp } = request.options
  if (serverId !== undefined && serverId !== policy.serverAddress) return silence('other-server')
  if (requestedIp === undefined || requestedIp !== record.ip || !record.isHeld) return silence('no-record')
  return {
    ...silence('declined'),
    effect: { kind: 'decline', ip: requestedIp, untilMs: nowMs + QUARANTINE_MS },
  }
}

// RFC 2131 §4.3.4; dhcping (and some firmware) sends no 54.
function decideRelease({ request, record, policy }: Question): Silence {
  const { serverId } = request.options
  if (serverId !== undefined && serverId !== policy.serverAddress) return silence('other-server')
  if (!record.isHeld || request.ciaddr !== record.ip) return silence('no-record')
  return { ...silence('released'), effect: { kind: 'release', ip: request.ciaddr } }
}

// Only addresses of our subnet: nobody is to make us send elsewhere.
function decideInform(question: Question): DhcpReply | Silence {
  const { request, mac, policy } = question
  if (request.ciaddr === 0) return silence('no-address')
  const isHost = isInSubnet(request.ciaddr, policy.subnet) && request.ciaddr !== policy.subnet.broadcast
  if (!isHost) return silence('inform-from-elsewhere')
  const client = bootClient(mac, request.options)
  return {
    kind: 'reply',
    packet: withBoot(informReply(request, policy), client, policy.bootAnswer(client)),
    budgetBytes: replyBudget(request.options.maxMessageSize),
    to: { ip: request.ciaddr, port: 'client' }, // "unicast ... to the address given in ciaddr" (§4.3.5)
  }
}

function give(question: Question, messageType: number, ip: number): DhcpReply {
  const { request, mac, record, policy } = question
  const client = bootClient(mac, request.options)
  const boot = policy.bootAnswer(client)
  const plain = addressReply(request, messageType, ip, policy)
  const { hostName } = record
  const named = hostName === undefined ? plain : { ...plain, options: { ...plain.options, hostName } }
  return {
    kind: 'reply',
    packet: withBoot(named, client, boot),
    budgetBytes: replyBudget(request.options.maxMessageSize),
    to: destination(request, ip),
    ...(boot !== undefined && { bootReason: boot.reason }),
  }
}

/**
 * RFC 2131 §4.1, but a client without an address is always answered by broadcast, flag or not: the kernel
 * cannot ARP for an address nobody has yet. OVMF, iPXE and dhclient all take 255.255.255.255.
 */
function destination({ giaddr, ciaddr }: DhcpPacket, yiaddr: number): DhcpReply['to'] {
  if (giaddr !== 0) return { ip: giaddr, port: 'relay' }
  // a DISCOVER has no business with a ciaddr: never send where it says
  return ciaddr === yiaddr ? { ip: ciaddr, port: 'client' } : { ip: 'broadcast', port: 'client' }
}

// The client's link: 82.5 (RFC 3527), else 118 (RFC 3011), else the relay's own address; 0 is our segment.
function isOnOurLink(request: DhcpPacket, policy: DhcpPolicy): boolean {
  const link = linkSelection(request.options.relayInfo) ?? request.options.subnetSelection ?? request.giaddr
  return link === 0 || isInSubnet(link, policy.subnet)
}

function linkSelection(relayInfo: Uint8Array | undefined): number | undefined {
  if (relayInfo === undefined) return undefined
  for (let at = 0; at + 1 < relayInfo.length; at += 2 + (relayInfo[at + 1] ?? 0)) {
    const value = relayInfo.subarray(at + 2, at + 2 + (relayInfo[at + 1] ?? 0))
    if (relayInfo[at] === LINK_SELECTION && value.length === 4) {
      return value.reduce((sum, byte) => sum * 256 + byte, 0)
    }
  }
  return undefined
}

function silence(reason: SilenceReason): Silence {
  return { kind: 'silence', reason }
}

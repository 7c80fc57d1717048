import type { LeaseRecord } from '../../registry/records.js'
import { formatIpv4, isInSubnet } from '../../wire/ipv4.js'
import { bootClient, clientMac } from './boot-traits.js'
import { BOOTP_BYTES, MESSAGE, replyBudget } from './codec.js'
import type { DhcpPacket } from './codec.js'
import { silence } from './decision.js'
import type { ClientRecord, DhcpPolicy, DhcpReply, Silence } from './decision.js'
import { decideProxy } from './proxy.js'
import { addressReply, bootpReply, informReply, nakReply, serverIdFor, withBoot } from './reply.js'

/** How long an offered address is kept for the client that was offered it. */
export const OFFER_MS = 60_000
/** How long a declined pool address is left alone: somebody else uses it. */
export const QUARANTINE_MS = 3_600_000

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
  if (mac === undefined) return silence('no-hardware-address')
  if (record === undefined) return silence('unknown-machine')
  if (policy.mode === 'proxy') return decideProxy(request, record, policy)
  return decideByType({ request, mac, record, policy, nowMs })
}

function decideByType(question: Question): DhcpReply | Silence {
  switch (question.request.options.messageType) {
    case undefined:
      return decideBootp(question)
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

// RFC 951, RFC 1534 §2: an address for good, so only where one is set aside for the machine.
function decideBootp(question: Question): DhcpReply | Silence {
  const { request, record, policy, mac } = question
  const { ip } = record
  if (record.isFixed !== true || ip === undefined) return silence('bootp')
  if (!isInSubnet(ip, policy.subnet)) return silence('address-outside-subnet')
  const client = bootClient(record.bootMac ?? mac, request.options)
  return {
    kind: 'reply',
    packet: withBoot(named(bootpReply(request, ip, policy), record), client, policy.bootAnswer(client)),
    budgetBytes: BOOTP_BYTES,
    to: destination(request, ip),
  }
}

// RFC 2131 §4.3.2 tells the four states apart by 54, 50 and ciaddr.
function decideRequest(question: Question): DhcpReply | Silence {
  const { request, record, policy } = question
  const { requestedIp } = request.options
  if (isForOther(request, policy)) return { ...silence('other-server'), effect: { kind: 'withdraw' } }
  // renewing and rebinding clients put their address into ciaddr; dhcping sends 50 as well
  const named = request.ciaddr === 0 ? requestedIp : request.ciaddr
  // npm dhcp's client (0.2.20) names no address when it takes an offer: it can only mean the one it was offered
  const wanted = named ?? (record.isHeld ? record.ip : undefined)
  if (wanted === undefined) return silence('no-address')
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
  const { requestedIp } = request.options
  if (isForOther(request, policy)) return silence('other-server')
  if (requestedIp === undefined || requestedIp !== record.ip || !record.isHeld) return silence('no-record')
  return {
    ...silence('declined'),
    effect: { kind: 'decline', ip: requestedIp, untilMs: nowMs + QUARANTINE_MS },
  }
}

// RFC 2131 §4.3.4; dhcping (and some firmware) sends no 54.
function decideRelease({ request, record, policy }: Question): Silence {
  if (isForOther(request, policy)) return silence('other-server')
  if (!record.isHeld || request.ciaddr !== record.ip) return silence('no-record')
  return { ...silence('released'), effect: { kind: 'release', ip: request.ciaddr } }
}

// Only addresses of our subnet: nobody is to make us send elsewhere.
function decideInform(question: Question): DhcpReply | Silence {
  const { request, mac, record, policy } = question
  if (request.ciaddr === 0) return silence('no-address')
  const isHost = isInSubnet(request.ciaddr, policy.subnet) && request.ciaddr !== policy.subnet.broadcast
  if (!isHost) return silence('inform-from-elsewhere')
  const client = bootClient(record.bootMac ?? mac, request.options)
  return {
    kind: 'reply',
    packet: withBoot(informReply(request, policy), client, policy.bootAnswer(client)),
    budgetBytes: replyBudget(request.options.maxMessageSize),
    to: { ip: request.ciaddr, port: 'client' }, // "unicast ... to the address given in ciaddr" (§4.3.5)
  }
}

function give(question: Question, messageType: number, ip: number): DhcpReply {
  const { request, mac, record, policy } = question
  const client = bootClient(record.bootMac ?? mac, request.options)
  const boot = policy.bootAnswer(client)
  const reply = {
    kind: 'reply',
    packet: withBoot(named(addressReply(request, messageType, ip, policy), record), client, boot),
    budgetBytes: replyBudget(request.options.maxMessageSize),
    to: destination(request, ip),
  } as const
  return boot === undefined ? reply : { ...reply, bootReason: boot.reason }
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

function named(packet: DhcpPacket, { hostName }: ClientRecord): DhcpPacket {
  return hostName === undefined ? packet : { ...packet, options: { ...packet.options, hostName } }
}

function isForOther(request: DhcpPacket, policy: DhcpPolicy): boolean {
  const { serverId } = request.options
  return (
    serverId !== undefined && serverId !== policy.serverAddress && serverId !== serverIdFor(request, policy)
  )
}

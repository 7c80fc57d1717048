import { isInSubnet } from '../../wire/ipv4.js'
import { asksToBoot, type BootAnswer, type BootClient } from '../boot-client.js'
import { bootClient, clientMac } from './boot-traits.js'
import { MESSAGE, replyBudget } from './codec.js'
import type { DhcpPacket } from './codec.js'
import { silence } from './decision.js'
import type { ClientRecord, DhcpPolicy, DhcpReply, Silence } from './decision.js'
import { proxyReply, withBoot } from './reply.js'

/** Who sent a datagram. */
export interface Source {
  /** Unsigned 32 bits. */
  readonly ip: number
  readonly port: number
}

/**
 * Port 67 where another server gives the addresses (PXE 2.1 §2.2.3): a firmware or loader that asks around is told
 * what to boot; whatever is meant for the other server is left to it.
 */
export function decideProxy(
  request: DhcpPacket,
  record: ClientRecord | undefined,
  policy: DhcpPolicy,
): DhcpReply | Silence {
  const { messageType, serverId } = request.options
  switch (messageType) {
    case MESSAGE.DISCOVER:
      return answer({ request, record, policy }, MESSAGE.OFFER, relayOrLink(request))
    case MESSAGE.REQUEST:
      if (serverId !== policy.serverAddress) return silence('other-server')
      return answer({ request, record, policy }, MESSAGE.ACK, relayOrLink(request))
    case MESSAGE.INFORM:
      if (!isInSubnet(request.ciaddr, policy.subnet)) return silence('inform-from-elsewhere')
      return answer({ request, record, policy }, MESSAGE.ACK, { ip: request.ciaddr, port: 'client' })
    default:
      return silence('other-server')
  }
}

/**
 * Port 4011 (PXE 2.1 §2.2.3, §2.2.4), beside our own addresses or another server's: what to boot, sent to where the
 * question came from, since OVMF asks from port 4011 and iPXE from 68.
 */
export function decidePxe(
  request: DhcpPacket,
  source: Source,
  record: ClientRecord | undefined,
  policy: DhcpPolicy,
): DhcpReply | Silence {
  const { messageType } = request.options
  if (source.ip === 0) return silence('no-address')
  switch (messageType) {
    case MESSAGE.DISCOVER:
      return answer({ request, record, policy }, MESSAGE.OFFER, source)
    case MESSAGE.REQUEST:
    case MESSAGE.INFORM:
      return answer({ request, record, policy }, MESSAGE.ACK, source)
    default:
      return silence('server-message')
  }
}

function relayOrLink({ giaddr }: DhcpPacket): DhcpReply['to'] {
  return giaddr === 0 ? { ip: 'broadcast', port: 'client' } : { ip: giaddr, port: 'relay' }
}

interface Asked {
  readonly request: DhcpPacket
  readonly record: ClientRecord | undefined
  readonly policy: DhcpPolicy
}

function answer(
  { request, record, policy }: Asked,
  messageType: number,
  to: DhcpReply['to'],
): DhcpReply | Silence {
  const mac = clientMac(request)
  if (mac === undefined) return silence('no-hardware-address')
  if (record === undefined) return silence('unknown-machine')
  const client = bootClient(record.bootMac ?? mac, request.options)
  if (!asksToBoot(client)) return silence('no-boot-client')
  const boot = policy.bootAnswer(client)
  if (boot?.bootFile === undefined) return silence('nothing-to-boot')
  return {
    kind: 'reply',
    packet: withBoot(proxyReply(request, messageType, policy), client, asProxy(client, boot)),
    budgetBytes: replyBudget(request.options.maxMessageSize),
    to,
    bootReason: boot.reason,
  }
}

// A client knows a proxy by option 60; iPXE too.
function asProxy(client: BootClient, boot: BootAnswer): BootAnswer {
  return { vendorClass: client.isHttpClient ? 'HTTPClient' : 'PXEClient', ...boot }
}

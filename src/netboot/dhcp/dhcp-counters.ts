import type { DaemonEvent } from '../../events.js'
import { MESSAGE } from './codec.js'
import type { DhcpPacket } from './codec.js'
import { SILENCE } from './decision.js'
import type { SilenceReason } from './decision.js'
import { linkName } from './dhcp-subnets.js'

/** What happened since the server was made. */
export interface DhcpCounters {
  received: number
  offers: number
  acks: number
  naks: number
  /** Replies to BOOTP clients. */
  bootp: number
  /** Datagrams that break the format. */
  malformed: number
  /** Datagrams of a source that had its share for this second. */
  rateLimited: number
  /** Our own mistakes, each logged. */
  failed: number
  /** ACKs not sent because their lease could not be saved. */
  unsaved: number
  sendErrors: number
  /** Datagrams that the kernel dropped because a receive buffer was full. */
  kernelDrops: number
  /** Messages not answered, by reason. */
  readonly silent: Record<SilenceReason, number>
}

/** All zero. */
export function freshCounters(): DhcpCounters {
  const silent = Object.fromEntries(SILENCE.map((reason) => [reason, 0])) as Record<SilenceReason, number>
  const counts = { received: 0, offers: 0, acks: 0, naks: 0, bootp: 0, malformed: 0, rateLimited: 0 }
  return { ...counts, failed: 0, unsaved: 0, sendErrors: 0, kernelDrops: 0, silent }
}

/** Counts a reply. */
export function countReply(counters: DhcpCounters, { options }: DhcpPacket): void {
  if (options.messageType === MESSAGE.OFFER) counters.offers++
  else if (options.messageType === MESSAGE.ACK) counters.acks++
  else if (options.messageType === MESSAGE.NAK) counters.naks++
  else counters.bootp++
}

/** An event about a message that got no answer, and what it is told once about. */
export interface SilenceNote {
  readonly event: DaemonEvent
  readonly key: string
}

/** What an operator is told of a silence, if anything; told once for each key. */
export function silenceNote(
  reason: SilenceReason,
  mac: string,
  request: DhcpPacket,
): SilenceNote | undefined {
  const note = (message: string, about: string): SilenceNote => ({
    event: { kind: `dhcp.${reason}`, message, ...(about === mac && { mac }) },
    key: `${reason} ${about}`,
  })
  switch (reason) {
    case 'unknown-machine':
      return note(`${mac} asked for an address but belongs to no machine`, mac)
    case 'pool-full':
      return { ...note(`no address is left in the pool for ${mac}`, mac), key: reason }
    case 'address-outside-subnet':
      return note(`the address of ${mac} is outside the subnet served here`, mac)
    case 'declined':
      return note(`${mac} found its address in use by somebody else`, mac)
    case 'unknown-link': {
      const link = linkName(request)
      return note(`a relay asked for the subnet of ${link}, which no [[subnet]] has`, link)
    }
    default:
      return undefined
  }
}

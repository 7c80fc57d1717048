import { MESSAGE } from './codec.js'
import type { DhcpPacket } from './codec.js'
import { SILENCE } from './decision.js'
import type { SilenceReason } from './decision.js'

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

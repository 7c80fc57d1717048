import type { LeaseRecord } from '../../registry/records.js'
import type { DecideBoot } from '../boot-client.js'
import type { DhcpPacket } from './codec.js'
import type { NetworkPolicy } from './reply.js'

/** Everything an operator set that a decision needs. */
export interface DhcpPolicy extends NetworkPolicy {
  /** `proxy`: the addresses are another server's; never one of ours, never a NAK. */
  readonly mode: 'authoritative' | 'proxy'
  readonly bootAnswer: DecideBoot
}

/** What we know of a client before it is answered; undefined instead when it is nobody of ours. */
export interface ClientRecord {
  /** The address it may have; undefined when the pool has none left. */
  readonly ip: number | undefined
  /** Whether `ip` is the client's already: fixed, leased or offered. */
  readonly isHeld: boolean
  /** `ip` is a machine's for good, so that BOOTP clients may have it. */
  readonly isFixed?: boolean
  readonly hostName?: string | undefined
  /** The enrolled MAC, when the machine was found by its switch port (82.1, 82.2). */
  readonly bootMac?: string | undefined
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
  readonly to: { readonly ip: number | 'broadcast'; readonly port: 'client' | 'relay' | number }
  readonly effect?: Effect
  /** Set on an ACK that begins a boot or a session, not on a renewal: why it boots what it boots. */
  readonly bootReason?: string
}

/** Why a message gets no answer: the names of the drop counters. */
export const SILENCE = [
  'no-hardware-address',
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
  'no-boot-client',
  'nothing-to-boot',
] as const

/** One of {@link SILENCE}. */
export type SilenceReason = (typeof SILENCE)[number]

/** No answer, and why. */
export interface Silence {
  readonly kind: 'silence'
  readonly reason: SilenceReason
  readonly effect?: Effect
}

/** A {@link Silence}. */
export function silence(reason: SilenceReason): Silence {
  return { kind: 'silence', reason }
}

import { systemCode } from '../../errors.js'
import type { DaemonEvent } from '../../events.js'
import { formatIpv4 } from '../../wire/ipv4.js'
import { toldName } from '../told-name.js'
import type { DhcpPacket } from './codec.js'
import type { DhcpReply, SilenceReason } from './decision.js'
import { linkName } from './dhcp-subnets.js'
import type { DhcpMachine } from './dhcp-subnets.js'

/** An event about a message that got no answer, and what it is told once about. */
export interface SilenceNote {
  readonly event: DaemonEvent
  readonly key: string
  /** Whether anybody can cause as many of them as he likes. */
  readonly isByAnybody: boolean
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
    isByAnybody: reason === 'unknown-machine' || reason === 'unknown-link',
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

/**
 * That a machine was given its address. Undefined for strangers and for a renewal, which is no step of a boot:
 * firmware, loader and system each begin with an ACK of their own.
 */
export function ackEvent(
  { packet, bootReason }: DhcpReply,
  mac: string,
  machine: DhcpMachine | undefined,
): DaemonEvent | undefined {
  if (machine === undefined || bootReason === undefined) return undefined
  const ip = formatIpv4(packet.yiaddr)
  const boot = toldName(packet.options.bootFile ?? 'nothing to boot')
  const why = bootReason === '' ? '' : ` (${bootReason})`
  const message = `${machine.name} was given ${ip} and ${boot}${why}`
  return { kind: 'dhcp.ack', stage: 'dhcp', message, mac: machine.mac ?? mac, ip }
}

/** That a reply could not leave: to a relay, or a client behind one, there may be no route. */
export function unsentEvent(ip: string, cause: Error): DaemonEvent {
  const why = systemCode(cause) ?? cause.message
  return { kind: 'dhcp.unsent', message: `a DHCP reply to ${ip} could not be sent: ${why}`, ip }
}

/** That a machine was told what to boot, whoever gives the addresses. */
export function proxyEvent(
  { packet, bootReason }: DhcpReply,
  mac: string,
  machine: DhcpMachine | undefined,
): DaemonEvent | undefined {
  if (machine === undefined || bootReason === undefined || packet.yiaddr !== 0) return undefined
  const message = `${machine.name} was told to boot ${toldName(packet.options.bootFile ?? 'nothing')} (${bootReason})`
  return { kind: 'dhcp.proxy', stage: 'dhcp', message, mac: machine.mac ?? mac }
}

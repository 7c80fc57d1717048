import { macToBytes } from '../../src/wire/mac.js'
import { parseIpv4 } from '../../src/wire/ipv4.js'
import { encodePacket, OP } from '../../src/netboot/dhcp/codec.js'
import type { DhcpPacket } from '../../src/netboot/dhcp/codec.js'
import type { Options } from '../../src/netboot/dhcp/options.js'

/** A dotted address as a number. */
export function ip4(text: string): number {
  return parseIpv4(text) ?? 0
}

/** A client's message with everything unset but what is said. */
export function dhcpRequest(
  messageType: number | undefined,
  options: Options = {},
  header: Partial<DhcpPacket> & { mac?: string } = {},
): DhcpPacket {
  const { mac = '52:54:00:00:00:01', ...fields } = header
  return {
    ...{ op: OP.REQUEST, htype: 1, hops: 0, xid: 0x1234, secs: 0, flags: 0 },
    ...{ ciaddr: 0, yiaddr: 0, siaddr: 0, giaddr: 0, sname: '', file: '' },
    chaddr: macToBytes(mac),
    ...fields,
    options: { ...(messageType !== undefined && { messageType }), ...options },
  }
}

/** The same as bytes, padded to 300 as most clients do. */
export function dhcpDatagram(...args: Parameters<typeof dhcpRequest>): Buffer {
  return encodePacket(dhcpRequest(...args), 1472)
}

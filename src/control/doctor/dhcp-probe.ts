import { randomBytes } from 'node:crypto'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { Clock } from '../../clock.js'
import {
  decodePacket,
  encodePacket,
  FLAG_BROADCAST,
  MESSAGE,
  OP,
  replyBudget,
  type DhcpPacket,
} from '../../netboot/dhcp/codec.js'
import { formatIpv4 } from '../../wire/ipv4.js'
import { macFromBytes, macToBytes } from '../../wire/mac.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'

/** Long enough for a server that pings an address before it offers it (ISC dhcpd: one second). */
const LISTEN_MS = 2000
/** A lost DISCOVER would look like nobody's silence. */
const REPEAT_MS = 700
const MAX_MESSAGE = 1472
/** RFC 4578 §2.1 and §2.2: a BIOS with UNDI 2.1. */
const BIOS = { clientArch: [0], clientNdi: Uint8Array.of(1, 2, 1) } as const
/** Mask, router, DNS, vendor options, server, class, boot server and file. */
const WANTED = Uint8Array.of(1, 3, 6, 43, 54, 60, 66, 67)

/** Where to ask. */
export interface ProbeOptions {
  /** Our address on the segment, dotted: the question leaves by its interface. */
  readonly address: string
  /** What the question is asked with: locally administered, a station's, nobody's. */
  readonly mac: string
  /** Where questions leave by: default port 68 on `address`. */
  readonly clientPort?: number
  readonly serverPort?: number
  /** Default 255.255.255.255. */
  readonly broadcastAddress?: string
  readonly listenMs?: number
}

/** A DHCP server that answered; addresses are dotted. */
export interface OtherServer {
  /** Its option 54, or where its answer came from. */
  readonly serverAddress: string
  /** The address that it would give; undefined from a proxy, which gives none. */
  readonly offered: string | undefined
  /** The boot file that it names, with its server: machines may boot from there. */
  readonly bootFile: string | undefined
}

/** Who answered, or why nobody could be asked. */
export type ProbeResult =
  | { readonly isAsked: true; readonly servers: readonly OtherServer[] }
  | { readonly isAsked: false; readonly reason: string }

/**
 * Asks the segment of `options.address` for every DHCP server on it, as a BIOS that wants to boot by PXE would, so that
 * a proxy answers too. No offer is ever taken: a server forgets it by itself. Never rejects.
 */
export async function probeDhcp(options: ProbeOptions, clock: Clock): Promise<ProbeResult> {
  const { address, clientPort = 68, serverPort = 67, broadcastAddress = '255.255.255.255' } = options
  const question = discover(options.mac)
  const servers = new Map<string, OtherServer>()
  const sockets: Socket[] = []
  try {
    const onDatagram = (datagram: Buffer, from: RemoteInfo): void => {
      const server = answerTo(question, datagram, from.address)
      if (server !== undefined && server.serverAddress !== address) servers.set(server.serverAddress, server)
    }
    // Offers come to the limited broadcast, which has to be bound to: a socket on our address does not hear it.
    await open(sockets, broadcastAddress, clientPort, onDatagram)
    const sender = await open(sockets, address, clientPort, onDatagram)
    const datagram = encodePacket(question, replyBudget(MAX_MESSAGE))
    const listenMs = options.listenMs ?? LISTEN_MS
    for (const waitMs of [Math.min(REPEAT_MS, listenMs), Math.max(0, listenMs - REPEAT_MS)]) {
      await sendOne(sender, datagram, serverPort, broadcastAddress)
      await new Promise<void>((resolve) => clock.after(waitMs, resolve))
    }
    return { isAsked: true, servers: [...servers.values()] }
  } catch (err) {
    return { isAsked: false, reason: err instanceof Error ? err.message : String(err) }
  } finally {
    for (const socket of sockets) socket.close()
  }
}

/** A random MAC that is locally administered and one station's. */
export function throwAwayMac(): string {
  return macFromBytes(Uint8Array.from([0x02, ...randomBytes(5)]))
}

/** The question: a DISCOVER that wants its answer by broadcast, since nobody has the address of `chaddr`. */
export function discover(mac: string): DhcpPacket {
  return {
    ...{ op: OP.REQUEST, htype: 1, hops: 0, secs: 0, flags: FLAG_BROADCAST },
    xid: Buffer.from(randomBytes(4)).reduce((value, byte) => value * 256 + byte, 0),
    ...{ ciaddr: 0, yiaddr: 0, siaddr: 0, giaddr: 0, chaddr: macToBytes(mac), sname: '', file: '' },
    options: {
      messageType: MESSAGE.DISCOVER,
      vendorClass: 'PXEClient:Arch:00000:UNDI:002001',
      maxMessageSize: MAX_MESSAGE,
      parameterList: WANTED,
      clientArch: [...BIOS.clientArch],
      clientNdi: BIOS.clientNdi,
    },
  }
}

/** Whose answer to `question` a datagram is; undefined when it is none. */
export function answerTo(question: DhcpPacket, datagram: Uint8Array, from: string): OtherServer | undefined {
  const packet = decoded(datagram)
  if (packet === undefined || !isAnswer(question, packet)) return undefined
  const { serverId, bootFile = packet.file } = packet.options
  const where = packet.siaddr === 0 ? '' : ` from ${formatIpv4(packet.siaddr)}`
  return {
    serverAddress: serverId === undefined ? from : formatIpv4(serverId),
    offered: packet.yiaddr === 0 ? undefined : formatIpv4(packet.yiaddr),
    bootFile: bootFile === '' ? undefined : `${bootFile}${where}`,
  }
}

function isAnswer(question: DhcpPacket, { op, xid, chaddr, options }: DhcpPacket): boolean {
  const isOurs = op === OP.REPLY && xid === question.xid && Buffer.compare(chaddr, question.chaddr) === 0
  // no type at all is a BOOTP server's
  return isOurs && (options.messageType === undefined || options.messageType === MESSAGE.OFFER)
}

function decoded(datagram: Uint8Array): DhcpPacket | undefined {
  try {
    return decodePacket(datagram)
  } catch (err) {
    if (err instanceof MalformedPacket) return undefined
    throw err
  }
}

async function open(
  sockets: Socket[],
  address: string,
  port: number,
  onDatagram: (datagram: Buffer, from: RemoteInfo) => void,
): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true }) // beside a DHCP client of this host
  sockets.push(socket)
  const listening = once(socket, 'listening')
  socket.on('message', onDatagram).bind({ address, port })
  await listening
  socket.on('error', () => undefined) // what cannot be received was not answered
  socket.setBroadcast(true)
  return socket
}

function sendOne(socket: Socket, datagram: Uint8Array, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(datagram, port, address, (err) => {
      if (err === null) resolve()
      else reject(err)
    })
  })
}

import { createSocket } from 'node:dgram'
import type { RemoteInfo, Socket, SocketOptions } from 'node:dgram'
import { once } from 'node:events'
import { kernelDrops } from './kernel-drops.js'

/** A boot storm arrives in bursts; the kernel's default of 208 KiB holds some 300 requests. */
const RECEIVE_BUFFER_BYTES = 1 << 20

/** Where a DHCP socket is to be. */
export interface DhcpSocketOptions {
  /** Dotted IPv4: source of every reply. */
  readonly address: string
  /** 0 picks a free port. */
  readonly port: number
  /** An inherited socket, bound to 0.0.0.0 and to one interface (systemd's BindToDevice); replaces the others. */
  readonly fd?: number | undefined
  /** Whether clients without an address are to be heard too; default true. */
  readonly hearsBroadcasts?: boolean
}

/** The sockets of one port of a segment. */
export interface DhcpSockets {
  readonly port: number
  send(datagram: Uint8Array, port: number, address: string, done: (err: Error | null) => void): void
  /** Datagrams that came while the receive buffers were full. */
  kernelDrops(): Promise<number>
  close(): Promise<void>
}

/**
 * Opens the sockets. Node knows no receiving interface (no IP_PKTINFO), and a socket that sends to
 * 255.255.255.255 leaves by the interface of the address it is bound to. So: one inherited socket per
 * interface or, for a single segment, one on the limited broadcast that only receives and one on our address
 * that takes unicast and sends everything.
 */
export async function openDhcpSockets(
  options: DhcpSocketOptions,
  onDatagram: (datagram: Buffer, from: RemoteInfo) => void,
  onFatal: (cause: Error) => void,
): Promise<DhcpSockets> {
  const { address, port, fd, hearsBroadcasts = true } = options
  const sockets: Socket[] = []
  const open = async (at: { address: string; port: number } | { fd: number }): Promise<Socket> => {
    const socket = createSocket({ type: 'udp4', lookup: asItIs })
    sockets.push(socket)
    const listening = once(socket, 'listening')
    socket.on('message', onDatagram).bind(at)
    await listening
    socket.on('error', onFatal).setRecvBufferSize(RECEIVE_BUFFER_BYTES)
    socket.setBroadcast(true)
    return socket
  }
  try {
    const sender = await open(fd === undefined ? { address, port } : { fd })
    const bound = sender.address().port
    const hasSecond = fd === undefined && hearsBroadcasts
    if (hasSecond) await open({ address: '255.255.255.255', port: bound })
    const addresses = hasSecond ? [address, '255.255.255.255'] : [address]
    return {
      port: bound,
      send: (datagram, toPort, toAddress, done) => sender.send(datagram, toPort, toAddress, done),
      kernelDrops: () => kernelDrops(fd === undefined ? { addresses, port: bound } : { fd }),
      close: () => closeAll(sockets),
    }
  } catch (err) {
    await closeAll(sockets)
    throw err
  }
}

async function closeAll(sockets: readonly Socket[]): Promise<void> {
  await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(resolve))))
}

/** Every address that is sent to is an address: nothing is to be looked up, not even in the next tick. */
const asItIs: NonNullable<SocketOptions['lookup']> = (address, _options, done) => done(null, address, 4)

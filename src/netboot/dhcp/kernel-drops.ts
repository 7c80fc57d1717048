import { readFile, readlink } from 'node:fs/promises'
import { formatIpv4 } from '../../wire/ipv4.js'

/** Which sockets of this process: all of a port on some addresses (dotted), or an inherited one. */
export type UdpSockets =
  { readonly addresses: readonly string[]; readonly port: number } | { readonly fd: number }

/** One line of the kernel's table of UDP sockets. */
export interface UdpSocket {
  /** Dotted. */
  readonly address: string
  readonly port: number
  readonly inode: string
  /** Bytes that wait to be read. */
  readonly queuedBytes: number
  /** Datagrams that came when its buffer was full, since it was bound. */
  readonly drops: number
}

/** What the kernel dropped at these sockets since they were opened; 0 where there is no /proc. */
export async function kernelDrops(sockets: UdpSockets): Promise<number> {
  try {
    const table = await readFile('/proc/self/net/udp', 'latin1')
    if ('addresses' in sockets) {
      const { addresses, port } = sockets
      return dropsIn(table, (row) => row.port === port && addresses.includes(row.address))
    }
    const inode = inodeIn(await readlink(`/proc/self/fd/${sockets.fd}`))
    return dropsIn(table, (row) => row.inode === inode)
  } catch {
    return 0 // no Linux, or a hidden /proc: nothing is known
  }
}

/** The sum of the drops of the sockets that count. */
export function dropsIn(table: string, counts: (socket: UdpSocket) => boolean): number {
  return parseUdpTable(table)
    .filter(counts)
    .reduce((sum, { drops }) => sum + drops, 0)
}

/** The inode in what a link of `/proc/PID/fd` says; undefined when it is no socket's. */
export function inodeIn(link: string): string | undefined {
  return /^socket:\[(\d+)\]$/.exec(link)?.[1]
}

/** `/proc/net/udp` (proc_net_udp; the column `drops` since Linux 2.6.27). */
export function parseUdpTable(table: string): readonly UdpSocket[] {
  return procRows(table).flatMap((columns) => {
    const [, local = '', , , queues = ''] = columns
    const [address = '', port = ''] = local.split(':')
    if (port === '') return []
    return {
      address: formatIpv4(littleEndian(address)),
      port: Number.parseInt(port, 16),
      inode: columns[9] ?? '',
      queuedBytes: Number.parseInt(queues.split(':')[1] ?? '', 16),
      drops: Number(columns[12] ?? 0),
    }
  })
}

/** The columns of each line of a table of `/proc/net`, without its heading. */
export function procRows(table: string): readonly string[][] {
  const lines = table.split('\n').slice(1)
  return lines.filter((line) => line.trim() !== '').map((line) => line.trim().split(/\s+/))
}

/** An address as `/proc/net` writes it: the word as it lies in the memory of x86 and arm64. */
export function littleEndian(hex: string): number {
  return Number.parseInt((hex.match(/../g) ?? []).reverse().join(''), 16)
}

import { readFile, readlink } from 'node:fs/promises'
import { parseIpv4 } from '../../wire/ipv4.js'

/** Which sockets of this process: all of a port on some addresses (dotted), or an inherited one. */
export type UdpSockets =
  { readonly addresses: readonly string[]; readonly port: number } | { readonly fd: number }

/** What the kernel dropped at these sockets since they were opened; 0 where there is no /proc. */
export async function kernelDrops(sockets: UdpSockets): Promise<number> {
  try {
    const table = await readFile('/proc/self/net/udp', 'latin1')
    if ('addresses' in sockets) {
      const locals = new Set(sockets.addresses.map((address) => localName(address, sockets.port)))
      return dropsIn(table, ({ local }) => locals.has(local))
    }
    const inode = /^socket:\[(\d+)\]$/.exec(await readlink(`/proc/self/fd/${sockets.fd}`))?.[1]
    return dropsIn(table, (row) => row.inode === inode)
  } catch {
    return 0 // no Linux, or a hidden /proc: nothing is known
  }
}

/** One line of the table: `local` is as the kernel writes it, the address in host order. */
export interface UdpRow {
  readonly local: string
  readonly inode: string
  readonly drops: number
}

/** The sum of the column `drops` (proc_net_udp, since Linux 2.6.27) of the rows that count. */
export function dropsIn(table: string, counts: (row: UdpRow) => boolean): number {
  const rows = table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
  return rows.reduce((sum, columns) => {
    const row = { local: columns[1] ?? '', inode: columns[9] ?? '', drops: Number(columns[12] ?? 0) }
    return counts(row) ? sum + row.drops : sum
  }, 0)
}

// x86 and arm64 are little-endian, and the kernel prints the word as it lies.
function localName(address: string, port: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(parseIpv4(address) ?? 0)
  const hex = (value: string): string => value.toUpperCase()
  return `${hex(bytes.toString('hex'))}:${hex(port.toString(16).padStart(4, '0'))}`
}

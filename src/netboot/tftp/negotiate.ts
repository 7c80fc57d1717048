import type { TftpOptions } from './packet.js'

/** The most we grant. */
export interface TftpLimits {
  /** Bytes of data per block; 1468 fits an Ethernet frame with IP and UDP headers and never fragments. */
  readonly blksize: number
  /** Blocks per acknowledgement. */
  readonly windowsize: number
}

/** What a transfer runs with; `accepted` is the OACK, empty for a client that sent no option we know. */
export interface Negotiated {
  readonly blksize: number
  readonly windowsize: number
  /** First retransmission, milliseconds; undefined when the client left it to us. */
  readonly timeoutMs: number | undefined
  readonly accepted: TftpOptions
}

/** Limits for a plain Ethernet segment. */
export const DEFAULT_TFTP_LIMITS: TftpLimits = { blksize: 1468, windowsize: 16 }

const DEFAULT_BLKSIZE = 512

/**
 * Grants what a read request asked for, within `limits` (RFC 2347-2349, 7440). An unknown option or a value outside
 * its range is left out of the OACK, as RFC 2347 wants; never an ERROR, on which some boot ROMs stop.
 */
export function negotiate(options: TftpOptions, limits: TftpLimits, sizeBytes: number): Negotiated {
  const granted = new Map<string, number>()
  for (const [name, text] of options) {
    const asked = decimal(text)
    const value = asked === undefined ? undefined : grant(name, asked, limits, sizeBytes)
    if (value !== undefined) granted.set(name, value)
  }
  const timeoutSeconds = granted.get('timeout')
  return {
    blksize: granted.get('blksize') ?? DEFAULT_BLKSIZE,
    windowsize: granted.get('windowsize') ?? 1,
    timeoutMs: timeoutSeconds === undefined ? undefined : timeoutSeconds * 1000,
    accepted: new Map([...granted].map(([name, value]) => [name, String(value)])),
  }
}

function grant(name: string, asked: number, limits: TftpLimits, sizeBytes: number): number | undefined {
  switch (name) {
    case 'blksize':
      return isBetween(asked, 8, 65464) ? Math.min(asked, limits.blksize) : undefined
    case 'windowsize':
      return isBetween(asked, 1, 65535) ? Math.min(asked, limits.windowsize) : undefined
    case 'timeout':
      return isBetween(asked, 1, 255) ? asked : undefined
    case 'tsize':
      // curl 7.88.1 takes a size of 0 for an illegal answer and gives up; without one it gets the empty file
      return sizeBytes > 0 ? sizeBytes : undefined
    default:
      return undefined
  }
}

function decimal(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function isBetween(value: number, least: number, most: number): boolean {
  return value >= least && value <= most
}

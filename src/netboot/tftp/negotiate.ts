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
  const accepted = new Map<string, string>()
  let blksize = DEFAULT_BLKSIZE
  let windowsize = 1
  let timeoutMs: number | undefined
  for (const [name, text] of options) {
    const value = decimal(text)
    if (value === undefined) continue
    if (name === 'blksize' && isBetween(value, 8, 65464)) {
      blksize = Math.min(value, limits.blksize)
      accepted.set(name, String(blksize))
    } else if (name === 'windowsize' && isBetween(value, 1, 65535)) {
      windowsize = Math.min(value, limits.windowsize)
      accepted.set(name, String(windowsize))
    } else if (name === 'timeout' && isBetween(value, 1, 255)) {
      timeoutMs = value * 1000
      accepted.set(name, text)
    } else if (name === 'tsize') {
      accepted.set(name, String(sizeBytes))
    }
  }
  return { blksize, windowsize, timeoutMs, accepted }
}

function decimal(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function isBetween(value: number, least: number, most: number): boolean {
  return value >= least && value <= most
}

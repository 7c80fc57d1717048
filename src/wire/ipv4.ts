/** An IPv4 subnet: all numbers are unsigned 32 bits. */
export interface Subnet {
  readonly network: number
  readonly prefixLength: number
  readonly mask: number
  readonly broadcast: number
}

const OCTET = '(0|[1-9]\\d{0,2})'
const DOTTED = new RegExp(`^${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}$`)

/** Dotted quad to an unsigned 32-bit number, or undefined (no leading zeros, no short forms). */
export function parseIpv4(text: string): number | undefined {
  const parts = DOTTED.exec(text)
  if (parts === null) return undefined
  const [, a, b, c, d] = parts.map(Number)
  if (a === undefined || b === undefined || c === undefined || d === undefined) return undefined
  return Math.max(a, b, c, d) > 255 ? undefined : ((a << 24) | (b << 16) | (c << 8) | d) >>> 0
}

/** Unsigned 32-bit number to dotted quad. */
export function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}`
}

/** `198.18.0.0/24`, or undefined when malformed or when host bits are set. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = '', prefix = ''] = text.split('/')
  const network = parseIpv4(address)
  if (network === undefined || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 32) return undefined
  const prefixLength = Number(prefix)
  const mask = prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0
  if ((network & mask) >>> 0 !== network) return undefined
  return { network, prefixLength, mask, broadcast: (network | ~mask) >>> 0 }
}

/** Whether `address` lies inside `subnet`. */
export function isInSubnet(address: number, subnet: Subnet): boolean {
  return (address & subnet.mask) >>> 0 === subnet.network
}

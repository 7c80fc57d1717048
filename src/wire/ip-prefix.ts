import { formatIpv4, parseIpv4 } from './ipv4.js'
import { formatIpv6, parseIpv6 } from './ipv6.js'

/** An address of either family, as an unsigned number of {@link widthOf} bits. */
export interface IpAddress {
  readonly family: 4 | 6
  readonly value: bigint
}

/** The addresses whose first `length` bits are those of `first`, whose other bits are 0. */
export interface IpPrefix {
  readonly family: 4 | 6
  readonly first: bigint
  /** 0..32 or 0..128 */
  readonly length: number
}

/** How many bits an address has. */
export function widthOf(family: 4 | 6): 32 | 128 {
  return family === 4 ? 32 : 128
}

/** A dotted quad or the text of an IPv6 address, or undefined. */
export function parseIp(text: string): IpAddress | undefined {
  const ipv4 = parseIpv4(text)
  if (ipv4 !== undefined) return { family: 4, value: BigInt(ipv4) }
  const ipv6 = parseIpv6(text)
  return ipv6 === undefined ? undefined : { family: 6, value: ipv6 }
}

/** The canonical text of an address. */
export function formatIp({ family, value }: IpAddress): string {
  return family === 4 ? formatIpv4(Number(value)) : formatIpv6(value)
}

/** `198.18.0.0/24` or `2001:db8::/64`, or undefined when malformed or when host bits are set. */
export function parseIpPrefix(text: string): IpPrefix | undefined {
  const [address = '', digits = '', ...more] = text.split('/')
  const ip = parseIp(address)
  const isLength = /^(?:0|[1-9]\d{0,2})$/.test(digits) && more.length === 0
  if (ip === undefined || !isLength || Number(digits) > widthOf(ip.family)) return undefined
  const prefix = prefixOf(ip, Number(digits))
  return prefix.first === ip.value ? prefix : undefined
}

/** The canonical text of a prefix. */
export function formatIpPrefix({ family, first, length }: IpPrefix): string {
  return `${formatIp({ family, value: first })}/${length}`
}

/** The prefix of `length` bits that `address` lies in. */
export function prefixOf({ family, value }: IpAddress, length: number): IpPrefix {
  const hostBits = BigInt(widthOf(family) - length)
  return { family, first: (value >> hostBits) << hostBits, length }
}

/** Whether `address` lies inside `prefix`. */
export function isInPrefix(address: IpAddress, prefix: IpPrefix): boolean {
  return address.family === prefix.family && prefixOf(address, prefix.length).first === prefix.first
}

/** Whether an address lies in both. */
export function overlaps(a: IpPrefix, b: IpPrefix): boolean {
  const [short, long] = a.length <= b.length ? [a, b] : [b, a]
  return isInPrefix({ family: long.family, value: long.first }, short)
}

/** The netmask of a prefix length as an address: `255.255.255.0`, `ffff:ffff:ffff:ffff::`. */
export function maskText(family: 4 | 6, length: number): string {
  const width = widthOf(family)
  const ones = (1n << BigInt(width)) - 1n
  return formatIp({ family, value: prefixOf({ family, value: ones }, length).first })
}

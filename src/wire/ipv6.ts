import { parseIpv4 } from './ipv4.js'

const GROUP = /^[0-9a-f]{1,4}$/i
const GROUPS = 8

/**
 * The text of an IPv6 address (RFC 4291 §2.2, all three forms) as an unsigned 128-bit number, or undefined.
 * No zone (`%eth0`), no brackets, no prefix length.
 */
export function parseIpv6(text: string): bigint | undefined {
  const groups = groupsOf(withoutDottedQuad(text) ?? '')
  if (groups?.length !== GROUPS || !groups.every((group) => GROUP.test(group))) return undefined
  return groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n)
}

/** An unsigned 128-bit number as the one text of RFC 5952 §4: lower case, the longest run of zeros as `::`. */
export function formatIpv6(value: bigint): string {
  const groups = Array.from({ length: GROUPS }, (_, i) => Number((value >> BigInt(112 - 16 * i)) & 0xffffn))
  // §5: the mapped prefix is known by its address, so the IPv4 part is written as one.
  if (value >> 32n === 0xffffn) return `::ffff:${dottedQuad(groups)}`
  const { start, length } = longestZeros(groups)
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':')
  if (length < 2) return text(groups) // §4.2.2: one zero alone is written
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`
}

/** The groups as they are written, `::` filled up with zeros; undefined when there are two of it. */
function groupsOf(text: string): string[] | undefined {
  const [head, tail, ...more] = text.split('::').map((half) => (half === '' ? [] : half.split(':')))
  if (head === undefined || more.length > 0) return undefined
  if (tail === undefined) return head
  // It stands for one group or more.
  const missing = Math.max(1, GROUPS - head.length - tail.length)
  return [...head, ...new Array<string>(missing).fill('0'), ...tail]
}

/** §2.2 form 3: the last 32 bits as a dotted quad, here turned into two groups. */
function withoutDottedQuad(text: string): string | undefined {
  if (!text.includes('.')) return text
  const cut = text.lastIndexOf(':') + 1
  const quad = parseIpv4(text.slice(cut))
  if (quad === undefined || cut === 0) return undefined
  return `${text.slice(0, cut)}${(quad >>> 16).toString(16)}:${(quad & 0xffff).toString(16)}`
}

function dottedQuad(groups: readonly number[]): string {
  return groups
    .slice(6)
    .flatMap((group) => [group >>> 8, group & 0xff])
    .join('.')
}

/** The first of the longest runs (§4.2.3). */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let length = 0
  groups.forEach((group, index) => {
    length = group === 0 ? length + 1 : 0
    if (length > best.length) best = { start: index + 1 - length, length }
  })
  return best
}

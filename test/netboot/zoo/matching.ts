import { quad } from './dhcp-bytes.js'

/** `0x` and hex digits, a dotted address or text (`text:` before it, if it looks like one of these), or a list. */
export function bytesOf(value: string | readonly string[]): Buffer {
  if (typeof value !== 'string') return Buffer.concat(value.map(bytesOf))
  if (value.startsWith('text:')) return Buffer.from(value.slice(5), 'latin1')
  if (/^0x(?:[0-9a-f]{2})*$/.test(value)) return Buffer.from(value.slice(2), 'hex')
  if (/^\d+\.\d+\.\d+\.\d+$/.test(value)) return quad(value)
  return Buffer.from(value, 'latin1')
}

/** Whether `text` is `pattern`, where `*` stands for any characters. */
export function isLike(text: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  return new RegExp(`^${parts.join('[^]*')}$`).test(text)
}

/** What is wrong with bytes that should be `expected`; undefined when nothing is. */
export function wrongBytes(
  what: string,
  got: Buffer | undefined,
  expected: string | readonly string[],
): string | undefined {
  if (got === undefined) return `no ${what}`
  if (typeof expected === 'string' && expected.includes('*')) {
    const text = expected.startsWith('0x') ? `0x${got.toString('hex')}` : got.toString('latin1')
    return isLike(text, expected) ? undefined : `${what} is ${text}, expected ${expected}`
  }
  return got.equals(bytesOf(expected))
    ? undefined
    : `${what} is 0x${got.toString('hex')} (${JSON.stringify(got.toString('latin1'))}), expected ${String(expected)}`
}

/** What is wrong with a value that should be `expected` (`*` in a text for any characters). */
export function wrongValue(
  what: string,
  got: string | number,
  expected: string | number | undefined,
): string | undefined {
  if (expected === undefined) return undefined
  const isRight = typeof expected === 'string' ? isLike(String(got), expected) : got === expected
  return isRight ? undefined : `${what} is ${String(got)}, expected ${String(expected)}`
}

/** The problems among them. */
export function problems(...found: readonly (string | undefined)[]): string[] {
  return found.filter((problem) => problem !== undefined)
}

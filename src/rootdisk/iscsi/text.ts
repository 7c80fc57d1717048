import { MalformedPacket } from '../../wire/malformed-packet.js'

// RFC 7143 §6.1: key=value pairs, each ended by a NUL; keys at most 63 bytes, values at most 8192.
const KEY = /^[A-Z][A-Za-z0-9.\-+@_]{0,62}$/

/** Pairs in the order they came. */
export type TextPairs = readonly (readonly [key: string, value: string])[]

/** Longest text of one negotiation, over all its PDUs. */
export const MAX_TEXT_BYTES = 65_536

/**
 * Key=value pairs of a login or text PDU.
 * @throws MalformedPacket for a pair without `=`, a bad key or an overlong value
 */
export function decodeText(bytes: Uint8Array): TextPairs {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
  const pairs: [string, string][] = []
  let at = 0
  for (const part of text.split('\0')) {
    const equals = part.indexOf('=')
    if (part !== '') {
      const key = part.slice(0, equals)
      if (equals < 1 || !KEY.test(key)) throw new MalformedPacket('iSCSI text', at, 'expected key=value')
      if (part.length - equals > 8193)
        throw new MalformedPacket('iSCSI text', at, `value of ${key} is too long`)
      pairs.push([key, part.slice(equals + 1)])
    }
    at += part.length + 1
  }
  return pairs
}

/** The bytes of `pairs`. */
export function encodeText(pairs: TextPairs): Buffer {
  return Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''), 'utf8')
}

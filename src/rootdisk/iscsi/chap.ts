import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** CHAP with MD5 is algorithm 5 (RFC 7143 §12.1.3, RFC 1994). */
export const CHAP_MD5 = '5'

/** One challenge, good for one answer. */
export class ChapChallenge {
  readonly identifier: number
  readonly bytes: Buffer

  /** @param random source of the identifier and the challenge; tests hand in their own */
  constructor(random: (size: number) => Buffer = randomBytes) {
    this.identifier = random(1)[0] ?? 0
    this.bytes = random(16)
  }

  /** CHAP_I and CHAP_C. */
  get pairs(): [string, string][] {
    return [
      ['CHAP_I', String(this.identifier)],
      ['CHAP_C', `0x${this.bytes.toString('hex')}`],
    ]
  }

  /** Whether `response` (CHAP_R) proves knowledge of `secret`; compares in constant time. */
  accepts(response: string, secret: string): boolean {
    const given = parseBinary(response)
    const expected = chapResponse(this.identifier, secret, this.bytes)
    return given?.length === expected.length && timingSafeEqual(given, expected)
  }
}

/** MD5 over identifier, secret and challenge (RFC 1994 §4.1). */
export function chapResponse(identifier: number, secret: string, challenge: Uint8Array): Buffer {
  return createHash('md5').update(Buffer.of(identifier)).update(secret, 'utf8').update(challenge).digest()
}

/** A large binary value in hexadecimal (0x) or base64 (0b) (RFC 7143 §6.1). */
export function parseBinary(text: string): Buffer | undefined {
  if (/^0[xX](?:[0-9a-fA-F]{2}){1,1024}$/.test(text)) return Buffer.from(text.slice(2), 'hex')
  if (/^0[bB][A-Za-z0-9+/]{1,1400}={0,2}$/.test(text)) return Buffer.from(text.slice(2), 'base64')
  return undefined
}

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../clock.js'

/** Seconds: EC2's IMDSv2 has the same bounds. */
export const TOKEN_TTL = { min: 1, max: 21_600 } as const

const KEY_BYTES = 32
const EXPIRY_BYTES = 6
const MAC_BYTES = 32

/**
 * The session tokens of EC2's IMDSv2. Each says when it ends and is good for one peer; nothing is remembered, and a
 * restart of the daemon ends them all: clients then ask for another (401).
 */
export class SessionTokens {
  readonly #key = randomBytes(KEY_BYTES)
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @param peer whom it is for @param ttlSeconds within {@link TOKEN_TTL} */
  issue(peer: string, ttlSeconds: number): string {
    const expiry = Buffer.alloc(EXPIRY_BYTES)
    expiry.writeUIntBE(Math.floor(this.#clock.monotonicMs()) + ttlSeconds * 1000, 0, EXPIRY_BYTES)
    return Buffer.concat([expiry, this.#sign(peer, expiry)]).toString('base64url')
  }

  /** Whether `token` was issued to this peer and has not ended. */
  isValid(peer: string, token: string): boolean {
    const bytes = Buffer.from(token, 'base64url')
    if (bytes.length !== EXPIRY_BYTES + MAC_BYTES) return false
    const expiry = bytes.subarray(0, EXPIRY_BYTES)
    if (!timingSafeEqual(bytes.subarray(EXPIRY_BYTES), this.#sign(peer, expiry))) return false
    return expiry.readUIntBE(0, EXPIRY_BYTES) > this.#clock.monotonicMs()
  }

  #sign(peer: string, expiry: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(expiry).update(peer).digest()
  }
}

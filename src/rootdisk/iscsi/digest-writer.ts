import { copyBytes } from '../copy-bytes.js'
import type { Socket } from 'node:net'
import { crc32c } from '../../wire/crc32c.js'
import type { Digests } from './digest-receiver.js'
import type { OutputSink } from './output.js'
import { BHS_BYTES, DIGEST_BYTES, padding, RESPONSE } from './pdu.js'

/**
 * Puts the digests between the PDUs of an output and its socket. Costs a copy, which is little beside the sums;
 * in return nothing before it knows of digests.
 */
export class DigestWriter implements OutputSink {
  readonly #socket: Socket
  readonly #digests: Digests

  constructor(socket: Socket, digests: Digests) {
    this.#socket = socket
    this.#digests = digests
  }

  /** @param bytes whole PDUs, one behind another */
  write(bytes: Buffer, done: () => void): void {
    this.#socket.write(withDigests(bytes, this.#digests), done)
  }

  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }
}

/** `pdus`, whole ones without additional headers, with their digests (RFC 7143 §11.2). */
export function withDigests(pdus: Buffer, digests: Digests): Buffer {
  const out = Buffer.allocUnsafe(sealedBytes(pdus, digests))
  let to = 0
  for (let at = 0; at < pdus.length;) {
    const { header, data } = digestsOf(pdus, at, digests)
    const [middle, end] = [at + BHS_BYTES, at + BHS_BYTES + segmentBytes(pdus, at)]
    to = seal(out, to, pdus.subarray(at, middle), header)
    to = seal(out, to, pdus.subarray(middle, end), data)
    at = end
  }
  return out
}

function sealedBytes(pdus: Buffer, digests: Digests): number {
  let total = pdus.length
  for (let at = 0; at < pdus.length; at += BHS_BYTES + segmentBytes(pdus, at)) {
    const { header, data } = digestsOf(pdus, at, digests)
    total += (header ? DIGEST_BYTES : 0) + (data ? DIGEST_BYTES : 0)
  }
  return total
}

/** Login has no digests yet, and its last response may wait here behind the switch; no data has no digest. */
function digestsOf(pdus: Buffer, at: number, digests: Digests): Digests {
  if (pdus[at] === RESPONSE.LOGIN) return { header: false, data: false }
  return { header: digests.header, data: digests.data && segmentBytes(pdus, at) > 0 }
}

function seal(out: Buffer, to: number, bytes: Buffer, hasDigest: boolean): number {
  copyBytes(bytes, out, to)
  const end = to + bytes.length
  return hasDigest ? out.writeUInt32LE(crc32c(bytes), end) : end
}

/** Data segment with its padding. */
function segmentBytes(pdus: Buffer, at: number): number {
  const length = pdus.readUIntBE(at + 5, 3)
  return length + padding(length)
}

import type { BlockDevice } from '../block-device.js'
import type { Channel } from './channel.js'
import { BHS_BYTES, padding, RESPONSE } from './pdu.js'

/** Data of one device call and one burst: a longer read is cut into pieces of this. */
const PIECE_BYTES = 262_144

const FINAL = 0x80
const HAS_STATUS = 0x01
const OVERFLOW = 0x04
const UNDERFLOW = 0x02

/** One read on its way: what is asked, and how far it is. */
export interface ReadProgress {
  readonly itt: number
  /** Byte offset on the device. */
  readonly offset: number
  /** Bytes that will be sent. */
  readonly totalBytes: number
  /** Bytes asked by the CDB minus bytes the initiator expects: positive is overflow. */
  readonly excessBytes: number
  sentBytes: number
  dataSn: number
}

/** Residual flags and count of a response (RFC 7143 §11.4.5). */
export function residualFlags(excessBytes: number): number {
  if (excessBytes === 0) return 0
  return excessBytes > 0 ? OVERFLOW : UNDERFLOW
}

/** Bytes of data of the next piece. */
export function pieceBytes(channel: Channel, read: ReadProgress): number {
  return Math.min(read.totalBytes - read.sentBytes, PIECE_BYTES, channel.parameters.maxBurstLength)
}

/** Bytes of a piece with its headers and padding. */
export function framedBytes(channel: Channel, dataBytes: number): number {
  return dataBytes + padding(dataBytes) + Math.ceil(dataBytes / segmentBytes(channel)) * BHS_BYTES
}

/**
 * Asks the device for a piece, each segment straight to its place behind its header-to-be.
 * Rejects or throws only when nothing writes to `bytes` any more.
 */
export function fillPiece(
  channel: Channel,
  device: BlockDevice,
  read: ReadProgress,
  place: { bytes: Buffer; at: number; dataBytes: number },
): undefined | Promise<void> {
  const segment = segmentBytes(channel)
  const from = read.offset + read.sentBytes
  let pending: Promise<void>[] | undefined
  for (let done = 0, at = place.at; done < place.dataBytes; done += segment, at += BHS_BYTES + segment) {
    const length = Math.min(segment, place.dataBytes - done)
    const into = place.bytes.subarray(at + BHS_BYTES, at + BHS_BYTES + length)
    const one = readOne(device, from + done, into, pending !== undefined)
    if (one !== undefined) (pending ??= []).push(one)
  }
  return pending?.length === 1 ? pending[0] : pending && allDone(pending)
}

function readOne(
  device: BlockDevice,
  offset: number,
  into: Uint8Array,
  isFollower: boolean,
): undefined | Promise<void> {
  if (!isFollower) return device.read(offset, into)
  try {
    return device.read(offset, into)
  } catch (err) {
    return Promise.reject(err instanceof Error ? err : new Error(String(err)))
  }
}

async function allDone(pending: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(pending)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

/** Writes the headers of a filled piece; the last one of a read carries the status (RFC 7143 §11.7). */
export function framePiece(
  channel: Channel,
  read: ReadProgress,
  place: { bytes: Buffer; at: number; dataBytes: number },
): void {
  const segment = segmentBytes(channel)
  const { bytes, dataBytes } = place
  let at = place.at
  for (let done = 0; done < dataBytes; done += segment) {
    const length = Math.min(segment, dataBytes - done)
    const isPieceEnd = done + length === dataBytes
    channel.header(bytes, at, RESPONSE.DATA_IN, isPieceEnd ? FINAL : 0)
    bytes.writeUInt32BE(length, at + 4)
    bytes.writeUInt32BE(read.itt, at + 16)
    bytes.writeUInt32BE(0xffffffff, at + 20)
    bytes.writeUInt32BE(read.dataSn++, at + 36)
    bytes.writeUInt32BE(read.sentBytes, at + 40)
    read.sentBytes += length
    if (read.sentBytes === read.totalBytes) endWithStatus(channel, read, bytes, at)
    const pad = padding(length)
    if (pad > 0) bytes.fill(0, at + BHS_BYTES + length, at + BHS_BYTES + length + pad)
    at += BHS_BYTES + length + pad
  }
}

function endWithStatus(channel: Channel, read: ReadProgress, bytes: Buffer, at: number): void {
  bytes[at + 1] = FINAL | HAS_STATUS | residualFlags(read.excessBytes)
  channel.stampStatSn(bytes, at)
  bytes.writeUInt32BE(Math.min(Math.abs(read.excessBytes), 0xffffffff), at + 44)
}

/** A multiple of four, so that only the last segment needs padding. */
function segmentBytes(channel: Channel): number {
  return Math.min(channel.parameters.peerMaxRecvDataSegmentLength, PIECE_BYTES) & ~3
}

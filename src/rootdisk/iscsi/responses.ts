import { copyBytes } from '../copy-bytes.js'
import { STATUS, type Outcome } from '../scsi/sense.js'
import type { Channel } from './channel.js'
import { residualFlags, framedBytes, framePiece, pieceBytes, type ReadProgress } from './data-in.js'
import { BHS_BYTES, NO_TAG, type REJECT_REASON, RESPONSE } from './pdu.js'
import type { Task } from './task.js'

const FINAL = 0x80
/** Our tag in a ping; one is enough, nothing depends on which ping was answered. */
const PING_TAG = 1

/** A SCSI Response with sense if there is some (RFC 7143 §11.4). */
export function sendScsiResponse(
  channel: Channel,
  itt: number,
  outcome: Outcome,
  counts: { excessBytes: number; dataSn: number },
): void {
  const senseBytes = outcome.sense?.length ?? 0
  const dataBytes = senseBytes === 0 ? 0 : 2 + senseBytes
  const { excessBytes, dataSn } = counts
  const at = channel.begin(RESPONSE.SCSI_RESPONSE, FINAL | residualFlags(excessBytes), itt, dataBytes)
  const { bytes } = channel.output
  bytes[at + 3] = outcome.status
  channel.stampStatSn(bytes, at)
  bytes.writeUInt32BE(dataSn, at + 36)
  bytes.writeUInt32BE(Math.min(Math.abs(excessBytes), 0xffffffff), at + 44)
  if (outcome.sense === undefined) {
    channel.end(at)
    return
  }
  const data = Buffer.alloc(dataBytes)
  data.writeUInt16BE(senseBytes)
  data.set(outcome.sense, 2)
  channel.end(at, data)
}

/** Data-In PDUs for data we hold, the status with the last of them. */
export function sendData(channel: Channel, read: ReadProgress, data: Uint8Array): void {
  while (read.sentBytes < read.totalBytes) {
    const dataBytes = pieceBytes(channel, read)
    const length = framedBytes(channel, dataBytes)
    const at = channel.output.room(length)
    const { bytes } = channel.output
    const segment = Math.min(channel.parameters.peerMaxRecvDataSegmentLength & ~3, dataBytes)
    let to = at + BHS_BYTES
    for (let done = 0; done < dataBytes; done += segment) {
      const from = read.sentBytes + done
      copyBytes(data.subarray(from, Math.min(from + segment, read.sentBytes + dataBytes)), bytes, to)
      to += segment + BHS_BYTES
    }
    framePiece(channel, read, { bytes, at, dataBytes })
    channel.output.commit(length)
  }
}

/** The answer to a command that is over: data, or a response without. */
export function sendOutcome(
  channel: Channel,
  command: { itt: number; expectedInBytes: number; excessOutBytes: number; dataSn: number },
  outcome: Outcome,
): void {
  const { itt, expectedInBytes } = command
  const length = outcome.data?.length ?? 0
  const excessBytes = command.excessOutBytes + length - expectedInBytes
  const totalBytes = Math.min(length, expectedInBytes)
  if (outcome.data !== undefined && totalBytes > 0 && outcome.status === STATUS.GOOD) {
    sendData(channel, { itt, offset: 0, totalBytes, excessBytes, sentBytes: 0, dataSn: 0 }, outcome.data)
    return
  }
  sendScsiResponse(channel, itt, outcome, { excessBytes, dataSn: command.dataSn })
}

/** NOP-In in answer to a ping, with its data (RFC 7143 §11.19). */
export function sendNopIn(channel: Channel, itt: number, lun: Uint8Array, data: Uint8Array): void {
  const at = channel.begin(RESPONSE.NOP_IN, FINAL, itt, data.length)
  const { bytes } = channel.output
  bytes.set(lun, at + 8)
  bytes.writeUInt32BE(NO_TAG, at + 20)
  channel.stampStatSn(bytes, at)
  channel.end(at, data)
}

/** NOP-In that wants an answer: is the initiator still there? Takes no StatSN (RFC 7143 §11.19). */
export function sendPing(channel: Channel): void {
  const at = channel.begin(RESPONSE.NOP_IN, FINAL, NO_TAG)
  const { bytes } = channel.output
  bytes.writeUInt32BE(PING_TAG, at + 20)
  bytes.writeUInt32BE(channel.statSn, at + 24)
  channel.end(at)
}

/** Asynchronous message 1: the target wants a logout within `seconds` (RFC 7143 §11.9.1). */
export function sendLogoutRequest(channel: Channel, seconds: number): void {
  const at = channel.begin(RESPONSE.ASYNC, FINAL, NO_TAG)
  const { bytes } = channel.output
  channel.stampStatSn(bytes, at)
  bytes[at + 36] = 1
  bytes.writeUInt16BE(seconds, at + 42)
  channel.end(at)
}

/** Ready To Transfer: the initiator may send `length` bytes from `offset` (RFC 7143 §11.8). */
export function sendR2t(
  channel: Channel,
  task: Pick<Task, 'itt' | 'lunField' | 'ttt' | 'r2tSn'>,
  offset: number,
  length: number,
): void {
  const at = channel.begin(RESPONSE.R2T, FINAL, task.itt)
  const { bytes } = channel.output
  bytes.writeUInt32BE(task.lunField[0], at + 8)
  bytes.writeUInt32BE(task.lunField[1], at + 12)
  bytes.writeUInt32BE(task.ttt, at + 20)
  bytes.writeUInt32BE(channel.statSn, at + 24) // the next StatSN, not taken
  bytes.writeUInt32BE(task.r2tSn, at + 36)
  bytes.writeUInt32BE(offset, at + 40)
  bytes.writeUInt32BE(length, at + 44)
  channel.end(at)
}

/** Task management, logout and text responses share a layout: a code in byte 2. */
export function sendPlain(channel: Channel, opcode: number, itt: number, code: number): void {
  const at = channel.begin(opcode, FINAL, itt)
  channel.output.bytes[at + 2] = code
  channel.stampStatSn(channel.output.bytes, at)
  channel.end(at)
}

/** Text Response (RFC 7143 §11.11). */
export function sendText(
  channel: Channel,
  itt: number,
  { flags, ttt }: { flags: number; ttt: number },
  text: Uint8Array,
): void {
  const at = channel.begin(RESPONSE.TEXT, flags, itt, text.length)
  channel.output.bytes.writeUInt32BE(ttt, at + 20)
  channel.stampStatSn(channel.output.bytes, at)
  channel.end(at, text)
}

/** Reject with the header it is about (RFC 7143 §11.17). */
export function sendReject(
  channel: Channel,
  reason: (typeof REJECT_REASON)[keyof typeof REJECT_REASON],
  header: Uint8Array,
): void {
  const copy = Buffer.from(header)
  const at = channel.begin(RESPONSE.REJECT, FINAL, NO_TAG, BHS_BYTES)
  channel.output.bytes[at + 2] = reason
  channel.stampStatSn(channel.output.bytes, at)
  channel.end(at, copy)
}

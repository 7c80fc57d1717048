import { ByteWriter } from '../../wire/writer.js'
import type { Command } from './command.js'
import { COPY_LIMITS, DESCRIPTOR } from './extended-copy.js'
import { u32 } from './fields.js'
import { checkCondition, good, SENSE, type Outcome } from './sense.js'

/** RECEIVE COPY STATUS(LID1) (SPC-4 §6.24): told once, by list identifier. */
export function receiveCopyStatus({ unit, cdb }: Command): Outcome {
  const listId = cdb[2] ?? 0
  const status = unit.copies.get(listId)
  if (status === undefined) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  unit.copies.delete(listId)
  const kibibytes = Math.floor(status.bytes / 1024)
  const out = new ByteWriter().u32(8).u8(status.isFailed ? 2 : 1)
  out.u16(status.segments).u8(1).u32(kibibytes)
  return good(out.bytes(), u32(cdb, 10))
}

/** RECEIVE COPY OPERATING PARAMETERS (SPC-4 §6.23). */
export function receiveOperatingParameters({ cdb }: Command): Outcome {
  const { targets, segments, descriptorBytes, segmentBytes } = COPY_LIMITS
  const out = new ByteWriter()
    .u8(1) // SNLID: a list identifier may be left out
    .zeros(3)
    .u16(targets)
    .u16(segments)
    .u32(descriptorBytes)
    .u32(segmentBytes)
    .zeros(4 + 4 + 4 + 2) // inline data, held data, stream transfer
  out.u16(1).u8(1).u8(9).zeros(2).zeros(3) // one copy at a time, granularity 2^9 bytes
  out.u8(2).u8(DESCRIPTOR.BLOCK_TO_BLOCK).u8(DESCRIPTOR.IDENTIFICATION)
  return good(new ByteWriter().u32(out.length).put(out.bytes()).bytes(), u32(cdb, 10))
}

/** VPD page 8Fh, third-party copy (SPC-4 §7.8.17). */
export function thirdPartyCopyPage(out: ByteWriter): void {
  const { targets, segments, descriptorBytes, segmentBytes } = COPY_LIMITS
  const commands = Uint8Array.of(0x83, 1, 0x00, 0x84, 2, 0x00, 0x03) // operation code, its service actions
  descriptor(out, 0x0001, new ByteWriter().u8(commands.length).put(commands))
  const limits = new ByteWriter().zeros(4).u16(targets).u16(segments).u32(descriptorBytes).zeros(16)
  descriptor(out, 0x0004, limits)
  const known = new ByteWriter().u8(2).u8(DESCRIPTOR.BLOCK_TO_BLOCK).u8(DESCRIPTOR.IDENTIFICATION)
  descriptor(out, 0x0008, known)
  descriptor(out, 0x000c, new ByteWriter().u16(0))
  descriptor(out, 0x8001, new ByteWriter().u32(1).u32(1).u32(segmentBytes).u8(9).u8(0).zeros(18))
}

/** Descriptors are padded to a multiple of four bytes. */
function descriptor(out: ByteWriter, type: number, body: ByteWriter): void {
  const padded = ((4 + body.length + 3) & ~3) - 4
  out
    .u16(type)
    .u16(padded)
    .put(body.bytes())
    .zeros(padded - body.length)
}

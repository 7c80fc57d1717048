import { compare, refuseWrite } from './compare.js'
import { hasFua, hasProtection, rangeOf, refuseRange, type BlockRange } from './block-range.js'
import { then, type Command, type MaybeLater } from './command.js'
import { u16, u32, u64 } from './fields.js'
import {
  BLOCK_BYTES,
  MAX_ATOMIC_BLOCKS,
  MAX_UNMAP_BLOCKS,
  MAX_UNMAP_DESCRIPTORS,
  MAX_WRITE_SAME_BLOCKS,
  type LogicalUnit,
} from './logical-unit.js'
import { checkCondition, GOOD, SENSE, STATUS, type Outcome } from './sense.js'

const CHUNK_BYTES = 1 << 20

/** READ(6), (10), (12), (16) when not taken by the portal's fast path. */
export function read(command: Command): MaybeLater<Outcome> {
  const { unit, cdb } = command
  const range = rangeOf(cdb)
  const refused = hasProtection(cdb, 0) ? invalidField() : refuseRange(unit, range)
  if (refused !== undefined) return refused
  const data = Buffer.allocUnsafe(range.blocks * BLOCK_BYTES)
  return then(unit.device.read(range.lba * BLOCK_BYTES, data), () => ({ status: STATUS.GOOD, data }))
}

/** WRITE(6), (10), (12), (16); with less data than blocks, the whole blocks that came are written. */
export function write(command: Command): MaybeLater<Outcome> {
  const range = rangeOf(command.cdb)
  return refuseWrite(command, range) ?? writeRange(command, range)
}

function writeRange({ unit, cdb, dataOut }: Command, range: BlockRange): MaybeLater<Outcome> {
  const bytes = Math.min(range.blocks * BLOCK_BYTES, dataOut.length - (dataOut.length % BLOCK_BYTES))
  if (bytes === 0) return GOOD
  const written = unit.device.write(range.lba * BLOCK_BYTES, dataOut.subarray(0, bytes))
  return then(written, () => (hasFua(cdb) ? then(unit.device.flush(), () => GOOD) : GOOD))
}

/** WRITE ATOMIC(16) (SBC-4 §5.48): one whole cluster, so that it is there in full or not at all. */
export function writeAtomic(command: Command): MaybeLater<Outcome> {
  const { cdb } = command
  const { lba, blocks } = { lba: u64(cdb, 2), blocks: u16(cdb, 12) }
  if (hasProtection(cdb, 0) || u16(cdb, 10) !== 0) return invalidField() // atomic boundary
  const refused = refuseRange(command.unit, { lba, blocks })
  if (refused !== undefined) return refused
  if (lba % MAX_ATOMIC_BLOCKS !== 0 || (blocks !== MAX_ATOMIC_BLOCKS && blocks !== 0)) return invalidField()
  return writeRange(command, { lba, blocks })
}

/** WRITE AND VERIFY (SBC-3 §5.41): written, flushed, and compared when BYTCHK asks for it. */
export function writeAndVerify(command: Command): MaybeLater<Outcome> {
  const { unit, cdb, dataOut } = command
  const range = rangeOf(cdb)
  const refused = refuseWrite(command, range)
  if (refused !== undefined) return refused
  const bytes = range.blocks * BLOCK_BYTES
  const written = unit.device.write(range.lba * BLOCK_BYTES, dataOut.subarray(0, bytes))
  const flushed = written === undefined ? unit.device.flush() : written.then(() => unit.device.flush())
  const isCompared = ((cdb[1] ?? 0) & 0x02) !== 0
  return then(flushed, () => (isCompared ? compare(command, range) : GOOD))
}

/** VERIFY (SBC-3 §5.31): BYTCHK 0 checks the range, 1 compares with the data sent. */
export function verify(command: Command): MaybeLater<Outcome> {
  const { unit, cdb } = command
  const range = rangeOf(cdb)
  const byteCheck = ((cdb[1] ?? 0) >> 1) & 3
  if (hasProtection(cdb, 0) || byteCheck > 1) return invalidField()
  const refused = refuseRange(unit, range, byteCheck === 0 ? unit.blockCount : undefined)
  if (refused !== undefined) return refused
  return byteCheck === 0 ? GOOD : compare(command, range)
}

/** PRE-FETCH (SBC-3 §5.8): nothing to do; CONDITION MET would promise a cache that keeps it. */
export function preFetch({ unit, cdb }: Command): Outcome {
  const range = rangeOf(cdb)
  return unit.hasRange(range.lba, range.blocks) ? { status: STATUS.CONDITION_MET } : outOfRange()
}

/** SYNCHRONIZE CACHE (SBC-3 §5.22): always all of the device, and never before it is done. */
export function synchronizeCache({ unit, cdb }: Command): MaybeLater<Outcome> {
  const range = rangeOf(cdb)
  if (!unit.hasRange(range.lba, range.blocks)) return outOfRange()
  return then(unit.device.flush(), () => GOOD)
}

/** UNMAP (SBC-3 §5.28). */
export function unmap({ unit, cdb, dataOut }: Command): MaybeLater<Outcome> {
  if (((cdb[1] ?? 0) & 1) !== 0) return invalidField() // ANCHOR
  const listLength = u16(cdb, 7)
  if (listLength === 0) return GOOD
  if (listLength < 8 || dataOut.length < Math.min(listLength, 8)) {
    return checkCondition(SENSE.PARAMETER_LIST_LENGTH_ERROR)
  }
  const count = Math.floor(Math.min(u16(dataOut, 2), dataOut.length - 8, listLength - 8) / 16)
  if (count > MAX_UNMAP_DESCRIPTORS) return checkCondition(SENSE.INVALID_FIELD_IN_PARAMETER_LIST)
  const ranges = Array.from({ length: count }, (_, i) => ({
    lba: u64(dataOut, 8 + i * 16),
    blocks: u32(dataOut, 16 + i * 16),
  }))
  if (ranges.some(({ lba, blocks }) => !unit.hasRange(lba, blocks))) return outOfRange()
  const total = ranges.reduce((sum, { blocks }) => sum + blocks, 0)
  if (total > MAX_UNMAP_BLOCKS) return checkCondition(SENSE.INVALID_FIELD_IN_PARAMETER_LIST)
  return inTurn(ranges, ({ lba, blocks }) =>
    blocks === 0 ? undefined : unit.device.unmap(lba * BLOCK_BYTES, blocks * BLOCK_BYTES),
  )
}

/** WRITE SAME(10), (16) (SBC-3 §5.43): zeros become an unmapped range, which reads the same. */
export function writeSame(command: Command): MaybeLater<Outcome> {
  const { unit, cdb, dataOut } = command
  const flags = cdb[1] ?? 0
  const isNoData = (flags & 0x01) !== 0 && cdb[0] === 0x93
  if (hasProtection(cdb, 0) || (flags & 0x16) !== 0) return invalidField() // ANCHOR, PBDATA, LBDATA
  const range = rangeOf(cdb)
  const refused = refuseWriteSame(command, range, isNoData)
  if (refused !== undefined) return refused
  const pattern = dataOut.subarray(0, BLOCK_BYTES)
  const start = range.lba * BLOCK_BYTES
  const length = range.blocks * BLOCK_BYTES
  if (isNoData || pattern.every((byte) => byte === 0)) {
    return then(unit.device.unmap(start, length), () => GOOD)
  }
  const chunk = Buffer.alloc(Math.min(length, CHUNK_BYTES), pattern)
  const offsets = Array.from({ length: Math.ceil(length / chunk.length) }, (_, i) => i * chunk.length)
  return inTurn(offsets, (at) => unit.device.write(start + at, chunk.subarray(0, length - at)))
}

function refuseWriteSame(
  { unit, dataOut }: Command,
  range: BlockRange,
  isNoData: boolean,
): Outcome | undefined {
  if (range.blocks === 0 || range.blocks > MAX_WRITE_SAME_BLOCKS) {
    return unit.hasRange(range.lba, range.blocks) ? invalidField() : outOfRange() // WSNZ is set in VPD B0h
  }
  if (!unit.hasRange(range.lba, range.blocks)) return outOfRange()
  return !isNoData && dataOut.length !== BLOCK_BYTES ? invalidField() : undefined
}

/** Unmaps any range; the device is asked for no more at a time than UNMAP may ask for. */
export async function unmapInPieces(unit: LogicalUnit, { lba, blocks }: BlockRange): Promise<void> {
  for (let at = 0; at < blocks; at += MAX_UNMAP_BLOCKS) {
    const piece = Math.min(MAX_UNMAP_BLOCKS, blocks - at)
    await unit.device.unmap((lba + at) * BLOCK_BYTES, piece * BLOCK_BYTES)
  }
}

async function inTurnFrom<T>(
  items: readonly T[],
  first: Promise<void>,
  next: (item: T) => undefined | Promise<void>,
): Promise<Outcome> {
  await first
  for (const item of items) await next(item)
  return GOOD
}

function inTurn<T>(items: readonly T[], next: (item: T) => undefined | Promise<void>): MaybeLater<Outcome> {
  for (const [i, item] of items.entries()) {
    const pending = next(item)
    if (pending !== undefined) return inTurnFrom(items.slice(i + 1), pending, next)
  }
  return GOOD
}

function invalidField(): Outcome {
  return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
}

function outOfRange(): Outcome {
  return checkCondition(SENSE.LBA_OUT_OF_RANGE)
}

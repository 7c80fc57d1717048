import { u16, u32, u64 } from './fields.js'
import { MAX_TRANSFER_BLOCKS, type LogicalUnit } from './logical-unit.js'
import { checkCondition, SENSE, type Outcome } from './sense.js'

/** Where a CDB points: SBC-3 §5 uses the same four layouts for READ, WRITE, VERIFY and their like. */
export interface BlockRange {
  lba: number
  blocks: number
}

/** Layout by command group, the top three bits of the operation code (SPC-4 §4.2.5.1). */
export function readRange(cdb: Uint8Array, at: number, into: BlockRange): void {
  const group = (cdb[at] ?? 0) >> 5
  if (group === 0) {
    into.lba = (((cdb[at + 1] ?? 0) & 0x1f) << 16) | u16(cdb, at + 2)
    into.blocks = (cdb[at + 4] ?? 0) || 256 // READ(6): 0 means 256
  } else if (group === 4) {
    into.lba = u64(cdb, at + 2)
    into.blocks = u32(cdb, at + 10)
  } else {
    into.lba = u32(cdb, at + 2)
    into.blocks = group === 5 ? u32(cdb, at + 6) : u16(cdb, at + 7)
  }
}

/** The range of `cdb`. */
export function rangeOf(cdb: Uint8Array): BlockRange {
  const range = { lba: 0, blocks: 0 }
  readRange(cdb, 0, range)
  return range
}

/** RDPROTECT, WRPROTECT or VRPROTECT: we keep no protection information, so it must be 0 (SBC-3 §5.8). */
export function hasProtection(cdb: Uint8Array, at: number): boolean {
  return (cdb[at] ?? 0) >> 5 !== 0 && ((cdb[at + 1] ?? 0) & 0xe0) !== 0
}

/** FUA: the answer waits until the bytes are on stable storage (SBC-3 §5.8). */
export function hasFua(cdb: Uint8Array): boolean {
  return (cdb[0] ?? 0) >> 5 !== 0 && ((cdb[1] ?? 0) & 0x08) !== 0
}

/** Why a transfer of this range cannot be, or undefined. */
export function refuseRange(
  unit: LogicalUnit,
  range: BlockRange,
  maxBlocks = MAX_TRANSFER_BLOCKS,
): Outcome | undefined {
  const isPastEnd = !unit.hasRange(range.lba, range.blocks)
  // A transfer of no blocks at the block after the last is out of range as well (SBC-3 §5.11).
  if (isPastEnd || range.lba >= unit.blockCount) return checkCondition(SENSE.LBA_OUT_OF_RANGE)
  return range.blocks > maxBlocks ? checkCondition(SENSE.INVALID_FIELD_IN_CDB) : undefined
}

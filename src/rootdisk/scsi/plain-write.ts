import { hasFua, hasProtection, readRange } from './block-range.js'
import { BLOCK_BYTES, MAX_TRANSFER_BLOCKS, type LogicalUnit } from './logical-unit.js'
import type { Nexus } from './nexus.js'

const NACA = 0x04
/** Byte of the CDB that holds NACA in WRITE(6), (10), (16), (12). */
const CONTROL_BYTE: ReadonlyMap<number, number> = new Map([
  [0x0a, 5],
  [0x2a, 9],
  [0x8a, 15],
  [0xaa, 11],
])
const RANGE = { lba: 0, blocks: 0 }

/**
 * Byte offset of a WRITE that needs nothing but its device: all of its data is there, nobody is to be kept out or
 * told of anything, and the write cache is on. -1 for whatever is to take the way of all commands.
 */
export function plainWriteOffset(
  unit: LogicalUnit,
  nexus: Nexus,
  cdb: Uint8Array,
  dataBytes: number,
): number {
  if (!isPlainWrite(cdb) || nexus.hasAttention || !takesPlainWrites(unit)) return -1
  readRange(cdb, 0, RANGE)
  const { lba, blocks } = RANGE
  if (blocks === 0 || blocks > MAX_TRANSFER_BLOCKS || blocks * BLOCK_BYTES !== dataBytes) return -1
  return unit.hasRange(lba, blocks) ? lba * BLOCK_BYTES : -1
}

function isPlainWrite(cdb: Uint8Array): boolean {
  const control = CONTROL_BYTE.get(cdb[0] ?? 0)
  if (control === undefined || ((cdb[control] ?? 0) & NACA) !== 0) return false
  return !hasProtection(cdb, 0) && !hasFua(cdb)
}

function takesPlainWrites({ isRestricted, device, modes }: LogicalUnit): boolean {
  const isWritable = !isRestricted && !device.isReadOnly && !modes.isSoftwareProtected
  return isWritable && modes.hasWriteCache && !modes.hasDescriptorSense
}

import { ByteWriter } from '../../wire/writer.js'
import type { Extent } from '../block-device.js'
import type { Command, MaybeLater } from './command.js'
import { u32, u64 } from './fields.js'
import { BLOCK_BYTES } from './logical-unit.js'
import { checkCondition, good, SENSE, type Outcome } from './sense.js'

const MAX_STATUS_DESCRIPTORS = 64

/** READ CAPACITY(10) (SBC-3 §5.15). */
export function readCapacity10({ unit, cdb }: Command): Outcome {
  if (((cdb[8] ?? 0) & 1) === 0 && u32(cdb, 2) !== 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  const last = Math.min(unit.blockCount - 1, 0xffffffff)
  return good(new ByteWriter().u32(last).u32(BLOCK_BYTES).bytes(), 8)
}

/** READ CAPACITY(16) (SBC-3 §5.16): thin provisioned, unmapped blocks read as zeros. */
export function readCapacity16({ unit, cdb }: Command): Outcome {
  const out = new ByteWriter()
    .u64(BigInt(unit.blockCount - 1))
    .u32(BLOCK_BYTES)
    .u8(0)
  out.u8(unit.physicalExponent).u16(0xc000).zeros(16) // LBPME, LBPRZ, aligned at block 0
  return good(out.bytes(), u32(cdb, 10))
}

/** GET LBA STATUS (SBC-3 §5.6): mapped or deallocated, from the extents of the device. */
export function getLbaStatus({ unit, cdb }: Command): MaybeLater<Outcome> {
  const first = u64(cdb, 2)
  if (first >= unit.blockCount) return checkCondition(SENSE.LBA_OUT_OF_RANGE)
  const start = first * BLOCK_BYTES
  const length = Math.min(unit.blockCount * BLOCK_BYTES - start, 0x4000_0000)
  const extents = unit.device.extents(start, length)
  const allocationLength = u32(cdb, 10)
  if (extents instanceof Promise) return extents.then((found) => lbaStatus(found, allocationLength))
  return lbaStatus(extents, allocationLength)
}

function lbaStatus(extents: readonly Extent[], allocationLength: number): Outcome {
  const body = new ByteWriter()
  for (const extent of extents.slice(0, MAX_STATUS_DESCRIPTORS)) {
    const lba = extent.offset / BLOCK_BYTES
    const blocks = extent.length / BLOCK_BYTES
    body
      .u64(BigInt(Math.floor(lba)))
      .u32(Math.ceil(blocks))
      .u8(extent.kind === 'data' ? 0 : 1)
      .zeros(3)
  }
  const out = new ByteWriter()
    .u32(4 + body.length)
    .zeros(4)
    .put(body.bytes())
  return good(out.bytes(), allocationLength)
}

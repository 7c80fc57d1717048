import { ByteWriter } from '../../wire/writer.js'
import type { Command } from './command.js'
import { u16 } from './fields.js'
import { checkCondition, good, SENSE, type Outcome } from './sense.js'

/** LOG SENSE (SPC-4 §6.8): the list of pages, which has only itself: a volume counts no wear and no errors. */
export function logSense({ cdb }: Command): Outcome {
  const [code, subpage] = [(cdb[2] ?? 0) & 0x3f, cdb[3] ?? 0]
  const isSaving = ((cdb[1] ?? 0) & 0x01) !== 0
  if (code !== 0 || subpage !== 0 || isSaving) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  return good(new ByteWriter().u8(0).u8(0).u16(1).u8(0).bytes(), u16(cdb, 7))
}

/** READ DEFECT DATA(10), (12) (SBC-3 §5.18): a volume has no defects, so either list is empty. */
export function readDefectData({ cdb }: Command): Outcome {
  const isLong = cdb[0] === 0xb7
  const asked = cdb[isLong ? 1 : 2] ?? 0
  const out = new ByteWriter().u8(0).u8(asked & 0x1f)
  if (!isLong) return good(out.u16(0).bytes(), u16(cdb, 7))
  return good(out.u16(0).u32(0).bytes(), u16(cdb, 6) * 0x10000 + u16(cdb, 8))
}

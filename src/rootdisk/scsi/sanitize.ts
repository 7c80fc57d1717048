import { unmapInPieces } from './block-commands.js'
import type { Command, MaybeLater } from './command.js'
import { u16 } from './fields.js'
import { checkCondition, GOOD, SENSE, type Outcome } from './sense.js'

/**
 * SANITIZE, BLOCK ERASE (SBC-4 §5.30): every block is unmapped and the map is on stable storage.
 * IMMED is taken as 0: an erase of a thin volume only empties its map.
 */
export function blockErase({ unit, cdb }: Command): MaybeLater<Outcome> {
  const isReserved = ((cdb[1] ?? 0) & 0x40) !== 0 || cdb.subarray(2, 7).some((byte) => byte !== 0)
  if (isReserved || u16(cdb, 7) !== 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  return unit.inTurn(async () => {
    unit.isSanitizing = true
    try {
      await unmapInPieces(unit, { lba: 0, blocks: unit.blockCount })
      await unit.device.flush()
      return GOOD
    } finally {
      unit.isSanitizing = false
    }
  })
}

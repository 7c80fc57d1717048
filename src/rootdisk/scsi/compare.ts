import { hasFua, hasProtection, rangeOf, refuseRange, type BlockRange } from './block-range.js'
import { then, type Command, type MaybeLater } from './command.js'
import { u64 } from './fields.js'
import { BLOCK_BYTES, MAX_COMPARE_BLOCKS } from './logical-unit.js'
import { checkCondition, GOOD, SENSE, type Outcome } from './sense.js'

/** COMPARE AND WRITE (SBC-3 §5.2): the data is first what must be there, then what replaces it. */
export function compareAndWrite(command: Command): MaybeLater<Outcome> {
  const { unit, cdb, dataOut } = command
  const range = { lba: u64(cdb, 2), blocks: cdb[13] ?? 0 }
  const refused = refuseWrite(command, range)
  if (refused !== undefined) return refused
  const bytes = range.blocks * BLOCK_BYTES
  const isWhole = dataOut.length === 2 * bytes && range.blocks <= MAX_COMPARE_BLOCKS
  if (!isWhole) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  if (bytes === 0) return GOOD
  return unit.inTurn(async () => {
    const compared = await compare({ unit, dataOut: dataOut.subarray(0, bytes) }, range)
    return compared === GOOD ? store(command, range, dataOut.subarray(bytes)) : compared
  })
}

/** ORWRITE (SBC-3 §5.7): each bit that is set in the data is set on the medium. */
export function orWrite(command: Command): MaybeLater<Outcome> {
  const { unit, cdb, dataOut } = command
  const range = rangeOf(cdb)
  const refused = refuseWrite(command, range)
  if (refused !== undefined) return refused
  const bytes = range.blocks * BLOCK_BYTES
  if (bytes === 0) return GOOD
  if (dataOut.length < bytes) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  return unit.inTurn(async () => {
    const stored = Buffer.allocUnsafe(bytes)
    await unit.device.read(range.lba * BLOCK_BYTES, stored)
    for (let i = 0; i < bytes; i++) stored[i] = (stored[i] ?? 0) | (dataOut[i] ?? 0)
    return store(command, range, stored)
  })
}

async function store({ unit, cdb }: Command, range: BlockRange, bytes: Uint8Array): Promise<Outcome> {
  await unit.device.write(range.lba * BLOCK_BYTES, bytes)
  if (hasFua(cdb)) await unit.device.flush()
  return GOOD
}

/** Why this write cannot be, or undefined. */
export function refuseWrite({ unit, cdb }: Command, range: BlockRange): Outcome | undefined {
  if (hasProtection(cdb, 0)) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  return refuseRange(unit, range)
}

/** Compares the medium with the data that came (SBC-3 §5.31, BYTCHK 1). */
export function compare(
  { unit, dataOut }: Pick<Command, 'unit' | 'dataOut'>,
  range: BlockRange,
): MaybeLater<Outcome> {
  const bytes = Math.min(range.blocks * BLOCK_BYTES, dataOut.length)
  const stored = Buffer.allocUnsafe(bytes)
  return then(unit.device.read(range.lba * BLOCK_BYTES, stored), () => {
    if (stored.equals(dataOut.subarray(0, bytes))) return GOOD
    return checkCondition(SENSE.MISCOMPARE, firstDifference(stored, dataOut))
  })
}

/** Byte offset of the first difference (SBC-3 §5.2 wants it in the INFORMATION field). */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
  return a.findIndex((byte, i) => byte !== b[i])
}

import { ByteWriter } from '../../wire/writer.js'
import type { Command } from './command.js'
import { u16, u32 } from './fields.js'
import { checkCondition, describeSense, encodeSense, good, SENSE, STATUS, type Outcome } from './sense.js'

/** What REPORT SUPPORTED OPERATION CODES needs of a row of the opcode table. */
interface Supported {
  readonly opcode: number
  readonly serviceAction: number | undefined
  readonly usage: Uint8Array
}

/** REPORT LUNS (SPC-4 §6.33) of a LUN that is there: it tells what the unit attention would have. */
export function reportLunsHere({ units, nexus, cdb }: Command): Outcome {
  const outcome = reportLuns(cdb, [...units.keys()])
  if (outcome.status === STATUS.GOOD) {
    for (const lun of units.keys()) nexus.clear(lun, SENSE.REPORTED_LUNS_CHANGED)
  }
  return outcome
}

/** REPORT LUNS (SPC-4 §6.33). */
export function reportLuns(cdb: Uint8Array, luns: readonly number[]): Outcome {
  const select = cdb[2] ?? 0
  const allocationLength = u32(cdb, 6)
  if (select > 2 || allocationLength < 16) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  const shown = select === 1 ? [] : luns.toSorted((a, b) => a - b) // 1: well-known units only: none
  const out = new ByteWriter().u32(shown.length * 8).zeros(4)
  for (const lun of shown) out.u16(lun < 256 ? lun : 0x4000 | lun).zeros(6)
  return good(out.bytes(), allocationLength)
}

/** REQUEST SENSE (SPC-4 §6.39): sense goes with each response, so only a waiting unit attention is left to tell. */
export function requestSense({ unit, nexus, cdb }: Command): Outcome {
  const sense = encodeSense(
    unit.isSanitizing ? SENSE.SANITIZE_IN_PROGRESS : (nexus.take(unit.lun) ?? SENSE.NO_SENSE),
  )
  const isDescriptor = ((cdb[1] ?? 0) & 1) !== 0 // DESC
  return good(isDescriptor ? describeSense(sense) : sense, cdb[4] ?? 0)
}

/** REPORT SUPPORTED OPERATION CODES (SPC-4 §6.35). */
export function reportSupportedOpcodes({ cdb }: Command, table: readonly Supported[]): Outcome {
  const isTimed = ((cdb[2] ?? 0) & 0x80) !== 0
  const option = (cdb[2] ?? 0) & 7
  const allocationLength = u32(cdb, 6)
  if (option === 0) return good(allOpcodes(table, isTimed), allocationLength)
  if (option > 3) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  return oneOpcode(cdb, table, isTimed)
}

function allOpcodes(table: readonly Supported[], isTimed: boolean): Uint8Array {
  const body = new ByteWriter()
  for (const row of table) {
    const flags = (isTimed ? 2 : 0) | (row.serviceAction === undefined ? 0 : 1) // CTDP, SERVACTV
    body
      .u8(row.opcode)
      .u8(0)
      .u16(row.serviceAction ?? 0)
      .u8(0)
      .u8(flags)
    body.u16(row.usage.length)
    if (isTimed) timeouts(body)
  }
  return new ByteWriter().u32(body.length).put(body.bytes()).bytes()
}

function oneOpcode(cdb: Uint8Array, table: readonly Supported[], isTimed: boolean): Outcome {
  const option = (cdb[2] ?? 0) & 7
  const rows = table.filter((row) => row.opcode === cdb[3])
  const hasActions = rows.some((row) => row.serviceAction !== undefined)
  // 1: without a service action, 2: with one, 3: either way.
  const isWrongOption = rows.length > 0 && ((option === 1 && hasActions) || (option === 2 && !hasActions))
  if (isWrongOption) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  const row = rows.find((candidate) => !hasActions || candidate.serviceAction === u16(cdb, 4))
  const out = new ByteWriter().u8(0)
  if (row === undefined) return good(out.u8(1).u16(0).bytes(), u32(cdb, 6)) // SUPPORT 1: not supported
  out
    .u8((isTimed ? 0x80 : 0) | 3)
    .u16(row.usage.length)
    .put(row.usage)
  if (isTimed) timeouts(out)
  return good(out.bytes(), u32(cdb, 6))
}

function timeouts(out: ByteWriter): void {
  out.u16(10).zeros(10) // no command timeout is claimed
}

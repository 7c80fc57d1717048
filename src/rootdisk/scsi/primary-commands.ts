import { ByteWriter } from '../../wire/writer.js'
import type { Command } from './command.js'
import { u16, u32 } from './fields.js'
import { checkCondition, encodeSense, good, SENSE, type Outcome } from './sense.js'

/** What REPORT SUPPORTED OPERATION CODES needs of a row of the opcode table. */
interface Supported {
  readonly opcode: number
  readonly serviceAction?: number
  readonly usage: string
}

/** REPORT LUNS (SPC-4 §6.33). */
export function reportLuns({ luns, cdb }: Pick<Command, 'luns' | 'cdb'>): Outcome {
  const select = cdb[2] ?? 0
  const allocationLength = u32(cdb, 6)
  if (select > 2 || allocationLength < 16) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  const shown = select === 1 ? [] : luns // 1: well-known units only, and there are none
  const out = new ByteWriter().u32(shown.length * 8).zeros(4)
  for (const lun of shown) out.u16(lun < 256 ? lun : 0x4000 | lun).zeros(6)
  return good(out.bytes(), allocationLength)
}

/** REQUEST SENSE (SPC-4 §6.39): sense goes with each response, so only a waiting unit attention is left to tell. */
export function requestSense({ unit, nexus, cdb }: Command): Outcome {
  if (((cdb[1] ?? 0) & 1) !== 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB) // DESC: fixed format only
  return good(encodeSense(nexus.take(unit.lun) ?? SENSE.NO_SENSE), cdb[4] ?? 0)
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
    body.u16(row.usage.length / 2)
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
    .u16(row.usage.length / 2)
    .put(Buffer.from(row.usage, 'hex'))
  if (isTimed) timeouts(out)
  return good(out.bytes(), u32(cdb, 6))
}

function timeouts(out: ByteWriter): void {
  out.u16(10).zeros(10) // no command timeout is claimed
}

/** PERSISTENT RESERVE IN (SPC-4 §6.15): nobody can register, so there are no keys and no reservation. */
export function persistentReserveIn({ cdb }: Command): Outcome {
  const action = (cdb[1] ?? 0) & 0x1f
  const allocationLength = u16(cdb, 7)
  if (action < 2) return good(new ByteWriter().zeros(8).bytes(), allocationLength)
  if (action > 2) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  return good(new ByteWriter().u16(8).u16(0x80).zeros(4).bytes(), allocationLength) // TMV, no type supported
}

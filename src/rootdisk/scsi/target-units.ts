import type { Command, MaybeLater } from './command.js'
import { u16 } from './fields.js'
import { absentInquiry } from './inquiry.js'
import type { LogicalUnit, Nexus } from './logical-unit.js'
import { OPCODES, type Opcode } from './opcodes.js'
import { reportLuns } from './primary-commands.js'
import { checkCondition, encodeSense, failureOutcome, good, SENSE, type Outcome } from './sense.js'

const BY_OPCODE: readonly (readonly Opcode[])[] = Array.from({ length: 256 }, (_, code) =>
  OPCODES.filter((row) => row.opcode === code),
)
const NACA = 0x04

/** One command as the transport hands it over. */
export interface Request {
  readonly nexus: Nexus
  readonly lun: number
  /** 16 bytes. */
  readonly cdb: Uint8Array
  readonly dataOut: Uint8Array
}

/** The logical units of one target and the way every command to them takes. */
export class TargetUnits {
  readonly #units = new Map<number, LogicalUnit>()

  add(unit: LogicalUnit): void {
    this.#units.set(unit.lun, unit)
  }

  unit(lun: number): LogicalUnit | undefined {
    return this.#units.get(lun)
  }

  get units(): readonly LogicalUnit[] {
    return [...this.#units.values()].sort((a, b) => a.lun - b.lun)
  }

  /** Runs a command; never throws, never rejects. `onFault` gets what is our own fault. */
  execute(request: Request, onFault: (err: unknown) => void): MaybeLater<Outcome> {
    const { cdb, lun, nexus, dataOut } = request
    const unit = this.#units.get(lun)
    const luns = cdb[0] === 0xa0 ? this.units.map((each) => each.lun) : []
    if (unit === undefined) return withoutUnit(cdb, luns)
    const row = lookUp(cdb)
    if (row === undefined) return checkCondition(unknownCommand(cdb))
    if (((cdb[cdbLength(row) - 1] ?? 0) & NACA) !== 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
    if (nexus.hasAttention && row.ignoresAttention !== true) {
      const code = nexus.take(lun)
      if (code !== undefined) return checkCondition(code)
    }
    return run(row, { unit, nexus, cdb, dataOut, luns }, onFault)
  }
}

function run(row: Opcode, command: Command, onFault: (err: unknown) => void): MaybeLater<Outcome> {
  const failed = (err: unknown): Outcome => {
    const outcome = failureOutcome(err, row.isWrite === true)
    if (outcome.sense?.[2] === SENSE.INTERNAL_TARGET_FAILURE[0]) onFault(err)
    return outcome
  }
  try {
    const outcome = row.run(command)
    return outcome instanceof Promise ? outcome.catch(failed) : outcome
  } catch (err) {
    return failed(err)
  }
}

function lookUp(cdb: Uint8Array): Opcode | undefined {
  const rows = BY_OPCODE[cdb[0] ?? 0] ?? []
  const only = rows[0]
  if (only?.serviceAction === undefined) return only
  return rows.find((row) => row.serviceAction === ((cdb[1] ?? 0) & 0x1f))
}

/** A known operation code with an unknown service action is an invalid field (SPC-4 §4.2.5.2). */
function unknownCommand(
  cdb: Uint8Array,
): (typeof SENSE)['INVALID_FIELD_IN_CDB' | 'INVALID_COMMAND_OPERATION_CODE'] {
  const isKnown = (BY_OPCODE[cdb[0] ?? 0]?.length ?? 0) > 0
  return isKnown ? SENSE.INVALID_FIELD_IN_CDB : SENSE.INVALID_COMMAND_OPERATION_CODE
}

function cdbLength(row: Opcode): number {
  return row.usage.length / 2
}

/** What is answered for a LUN that is not there (SPC-4 §4.2.5.1, SAM-5 §4.6.4). */
function withoutUnit(cdb: Uint8Array, luns: readonly number[]): Outcome {
  if (cdb[0] === 0x12) return absentInquiry(cdb)
  if (cdb[0] === 0xa0) return reportLuns({ luns, cdb })
  if (cdb[0] === 0x03) return good(encodeSense(SENSE.LOGICAL_UNIT_NOT_SUPPORTED), u16(cdb, 3) & 0xff)
  return checkCondition(SENSE.LOGICAL_UNIT_NOT_SUPPORTED)
}

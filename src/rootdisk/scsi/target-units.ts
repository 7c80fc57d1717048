import { hasConflict, type Access } from './access.js'
import type { Command, MaybeLater } from './command.js'
import { absentInquiry } from './inquiry.js'
import type { LogicalUnit } from './logical-unit.js'
import { Nexus, type PortId } from './nexus.js'
import { Nexuses } from './nexuses.js'
import { OPCODES, type Opcode } from './opcodes.js'
import { plainWriteOffset } from './plain-write.js'
import { reportLuns } from './primary-commands.js'
import {
  checkCondition,
  describeSense,
  encodeSense,
  failureOutcome,
  good,
  GOOD,
  SENSE,
  STATUS,
  type Outcome,
  type SenseCode,
} from './sense.js'

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

/** The logical units of one target, its sessions, and the way every command takes. */
export class TargetUnits {
  readonly #units = new Map<number, LogicalUnit>()
  readonly #nexuses = new Nexuses()

  unit(lun: number): LogicalUnit | undefined {
    return this.#units.get(lun)
  }

  get units(): readonly LogicalUnit[] {
    return [...this.#units.values()].sort((a, b) => a.lun - b.lun)
  }

  /** A session begins: its first command to each LUN is told of the reset that a login is (SAM-5 §6.3.4). */
  join(port: PortId): Nexus {
    const nexus = new Nexus(port)
    for (const lun of this.#units.keys()) nexus.raise(lun, SENSE.POWER_ON)
    this.#nexuses.add(nexus)
    return nexus
  }

  /** A session has ended (I_T nexus loss): what it held by RESERVE(6) is free. */
  leave(nexus: Nexus): void {
    this.#nexuses.delete(nexus)
    for (const unit of this.#units.values()) if (unit.reserver === nexus) unit.reserver = undefined
  }

  /** Adds a LUN; sessions that are there are told that the LUN set has changed, at every LUN. */
  addUnit(unit: LogicalUnit): void {
    this.#units.set(unit.lun, unit)
    this.#lunsChanged()
  }

  /** Takes a LUN away; the caller closes its device once {@link Nexus.abortTasks} have ended its commands. */
  removeUnit(lun: number): LogicalUnit | undefined {
    const unit = this.#units.get(lun)
    this.#units.delete(lun)
    this.#nexuses.forget(lun)
    if (unit !== undefined) this.#lunsChanged()
    return unit
  }

  /** The device of a LUN has another size now. */
  capacityChanged(lun: number): void {
    this.#nexuses.raise(lun, SENSE.CAPACITY_CHANGED)
  }

  /**
   * Somebody else has changed what a LUN holds. Of the events for which SAM-5 §5.14 wants a unit attention this is "the
   * medium may have been changed": 28h/00h (SPC-4 annex D). Capacity (2Ah/09h) and identity (3Fh/03h) have not changed.
   */
  mediumChanged(lun: number): void {
    this.#nexuses.raise(lun, SENSE.MEDIUM_CHANGED)
  }

  /** LOGICAL UNIT RESET, after the commands of the LUN were aborted. */
  resetUnit(lun: number): void {
    this.#units.get(lun)?.reset()
    this.#nexuses.raise(lun, SENSE.BUS_DEVICE_RESET)
  }

  /** TARGET RESET, warm or cold. */
  resetTarget(): void {
    for (const lun of this.#units.keys()) this.resetUnit(lun)
  }

  /** Runs a command; never throws, never rejects. `onFault` gets what is our own fault. */
  execute(request: Request, onFault: (err: unknown) => void): MaybeLater<Outcome> {
    const unit = this.#units.get(request.lun)
    if (unit === undefined) return withoutUnit(request.cdb, this.#units)
    const offset = plainWriteOffset(unit, request.nexus, request.cdb, request.dataOut.length)
    if (offset >= 0) return writePlainly(unit, offset, request.dataOut, onFault)
    const outcome = this.#outcome(unit, request, onFault)
    if (!unit.modes.hasDescriptorSense) return outcome
    return outcome instanceof Promise ? outcome.then(inDescriptorFormat) : inDescriptorFormat(outcome)
  }

  #outcome(unit: LogicalUnit, request: Request, onFault: (err: unknown) => void): MaybeLater<Outcome> {
    const { cdb, nexus, dataOut } = request
    const row = lookUp(cdb)
    if (row === undefined) return checkCondition(unknownCommand(cdb))
    const command = { unit, nexus, cdb, dataOut, units: this.#units, nexuses: this.#nexuses }
    return refuse(row, command) ?? run(row, command, onFault)
  }

  #lunsChanged(): void {
    for (const lun of this.#units.keys()) this.#nexuses.raise(lun, SENSE.REPORTED_LUNS_CHANGED)
  }
}

/** Why a command is not run, in the order in which SAM-5 §5.3.3 has the reasons; undefined when it is. */
function refuse(row: Opcode, { unit, nexus, cdb }: Command): Outcome | undefined {
  if (((cdb[row.cdbBytes - 1] ?? 0) & NACA) !== 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  if (nexus.hasAttention && !row.ignoresAttention) {
    const code = nexus.take(unit.lun)
    if (code !== undefined) return checkCondition(code)
  }
  const restriction = unit.isRestricted ? keepOut(unit, nexus, row.access(cdb)) : undefined
  return restriction ?? (row.isMedium ? protect(unit) : undefined)
}

function keepOut(unit: LogicalUnit, nexus: Nexus, access: Access): Outcome | undefined {
  if (hasConflict(unit, nexus, access)) return { status: STATUS.RESERVATION_CONFLICT }
  return unit.isSanitizing && access !== 'free' ? checkCondition(SENSE.SANITIZE_IN_PROGRESS) : undefined
}

function protect({ device, modes }: LogicalUnit): Outcome | undefined {
  if (device.isReadOnly) return checkCondition(SENSE.WRITE_PROTECTED)
  return modes.isSoftwareProtected ? checkCondition(SENSE.SOFTWARE_WRITE_PROTECTED) : undefined
}

function run(row: Opcode, command: Command, onFault: (err: unknown) => void): MaybeLater<Outcome> {
  const failed = (err: unknown): Outcome => failedOutcome(err, row.isWrite, onFault)
  try {
    const ran = row.run(command)
    const outcome = row.isMedium && !command.unit.modes.hasWriteCache ? flushed(command.unit, ran) : ran
    return outcome instanceof Promise ? outcome.catch(failed) : outcome
  } catch (err) {
    return failed(err)
  }
}

/** What {@link run} would come to, with fewer promises: most commands of a busy disk are these. */
function writePlainly(
  unit: LogicalUnit,
  offset: number,
  bytes: Uint8Array,
  onFault: (err: unknown) => void,
): MaybeLater<Outcome> {
  const failed = (err: unknown): Outcome => failedOutcome(err, true, onFault)
  try {
    return unit.device.write(offset, bytes)?.then(written, failed) ?? GOOD
  } catch (err) {
    return failed(err)
  }
}

function written(): Outcome {
  return GOOD
}

function failedOutcome(err: unknown, isWrite: boolean, onFault: (err: unknown) => void): Outcome {
  const outcome = failureOutcome(err, isWrite)
  if (outcome.sense?.[2] === SENSE.INTERNAL_TARGET_FAILURE[0]) onFault(err)
  return outcome
}

/** With WCE off a change of the medium is answered once it is on stable storage (SBC-3 §6.5.5). */
async function flushed(unit: LogicalUnit, ran: MaybeLater<Outcome>): Promise<Outcome> {
  const outcome = await ran
  if (outcome.status === STATUS.GOOD) await unit.device.flush()
  return outcome
}

function inDescriptorFormat(outcome: Outcome): Outcome {
  return outcome.sense === undefined ? outcome : { ...outcome, sense: describeSense(outcome.sense) }
}

function lookUp(cdb: Uint8Array): Opcode | undefined {
  const rows = BY_OPCODE[cdb[0] ?? 0] ?? []
  const only = rows[0]
  if (only?.serviceAction === undefined) return only
  return rows.find((row) => row.serviceAction === ((cdb[1] ?? 0) & 0x1f))
}

/** A known operation code with an unknown service action is an invalid field (SPC-4 §4.2.5.2). */
function unknownCommand(cdb: Uint8Array): SenseCode {
  const isKnown = (BY_OPCODE[cdb[0] ?? 0]?.length ?? 0) > 0
  return isKnown ? SENSE.INVALID_FIELD_IN_CDB : SENSE.INVALID_COMMAND_OPERATION_CODE
}

/** What is answered for a LUN that is not there (SPC-4 §4.2.5.1, SAM-5 §4.6.4). */
function withoutUnit(cdb: Uint8Array, units: ReadonlyMap<number, LogicalUnit>): Outcome {
  if (cdb[0] === 0x12) return absentInquiry(cdb)
  if (cdb[0] === 0xa0) return reportLuns(cdb, [...units.keys()])
  if (cdb[0] === 0x03) return good(encodeSense(SENSE.LOGICAL_UNIT_NOT_SUPPORTED), cdb[4] ?? 0)
  return checkCondition(SENSE.LOGICAL_UNIT_NOT_SUPPORTED)
}

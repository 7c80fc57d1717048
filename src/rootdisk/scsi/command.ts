import type { LogicalUnit } from './logical-unit.js'
import type { Nexus } from './nexus.js'
import type { Nexuses } from './nexuses.js'
import type { Outcome } from './sense.js'

/** A SCSI command with all its data: what a handler of the opcode table is given. */
export interface Command {
  readonly unit: LogicalUnit
  readonly nexus: Nexus
  /** 16 bytes, shorter CDBs padded with zeros. */
  readonly cdb: Uint8Array
  /** Data-out as far as the initiator sent it; the handler owns it until its outcome is known. */
  readonly dataOut: Uint8Array
  /** Every LUN of the target. */
  readonly units: ReadonlyMap<number, LogicalUnit>
  /** Every session of the target. */
  readonly nexuses: Nexuses
}

/** At once, or a promise when the device needs one. */
export type MaybeLater<T> = T | Promise<T>

/** Runs a command. */
export type Handler = (command: Command) => MaybeLater<Outcome>

/** `next` now if the device call finished at once, else after it. */
export function then<T>(pending: undefined | Promise<void>, next: () => MaybeLater<T>): MaybeLater<T> {
  return pending === undefined ? next() : pending.then(next)
}

import type { Command } from './command.js'
import { GOOD, STATUS, type Outcome } from './sense.js'

/** RESERVE(6), (10) of the whole LUN (SPC-2 §7.21); of others it was kept out before it came here. */
export function reserve({ unit, nexus }: Command): Outcome {
  // Registered keys and RESERVE exclude each other (SPC-4 §5.13.4; CRH is 0).
  if (unit.reservations.registrations.length > 0) return { status: STATUS.RESERVATION_CONFLICT }
  unit.reserver = nexus
  return GOOD
}

/** RELEASE(6), (10): of somebody else's reservation it is good and does nothing (SPC-2 §7.16). */
export function release({ unit, nexus }: Command): Outcome {
  if (unit.reservations.registrations.length > 0) return { status: STATUS.RESERVATION_CONFLICT }
  if (unit.reserver === nexus) unit.reserver = undefined
  return GOOD
}

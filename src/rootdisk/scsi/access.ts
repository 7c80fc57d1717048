import type { LogicalUnit } from './logical-unit.js'
import type { PortId } from './nexus.js'
import { isKeptOut } from './reservation-state.js'

/**
 * What a command touches: decides who is kept out by a reservation (SPC-4 §5.13.1, SPC-2 §5.5.1),
 * whether write protection refuses it, and what a failed device call is called.
 * `free`: no reservation stops it. `status`: only RESERVE(6) of another session does.
 * `read`: reads the medium. `control`: acts on the LUN as a whole. `medium`: changes the medium.
 */
export type Access = 'free' | 'status' | 'read' | 'control' | 'medium'

/** Whether a reservation of somebody else keeps `nexus` from a command that touches the LUN so. */
export function hasConflict(unit: LogicalUnit, nexus: PortId, access: Access): boolean {
  if (access === 'free') return false
  if (unit.reserver !== undefined && unit.reserver !== nexus) return true
  return access !== 'status' && isKeptOut(unit.reservations, nexus, access === 'read')
}

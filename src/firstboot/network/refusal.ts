import { DaemonError } from '../../errors.js'

/** The refusal of a network: `field` as the network document spells it, `links[0].mac`; empty for the whole. */
export function refused(field: string, reason: string): DaemonError {
  return new DaemonError('INVALID_INPUT', `network${field === '' ? '' : '.'}${field}: ${reason}`)
}

/** @throws DaemonError INVALID_INPUT unless `value` is an integer `min..max` */
export function checkInteger(value: number, field: string, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw refused(field, `expected an integer ${min}..${max}, got ${value}`)
}

/** @throws DaemonError INVALID_INPUT when `list` has more than `max` entries */
export function checkCount(list: readonly unknown[], field: string, max: number): void {
  if (list.length > max) throw refused(field, `expected at most ${max}, got ${list.length}`)
}

/** Hostile text as it may stand in a message: quoted, and cut at 80 characters. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text)
}

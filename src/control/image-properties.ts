import { DaemonError } from '../errors.js'
import type { ImageRecord } from '../registry/records.js'

const NAME = /^[a-z][a-z0-9_.]{0,63}$/
const VALUE_LIMIT_CHARACTERS = 1024
const LIMIT = 64

/** Properties that mean something to us have these values; others may have any. */
const VALUES: ReadonlyMap<string, readonly string[]> = new Map([
  ['hw_firmware_type', ['bios', 'uefi', 'both']],
  ['boot', ['inic', 'local', 'none']],
  ['network_data_bond', ['always']],
])

/**
 * An image's properties after a change: null takes one away, those not named stay.
 * @throws DaemonError INVALID_INPUT that begins with `properties`
 */
export function withProperties(
  before: ImageRecord['properties'],
  change: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const after = new Map(Object.entries(before))
  for (const [name, value] of Object.entries(change)) {
    if (value === null) after.delete(name)
    else after.set(name, checkProperty(name, value))
  }
  if (after.size > LIMIT) throw refused('', `expected at most ${LIMIT}, got ${after.size}`)
  return Object.fromEntries([...after].sort(([a], [b]) => (a < b ? -1 : 1)))
}

function checkProperty(name: string, value: string): string {
  if (!NAME.test(name))
    throw refused(
      '',
      `expected names of 1-64 small letters, digits, "_" and ".", got ${JSON.stringify(name)}`,
    )
  const values = VALUES.get(name)
  if (values !== undefined && !values.includes(value))
    throw refused(`.${name}`, `expected ${values.join(' or ')}, got ${JSON.stringify(value)}`)
  if (value.length <= VALUE_LIMIT_CHARACTERS && !/[\p{Cc}\p{Cs}]/u.test(value)) return value
  throw refused(`.${name}`, `expected at most ${VALUE_LIMIT_CHARACTERS} characters, none of them a control`)
}

function refused(field: string, reason: string): DaemonError {
  return new DaemonError('INVALID_INPUT', `properties${field}: ${reason}`)
}

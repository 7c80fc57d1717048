import { createHash } from 'node:crypto'
import { DaemonError } from '../../errors.js'
import type { SeedInput, SeedKey } from './seed-input.js'

const NAME_MAX = 15 // NetBIOS, and what Cloudbase-Init cuts a name to
const STEM = 10

/**
 * The computer name of a Windows server: the first label of its name, and of a longer one its first ten characters,
 * a hyphen and four of its hash, so that names that differ only at their end stay different.
 * Cloudbase-Init would cut at fifteen, and make web-frontend-001 and web-frontend-002 one.
 */
export function windowsHostname(hostname: string): string {
  const label = hostname.split('.')[0] ?? hostname
  if (label.length <= NAME_MAX) return label
  const digest = createHash('sha256').update(label.toLowerCase()).digest('hex')
  return `${label.slice(0, STEM).replace(/-+$/, '')}-${digest.slice(0, 4)}`
}

/** RSA keys before others: Cloudbase-Init encrypts the password it makes with the first key, and knows only RSA. */
export function windowsKeys(keys: readonly SeedKey[]): SeedKey[] {
  return [...keys.filter(isRsa), ...keys.filter((key) => !isRsa(key))]
}

/**
 * Refuses what no Windows takes.
 * @throws DaemonError INVALID_INPUT whose message starts with the field
 */
export function checkWindows({ hostname, keys, adminPasswordHash }: SeedInput): void {
  if (/^\d+$/.test(windowsHostname(hostname))) {
    throw refused('hostname', `Windows takes no name of digits only, got "${hostname}"`)
  }
  if (keys.length > 0 && !keys.some(isRsa)) {
    throw refused('keys', 'expected an RSA key (ssh-rsa): Windows encrypts its password with it')
  }
  // JSON members named by digits come before all others, whatever their order was.
  const digits = keys.findIndex((key) => /^\d+$/.test(key.name) && !isRsa(key))
  if (digits >= 0) throw refused(`keys[${digits}].name`, 'expected more than digits for a Windows server')
  if (adminPasswordHash !== undefined) {
    throw refused(
      'adminPasswordHash',
      'Windows takes no hash: it makes a password and posts it, sealed by the key',
    )
  }
}

function isRsa({ publicKey }: SeedKey): boolean {
  return publicKey.startsWith('ssh-rsa ')
}

function refused(field: string, reason: string): DaemonError {
  return new DaemonError('INVALID_INPUT', `${field}: ${reason}`)
}

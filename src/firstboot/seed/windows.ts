import { createHash } from 'node:crypto'
import { DaemonError } from '../../errors.js'
import type { NetworkModel } from '../network/network.js'
import type { SeedInput } from './seed-input.js'

const NAME_MAX = 15 // NetBIOS, and what Cloudbase-Init cuts a name to
const STEM = 8
const DIGITS = 6 // of base 36: two among a thousand long names meet once in 4000 fleets

/**
 * The computer name of a Windows server: the first label of its name, and of a longer one its first eight characters,
 * a hyphen and six of its hash, so that names that differ only at their end stay different.
 * Cloudbase-Init would cut at fifteen, and make web-frontend-001 and web-frontend-002 one.
 */
export function windowsHostname(hostname: string): string {
  const label = (hostname.split('.')[0] ?? hostname).toLowerCase()
  if (label.length <= NAME_MAX) return label
  const digest = createHash('sha256').update(label).digest().readUIntBE(0, 6)
  const digits = digest.toString(36).padStart(DIGITS, '0').slice(-DIGITS)
  return `${label.slice(0, STEM).replace(/-+$/, '')}-${digits}`
}

/**
 * Refuses what no Windows takes.
 * @throws DaemonError INVALID_INPUT whose message starts with the field
 */
export function checkWindows({ hostname, keys, adminPasswordHash, network }: SeedInput): void {
  if (/^\d+$/.test(windowsHostname(hostname))) {
    throw refused('hostname', `Windows takes no name of digits only, got "${hostname}"`)
  }
  // Cloudbase-Init makes a set of the keys and encrypts the password it makes with any of them; it knows only RSA.
  const notRsa = keys.findIndex(({ publicKey }) => !publicKey.startsWith('ssh-rsa '))
  if (notRsa >= 0) {
    throw refused(
      `keys[${notRsa}].publicKey`,
      'Windows takes RSA keys only (ssh-rsa): its password is sealed by one',
    )
  }
  if (adminPasswordHash !== undefined) {
    throw refused(
      'adminPasswordHash',
      'Windows takes no hash: it makes a password and posts it, sealed by the key',
    )
  }
  checkVlans(network)
}

/**
 * Cloudbase-Init makes a VLAN as a member of a team, for which the network's document puts a NIC into a team of its
 * own; but the NIC under the root disk may not be in one.
 */
function checkVlans({ links }: NetworkModel): void {
  const roots = new Set(links.filter((link) => link.kind === 'nic' && link.isRoot).map(({ id }) => id))
  const rooted = links.findIndex((link) => link.kind === 'vlan' && roots.has(link.parent))
  if (rooted >= 0)
    throw refused(`network.links[${rooted}].parent`, 'Windows takes no VLAN on the NIC of its root disk')
}

function refused(field: string, reason: string): DaemonError {
  return new DaemonError('INVALID_INPUT', `${field}: ${reason}`)
}

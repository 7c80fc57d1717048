import { DaemonError } from '../../errors.js'
import { parseIpv4 } from '../../wire/ipv4.js'
import { checkNetwork } from '../network/check-network.js'
import type { SeedInput, SeedKey } from './seed-input.js'
import { readUserData } from './user-data.js'
import { checkWindows } from './windows.js'

const URL_MAX_LENGTH = 2048
const MAX_KEYS = 64
const KEY_MAX_BYTES = 16_384
const KEYS_MAX_BYTES = 262_144
const AGENT_MAX_BYTES = 1 << 20
const SECRET_MIN_BYTES = 16
const MAX_METADATA = 64

// The guest uses the ids as directory names (/var/lib/cloud/instances/ID).
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

// `type base64 [comment]`; options before the type are refused: they could run commands at login.
const SSH_KEY =
  /^(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9-]+@openssh\.com) [A-Za-z0-9+/]{16,}={0,2}(?: .*)?$/

// crypt(5): only SHA-512, in its own alphabet; anything else could be a password in clear.
const SHA512_CRYPT = /^\$6\$(?:rounds=\d{4,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}$/

/**
 * Refuses a seed that a guest would misread.
 * @throws DaemonError INVALID_INPUT whose message starts with the field
 */
export function checkSeedInput(input: SeedInput): void {
  checkId(input.serverId, 'serverId')
  checkId(input.instanceId, 'instanceId')
  checkId(input.availabilityZone ?? 'none', 'availabilityZone')
  checkId(input.projectId ?? 'none', 'projectId')
  checkHostname(input.hostname)
  checkKeys(input.keys)
  checkPhoneHomeUrl(input.phoneHomeUrl)
  readUserData(input.userData ?? new Uint8Array(0), input.osType ?? 'linux')
  checkSecrets(input)
  checkMetadata(input.metadata ?? {})
  checkBytes(input.networkAgent, 'networkAgent', { min: 1, max: AGENT_MAX_BYTES })
  if (parseIpv4(input.localIpv4 ?? '0.0.0.0') === undefined) {
    throw refused('localIpv4', `expected an IPv4 address, got ${shown(input.localIpv4 ?? '')}`)
  }
  checkNetwork(input.network)
  if (input.osType === 'windows') checkWindows(input)
}

function checkId(text: string, field: string): void {
  if (ID.test(text)) return
  throw refused(field, `expected 1..64 letters, digits, dots, underscores or hyphens, got ${shown(text)}`)
}

function checkHostname(hostname: string): void {
  const isName = hostname.length <= 253 && hostname.split('.').every((label) => LABEL.test(label))
  // RFC 1123 §2.1: what looks like an address is one.
  if (isName && parseIpv4(hostname) === undefined) return
  throw refused('hostname', `expected a host name of RFC 1123, got ${shown(hostname)}`)
}

function checkKeys(keys: readonly SeedKey[]): void {
  if (keys.length > MAX_KEYS) throw refused('keys', `expected at most ${MAX_KEYS}, got ${keys.length}`)
  keys.forEach(({ name, publicKey }, index) => {
    checkText(name, `keys[${index}].name`)
    checkSshKey(publicKey, `keys[${index}].publicKey`)
  })
  const names = keys.map(({ name }) => name)
  const twice = names.findIndex((name, index) => names.indexOf(name) !== index)
  if (twice >= 0)
    throw refused(`keys[${twice}].name`, `expected each name once, got ${shown(names[twice] ?? '')}`)
  const sizeBytes = keys.reduce((sum, { publicKey }) => sum + Buffer.byteLength(publicKey), 0)
  if (sizeBytes > KEYS_MAX_BYTES) {
    throw refused('keys', `expected at most ${KEYS_MAX_BYTES} bytes together, got ${sizeBytes}`)
  }
}

function checkText(text: string, field: string): void {
  if (text.length >= 1 && text.length <= 255 && !hasControl(text)) return
  throw refused(field, `expected 1..255 characters without control characters, got ${shown(text)}`)
}

function checkSshKey(key: string, field: string): void {
  if (hasControl(key)) throw refused(field, 'expected one line without control characters')
  if (Buffer.byteLength(key) > KEY_MAX_BYTES) throw refused(field, `expected at most ${KEY_MAX_BYTES} bytes`)
  if (!SSH_KEY.test(key)) throw refused(field, `expected an OpenSSH public key, got ${shown(key)}`)
}

function checkPhoneHomeUrl(text: string): void {
  const isHttp = /^https?:\/\/[!-~]+$/.test(text) && URL.canParse(text)
  // cloud-init replaces `$NAME` in this URL.
  if (isHttp && !text.includes('$') && text.length <= URL_MAX_LENGTH) return
  throw refused('phoneHomeUrl', `expected an http or https URL without spaces or $, got ${shown(text)}`)
}

/** Says nothing of what it refuses: it may be a password in clear. */
function checkSecrets({ adminPasswordHash, seedSecret }: SeedInput): void {
  if (adminPasswordHash !== undefined && !SHA512_CRYPT.test(adminPasswordHash)) {
    throw refused('adminPasswordHash', 'expected a SHA-512 hash of crypt(5), beginning with $6$')
  }
  checkBytes(seedSecret, 'seedSecret', { min: SECRET_MIN_BYTES, max: 1024 })
}

function checkMetadata(metadata: Readonly<Record<string, string>>): void {
  const entries = Object.entries(metadata)
  if (entries.length > MAX_METADATA) {
    throw refused('metadata', `expected at most ${MAX_METADATA} entries, got ${entries.length}`)
  }
  for (const [key, value] of entries) {
    checkText(key, 'metadata')
    checkText(value, `metadata.${key}`)
  }
}

function checkBytes(bytes: Uint8Array | undefined, field: string, size: { min: number; max: number }): void {
  if (bytes === undefined || (bytes.length >= size.min && bytes.length <= size.max)) return
  throw refused(field, `expected ${size.min}..${size.max} bytes, got ${bytes.length}`)
}

/** C0, DEL, C1, the Unicode line and paragraph separators, and halves of characters. */
function hasControl(text: string): boolean {
  return /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u.test(text)
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text)
}

function refused(field: string, reason: string): DaemonError {
  return new DaemonError('INVALID_INPUT', `${field}: ${reason}`)
}

import { DaemonError } from '../../errors.js'
import { parseIpv4 } from '../../wire/ipv4.js'
import { checkNetwork, type NetworkModel } from '../network/network.js'

/** Everything a server is told at its first boot. */
export interface SeedInput {
  /** Stays with the server for life: 1 to 64 of `A-Za-z0-9._-`, first a letter or digit. */
  readonly serverId: string
  /** New with every deploy, so that the guest does its first boot again; same rule as `serverId`. */
  readonly instanceId: string
  /** RFC 1123 §2.1 host name, with or without a domain, at most 253 characters. */
  readonly hostname: string
  /** OpenSSH public keys, one line each. */
  readonly sshKeys: readonly string[]
  /** The user's own bytes, handed on untouched; at most 1 MiB. */
  readonly userData?: Uint8Array
  readonly network: NetworkModel
  /** Where the guest says that it is ready: an absolute http or https URL. */
  readonly phoneHomeUrl: string
  /** Same rule as `serverId`. */
  readonly availabilityZone?: string
}

const USER_DATA_MAX_BYTES = 1 << 20
const URL_MAX_LENGTH = 2048
const KEY_MAX_BYTES = 16_384

// The guest uses the ids as directory names (/var/lib/cloud/instances/ID).
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

// `type base64 [comment]`; options before the type are refused: they could run commands at login.
const SSH_KEY =
  /^(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9-]+@openssh\.com) [A-Za-z0-9+/]{16,}={0,2}(?: .*)?$/

/**
 * Refuses a seed that a guest would misread.
 * @throws DaemonError INVALID_INPUT whose message starts with the field
 */
export function checkSeedInput(input: SeedInput): void {
  checkId(input.serverId, 'serverId')
  checkId(input.instanceId, 'instanceId')
  if (input.availabilityZone !== undefined) checkId(input.availabilityZone, 'availabilityZone')
  checkHostname(input.hostname)
  input.sshKeys.forEach((key, index) => checkSshKey(key, `sshKeys[${index}]`))
  checkPhoneHomeUrl(input.phoneHomeUrl)
  const userDataBytes = input.userData?.length ?? 0
  if (userDataBytes > USER_DATA_MAX_BYTES) {
    throw refused('userData', `expected at most ${USER_DATA_MAX_BYTES} bytes, got ${userDataBytes}`)
  }
  checkNetwork(input.network)
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

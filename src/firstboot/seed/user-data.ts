import { DaemonError } from '../../errors.js'

/** What an image is said to run; decides which user data it can read. */
export type OsType = 'linux' | 'windows' | 'other'

/** Who acts on user data: cloud-init, Cloudbase-Init, or both. */
type Readers = 'both' | 'linux' | 'windows'

// Longest first where one head begins another. cloud-init: handlers/__init__.py, INCLUSION_TYPES_MAP;
// Cloudbase-Init: "Userdata" in its documentation.
const HEADS = [
  ['#cloud-config-archive', 'linux'],
  ['#cloud-config-jsonp', 'linux'],
  ['#cloud-config', 'both'],
  ['#cloud-boothook', 'linux'],
  ['#include-once', 'linux'],
  ['#include', 'linux'],
  ['#part-handler', 'linux'],
  ['## template: jinja', 'linux'],
  ['#!', 'both'],
  ['#ps1_sysnative', 'windows'],
  ['#ps1_x86', 'windows'],
  ['#ps1', 'windows'],
  ['rem cmd', 'windows'],
  ['<powershell', 'windows'],
  ['<script', 'windows'],
] as const satisfies readonly (readonly [string, Readers])[]

/** How user data begins, or `gzip`, `mime`, or `unknown`. */
export type UserDataKind = (typeof HEADS)[number][0] | 'gzip' | 'mime' | 'unknown'

/** User data as a guest will get it. */
export interface UserData {
  readonly kind: UserDataKind
  /** A view of what was given, or what its base64 held. */
  readonly bytes: Uint8Array
  /** Sentences about what the guest will make nothing of; empty when all is well. */
  readonly warnings: readonly string[]
}

/** As the cloud has it, counted before base64. */
export const USER_DATA_MAX_BYTES = 32_768

// cloud-init looks for "mime-version:" in the first 4096 bytes (22.4.2, user_data.py, convert_string).
const HEAD_BYTES = 4096
const BYTE_ORDER_MARK = '\xef\xbb\xbf'

/**
 * User data as it is handed on: untouched, but for base64 that was given by mistake. Neither cloud-init's NoCloud and
 * OpenStack sources nor Cloudbase-Init decode it, so it is decoded here when, and only when, what comes out begins as
 * user data does and what was given does not. Compressed data is never unpacked.
 * @throws DaemonError INVALID_INPUT when it is larger than {@link USER_DATA_MAX_BYTES}
 */
export function readUserData(given: Uint8Array, osType: OsType): UserData {
  const decoded = kindOf(given) === 'unknown' ? decodeBase64(given) : undefined
  const bytes = decoded ?? given
  if (bytes.length > USER_DATA_MAX_BYTES) {
    const rule = `expected at most ${USER_DATA_MAX_BYTES} bytes before base64`
    throw new DaemonError('INVALID_INPUT', `userData: ${rule}, got ${bytes.length}`)
  }
  const kind = kindOf(bytes)
  const warnings = [
    ...(decoded === undefined ? [] : ['it was base64 and is handed on decoded']),
    ...warningsOf(kind, headOf(bytes), osType),
  ]
  return { kind, bytes, warnings: bytes.length === 0 ? [] : warnings }
}

function kindOf(bytes: Uint8Array): UserDataKind {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return 'gzip'
  const head = headOf(bytes).toLowerCase()
  const found = HEADS.find(([text]) => head.trimStart().startsWith(text))
  if (found !== undefined) return found[0]
  return /^(?:[!-9;-~]+:.*\r?\n(?:[ \t].*\r?\n)*)*mime-version:/.test(head) ? 'mime' : 'unknown'
}

function headOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, HEAD_BYTES)).toString('latin1')
}

/** What base64 held, if that is user data. */
function decodeBase64(bytes: Uint8Array): Uint8Array | undefined {
  const text = Buffer.from(bytes).toString('latin1').replaceAll(/\s/g, '')
  if (!/^[A-Za-z0-9+/]{8,}={0,2}$/.test(text)) return undefined
  const decoded = Buffer.from(text, 'base64')
  return kindOf(decoded) === 'unknown' ? undefined : decoded
}

function warningsOf(kind: UserDataKind, head: string, osType: OsType): string[] {
  if (head.startsWith(BYTE_ORDER_MARK))
    return ['it begins with a byte order mark: no guest knows it by its head']
  if (kind === 'unknown')
    return ['it begins with nothing a guest knows (#cloud-config, #!, #ps1, MIME, gzip...)']
  const readers = HEADS.find(([text]) => text === kind)?.[1] ?? 'both'
  if (osType !== 'other' && readers !== 'both' && readers !== osType) {
    return [`${kind} is for ${readers} images, and this one is ${osType}`]
  }
  return osType === 'windows' ? spellingWarnings(kind, head) : lineEndWarnings(kind, head)
}

/** Cloudbase-Init looks at the very first bytes, and at their case. */
function spellingWarnings(kind: UserDataKind, head: string): string[] {
  const wanted = kind === 'mime' ? 'Content-Type: multipart' : kind
  return kind === 'gzip' || head.startsWith(wanted)
    ? []
    : [`Windows images know it only when it begins "${wanted}"`]
}

function lineEndWarnings(kind: UserDataKind, head: string): string[] {
  if (kind !== '#!' || !/^[^\n]*\r\n/.test(head)) return []
  return ['its first line ends in a carriage return, which Linux takes for part of the program']
}

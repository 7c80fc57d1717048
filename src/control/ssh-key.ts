import { createHash, generateKeyPair, type KeyObject, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { DaemonError } from '../errors.js'
import { MalformedPacket } from '../wire/malformed-packet.js'
import { ByteReader } from '../wire/reader.js'
import { ByteWriter } from '../wire/writer.js'

/** What may be generated. */
export type KeyType = 'ed25519' | 'rsa'

/** Shorter ones OpenSSH 9.1 and later can be told to refuse, and NIST SP 800-131A has since 2014. */
const RSA_MIN_BITS = 2048
/** What ssh-keygen makes. */
const RSA_BITS = 3072
const LINE_MAX_BYTES = 16_384
/** `type base64 [comment]`. Options before the type are refused: they could run commands at login. */
const LINE = /^(\S+) ([A-Za-z0-9+/]{16,}={0,2})(?: .*)?$/
/** Types and how many fields of their own follow in the blob (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4). */
const FIELDS: ReadonlyMap<string, number> = new Map([
  ['ssh-ed25519', 1],
  ['ssh-rsa', 2],
  ['ecdsa-sha2-nistp256', 2],
  ['ecdsa-sha2-nistp384', 2],
  ['ecdsa-sha2-nistp521', 2],
  ['sk-ssh-ed25519@openssh.com', 2],
  ['sk-ecdsa-sha2-nistp256@openssh.com', 3],
])

/** A public key as it is kept. */
export interface PublicKey {
  readonly kind: string
  /** The line, without line end. */
  readonly publicKey: string
  /** As `ssh-keygen -l` says it. */
  readonly fingerprint: string
}

/** A new key pair; the private key is in nobody's hands but the caller's. */
export interface NewKeyPair extends PublicKey {
  /** A file that ssh takes: OpenSSH's format for Ed25519, PKCS #1 PEM for RSA. */
  readonly privateKey: string
}

/** Reads the line of an OpenSSH public key file. @throws DaemonError INVALID_INPUT that begins with `public_key` */
export function parsePublicKey(text: string): PublicKey {
  const line = text.replace(/\r?\n$/, '')
  const { kind, blob } = splitLine(line)
  const fieldCount = FIELDS.get(kind)
  if (fieldCount === undefined)
    throw refused(`expected a line that begins with one of ${[...FIELDS.keys()].join(', ')}`)
  const fields = fieldsOf(blob)
  if (fields?.[0]?.toString('latin1') !== kind || fields.length !== fieldCount + 1)
    throw refused(`what follows ${kind} is no such key`)
  checkFields(kind, fields)
  return { kind, publicKey: line, fingerprint: fingerprintOf(blob) }
}

function splitLine(line: string): { kind: string; blob: Buffer } {
  if (Buffer.byteLength(line) > LINE_MAX_BYTES) throw refused(`expected at most ${LINE_MAX_BYTES} bytes`)
  if (/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u.test(line)) throw refused('expected one line without control characters')
  const [, kind = '', base64 = ''] = LINE.exec(line) ?? []
  return { kind, blob: Buffer.from(base64, 'base64') }
}

/** Makes a key pair; takes some tenths of a second for RSA, off the event loop. */
export async function generateKey(type: KeyType, comment: string): Promise<NewKeyPair> {
  return type === 'ed25519' ? await generateEd25519(comment) : await generateRsa(comment)
}

async function generateEd25519(comment: string): Promise<NewKeyPair> {
  const { privateKey } = await promisify(generateKeyPair)('ed25519')
  const { x = '', d = '' } = privateKey.export({ format: 'jwk' })
  const point = Buffer.from(x, 'base64url')
  const blob = sshFields(Buffer.from('ssh-ed25519'), point)
  const secret = Buffer.concat([Buffer.from(d, 'base64url'), point])
  return {
    ...parsePublicKey(`ssh-ed25519 ${blob.toString('base64')} ${comment}`),
    privateKey: opensshPrivateKey(blob, Buffer.concat([blob, sshFields(secret, Buffer.from(comment))])),
  }
}

async function generateRsa(comment: string): Promise<NewKeyPair> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS })
  const blob = sshFields(Buffer.from('ssh-rsa'), ...rsaNumbers(privateKey))
  return {
    ...parsePublicKey(`ssh-rsa ${blob.toString('base64')} ${comment}`),
    privateKey: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
  }
}

/** Exponent and modulus as RFC 4251's mpint: a leading zero keeps a number positive. */
function rsaNumbers(key: KeyObject): Buffer[] {
  const { e = '', n = '' } = key.export({ format: 'jwk' })
  return [e, n].map((text) => {
    const bytes = Buffer.from(text, 'base64url')
    return (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes
  })
}

/**
 * The file of an unencrypted private key (openssh-portable, PROTOCOL.key): "openssh-key-v1", NUL, cipher, KDF and
 * its options, the number of keys, the public key, then twice one check number, the private key and padding 1, 2, 3...
 */
function opensshPrivateKey(publicBlob: Buffer, privatePart: Buffer): string {
  const none = Buffer.from('none')
  const check = randomBytes(4)
  const open = Buffer.concat([check, check, privatePart])
  const padding = Buffer.from(Array.from({ length: (8 - (open.length % 8)) % 8 }, (_, i) => i + 1))
  const bytes = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    sshFields(none, none, Buffer.alloc(0)),
    new ByteWriter().u32(1).bytes(),
    sshFields(publicBlob, Buffer.concat([open, padding])),
  ])
  const lines = bytes.toString('base64').replace(/.{70}/g, '$&\n').trimEnd()
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`
}

/** Strings of RFC 4251 §5: each its length, then its bytes. */
function sshFields(...fields: readonly Buffer[]): Buffer {
  return Buffer.concat(fields.flatMap((field) => [new ByteWriter().u32(field.length).bytes(), field]))
}

/** The reverse; undefined when the lengths do not fill the bytes exactly. */
function fieldsOf(bytes: Uint8Array): Buffer[] | undefined {
  const reader = new ByteReader(bytes, 'SSH public key')
  const fields: Buffer[] = []
  try {
    while (reader.remaining > 0) fields.push(Buffer.from(reader.take(reader.u32())))
    return fields
  } catch (err) {
    if (err instanceof MalformedPacket) return undefined
    throw err
  }
}

function checkFields(kind: string, [, first, second]: readonly Buffer[]): void {
  if (kind === 'ssh-ed25519' && first?.length !== 32) throw refused('an Ed25519 key has 32 bytes')
  if (kind !== 'ssh-rsa') return
  const bits = bitsOf(second ?? Buffer.alloc(0))
  if (bits < RSA_MIN_BITS) throw refused(`expected an RSA key of ${RSA_MIN_BITS} bits at least, got ${bits}`)
}

function bitsOf(number: Buffer): number {
  const first = number.findIndex((byte) => byte !== 0)
  return first === -1 ? 0 : (number.length - first) * 8 - (Math.clz32(number[first] ?? 0) - 24)
}

function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

function refused(reason: string): DaemonError {
  return new DaemonError('INVALID_INPUT', `public_key: ${reason}`)
}

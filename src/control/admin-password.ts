import { runCommand } from '../command.js'
import { DaemonError } from '../errors.js'
import type { ImageRecord } from '../registry/records.js'

/** Characters of a password (bms-service.md, error 3039). */
const LENGTH = { min: 8, max: 26 }
const HASH_LIMIT_MS = 10_000
/** One of each of three is needed; nothing else may be in a password. */
const CLASSES = [/[a-z]/, /[A-Z]/, /[0-9]/, /[!@$%^\-_=+[{}\]:,./?]/]
const ALLOWED = /^[A-Za-z0-9!@$%^\-_=+[{}\]:,./?]*$/
/** `$6$`, a salt of up to 16 characters, 86 characters of SHA-512 (crypt(5)). */
const SHA512_CRYPT = /^\$6\$[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{86}$/

/**
 * The hash that a server's seed carries, or undefined without a password.
 * @throws DaemonError INVALID_INPUT for a weak one; UNSUPPORTED where the image makes its own
 */
export async function hashForImage(
  password: string | undefined,
  { name, osType }: Pick<ImageRecord, 'name' | 'osType'>,
): Promise<string | undefined> {
  if (password === undefined) return undefined
  if (osType === 'windows') {
    const reason = `image ${name} is Windows, which makes its own and seals it: ask with "ingot server password"`
    throw new DaemonError('UNSUPPORTED', `admin_password: ${reason}`)
  }
  checkPassword(password)
  return await hashPassword(password)
}

/** The rule of bms-service.md, error 3039; a user name, forward or backward, has two classes at most. @throws DaemonError INVALID_INPUT, without the password in it */
export function checkPassword(password: string): void {
  if (password.length < LENGTH.min || password.length > LENGTH.max)
    throw weak(`expected ${LENGTH.min} to ${LENGTH.max} characters, got ${password.length}`)
  if (!ALLOWED.test(password)) throw weak('expected letters, digits and !@$%^-_=+[{}]:,./? only')
  if (CLASSES.filter((each) => each.test(password)).length < 3)
    throw weak('expected three of lower-case letters, upper-case letters, digits and !@$%^-_=+[{}]:,./?')
}

/** crypt(3) with SHA-512 and a random salt; the password goes through standard input only. */
async function hashPassword(password: string): Promise<string> {
  const { stdout } = await runCommand('openssl', ['passwd', '-6', '-stdin'], {
    timeoutMs: HASH_LIMIT_MS,
    stdin: `${password}\n`,
  })
  const hash = stdout.trim()
  if (SHA512_CRYPT.test(hash)) return hash
  throw new Error('openssl passwd -6 answered something else than a SHA-512 hash')
}

function weak(reason: string): DaemonError {
  return new DaemonError('INVALID_INPUT', `admin_password: ${reason}`)
}

/** How a value is written into a script. */
export type ScriptForm =
  /** For `set NAME:hexraw VALUE`: any bytes at all, as hex digits. */
  | 'bytes'
  /** For `echo`: readable, everything iPXE could take for syntax becomes `?`. */
  | 'text'
  /** Inside a URI: everything but the characters of names and addresses is percent-encoded (RFC 3986 §2.3). */
  | 'uri'

const READABLE = /[^A-Za-z0-9 .,:_@+-]/g
const URI_SAFE = /^[A-Za-z0-9._:-]$/
const MAX_TEXT = 80

/**
 * The one way a value gets into an iPXE script.
 *
 * iPXE has no quoting: a line is split at white space, then `${...}` is expanded, repeatedly. So a value with blanks,
 * a line end or `${` in it would be syntax. `bytes` and `uri` are exact; `text` is for people, at most 80 characters.
 * An empty value in `bytes` form is the empty string, which makes `set` clear the setting.
 */
export function scriptValue(value: string, form: ScriptForm): string {
  switch (form) {
    case 'bytes':
      return Buffer.from(value, 'utf8').toString('hex')
    case 'text':
      return value.replace(READABLE, '?').slice(0, MAX_TEXT)
    case 'uri':
      return [...Buffer.from(value, 'utf8')].map(uriByte).join('')
  }
}

function uriByte(byte: number): string {
  const character = String.fromCharCode(byte)
  return URI_SAFE.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
}

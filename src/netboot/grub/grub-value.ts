/** How a value is written into a GRUB script. */
export type GrubForm =
  /** One word of a command or a kernel argument, exact; a value that is no plain word is refused. */
  | 'word'
  /** Plain words with blanks between them, or none. */
  | 'words'
  /** Inside single quotes, for `echo`: readable, everything else becomes `?`. */
  | 'text'

/** Nothing that GRUB's script, its kernel command line or a shell in the initrd takes for syntax. */
const WORD = /^[A-Za-z0-9._:,=/@%+-]+$/
const UNREADABLE = /[^A-Za-z0-9 .,:_@+-]/g
const MAX_TEXT = 80

/**
 * The one way a value gets into a GRUB script. GRUB can quote, but the kernel and the scripts of an initrd that read
 * the same words cannot: so words are plain or not there at all.
 * @throws Error naming the placeholder when a `word` is none
 */
export function grubValue(name: string, value: string, form: GrubForm): string {
  if (form === 'text') return value.replace(UNREADABLE, '?').slice(0, MAX_TEXT)
  const words = form === 'words' ? value.split(' ').filter((word) => word !== '') : [value]
  if (words.every((word) => WORD.test(word))) return words.join(' ')
  throw new Error(`${name}: not plain enough for a kernel's command line`)
}

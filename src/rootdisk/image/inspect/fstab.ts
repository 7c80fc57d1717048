import { harmless } from './file-tree.js'

/** A line of fstab(5). */
export interface FstabEntry {
  /** `UUID=...`, `LABEL=...`, `/dev/...`; quotes are gone. */
  readonly source: string
  readonly path: string
  readonly type: string
  /** The boot waits for it: neither `noauto` nor `nofail`. */
  readonly isNeeded: boolean
}

const MAX_ENTRIES = 100

/** The entries of an fstab; lines that are none are left out. */
export function parseFstab(text: string): FstabEntry[] {
  const lines = text.split('\n').map((line) => line.replace(/#.*/, '').trim().split(/\s+/))
  return lines
    .slice(0, 10 * MAX_ENTRIES)
    .flatMap(([source = '', path, type = '', options = '']) => {
      if (path === undefined) return []
      const words = options.split(',')
      const isNeeded = !words.includes('nofail') && !words.includes('noauto')
      return [{ source: harmless(source.replaceAll('"', '')), path: harmless(path), type, isNeeded }]
    })
    .slice(0, MAX_ENTRIES)
}

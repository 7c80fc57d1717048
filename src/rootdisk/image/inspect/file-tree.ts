/** A name in a directory. */
export interface TreeEntry {
  /** Its bytes as latin1: see {@link harmless}. */
  readonly name: string
  readonly kind: 'file' | 'directory' | 'link' | 'other'
  readonly sizeBytes: number
}

/** What is wrong with a file system. */
export interface TreeProblem {
  readonly kind: 'damaged' | 'link-loop' | 'hostile-name' | 'too-large'
  /** In words, harmless. */
  readonly seen: string
}

/**
 * The files of a disk, read without the host's kernel. Paths are absolute; links are followed inside the tree, never
 * out of it, and a bounded number of times. A tree that is damaged has less to show, and `problems` says why.
 */
export interface FileTree {
  /** Empty when there is no such directory. */
  list(path: string): Promise<readonly TreeEntry[]>
  /** The file's bytes; undefined when there is no such file, or it has more than `limitBytes` (256 KiB). */
  read(path: string, limitBytes?: number): Promise<Uint8Array | undefined>
  readonly problems: readonly TreeProblem[]
}

/** What a text file of an image may have, unless the caller says more. */
export const TEXT_LIMIT_BYTES = 256 * 1024

/** Bytes in a listing: some 50,000 names. */
export const LISTING_LIMIT_BYTES = 4 << 20

/** Links that are followed on the way to one file. Linux: 40. */
export const MAX_LINKS = 40

/** Bytes from an image as text that does nothing to a terminal, a log or a script; cut after 200 characters. */
export function harmless(bytes: string): string {
  const text = bytes.replaceAll(
    /[^\x20-\x7e]/g,
    (char) => `\\x${(char.charCodeAt(0) & 0xff).toString(16).padStart(2, '0')}`,
  )
  return text.length > 200 ? `${text.slice(0, 200)}...` : text
}

/** Whether a name has bytes that no image needs in a place where it is read: control characters, or a slash. */
export function isHostileName(name: string): boolean {
  return /[\x00-\x1f\x7f/]/.test(name)
}

/** A file as text; undefined when there is none. Bytes that are no UTF-8 are replaced. */
export async function readText(
  tree: FileTree,
  path: string,
  limitBytes?: number,
): Promise<string | undefined> {
  const bytes = await tree.read(path, limitBytes)
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8')
}

/** Collects what a tree finds wrong, once each and not without end. */
export class TreeProblems {
  readonly list: TreeProblem[] = []

  add(kind: TreeProblem['kind'], seen: string): void {
    const isNew = this.list.every((problem) => problem.kind !== kind || problem.seen !== seen)
    if (isNew && this.list.length < 20) this.list.push({ kind, seen })
  }
}

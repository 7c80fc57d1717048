import { applied, type Contents, type Entry, type MemoryFile } from './memory-files.js'

/** What a block may hold after power loss: as it was last synced, or as of any write since. */
interface Versions {
  durable: Buffer | undefined
  since: { readonly index: number; readonly block: Buffer }[]
}

interface DiskFile {
  durable: MemoryFile
  readonly pending: Map<number, Versions>
  sizes: { readonly index: number; readonly size: number }[]
}

/** One thing that may have been kept or lost; `pick` 0 is the durable one, then by age. */
interface Choice {
  readonly path: string
  readonly count: number
  readonly block: number | undefined
}

/**
 * Follows a log and tells what the files on disk may be when the power goes: every block has, apart from all
 * others, what it had at its last sync or at any write since; so does a file's length.
 */
export class PowerLoss {
  readonly #files = new Map<string, DiskFile>()
  readonly #runDir: string
  #index = 0

  /** @param runDir what is in it is lost with the power */
  constructor(runDir: string) {
    this.#runDir = runDir
  }

  /** Takes the next entry of the log; tells whether it changed what power loss may leave. */
  take(entry: Entry): boolean {
    const index = this.#index++
    if (entry.kind === 'note' || entry.path.startsWith(this.#runDir)) return false
    if (entry.kind === 'made') {
      this.#files.set(entry.path, { durable: entry.file, pending: new Map(), sizes: [] })
      return true
    }
    const file = this.#files.get(entry.path)
    if (file === undefined) throw new Error(`${entry.path} is not known`)
    if (entry.kind === 'sync') return settle(file, entry.path, entry.began)
    if (entry.kind === 'size') file.sizes.push({ index, size: entry.size })
    else if (entry.kind === 'write') {
      for (const [n, block] of entry.blocks) {
        const versions = file.pending.get(n) ?? { durable: file.durable.blocks.get(n), since: [] }
        versions.since.push({ index, block })
        file.pending.set(n, versions)
      }
    }
    return true
  }

  /** Everything that is not certain. */
  choices(): Choice[] {
    return [...this.#files].flatMap(([path, { pending, sizes }]) => [
      ...[...pending].map(([block, { since }]) => ({ path, count: since.length + 1, block })),
      ...(sizes.length > 0 ? [{ path, count: sizes.length + 1, block: undefined }] : []),
    ])
  }

  /** The files when of each choice that version was kept. */
  state(choices: readonly Choice[], picks: readonly number[]): Contents {
    const contents: Contents = new Map([...this.#files].map(([path, { durable }]) => [path, durable]))
    const blocks = new Map<string, Map<number, Buffer>>()
    const sizes = new Map<string, number>()
    for (const [i, { path, block }] of choices.entries()) {
      const pick = (picks[i] ?? 0) - 1
      const file = this.#files.get(path)
      if (pick < 0 || file === undefined) continue
      if (block === undefined) sizes.set(path, file.sizes[pick]?.size ?? 0)
      else {
        const kept = blocks.get(path) ?? new Map(file.durable.blocks)
        kept.set(block, file.pending.get(block)?.since[pick]?.block ?? Buffer.alloc(0))
        blocks.set(path, kept)
      }
    }
    for (const path of new Set([...blocks.keys(), ...sizes.keys()])) {
      const { size, blocks: durable } = this.#files.get(path)?.durable ?? { size: 0, blocks: new Map() }
      const file = { size, blocks: blocks.get(path) ?? durable }
      const cut: Entry = { kind: 'size', path, size: sizes.get(path) ?? size }
      contents.set(path, cutToSize(file, cut))
    }
    return contents
  }
}

/** Blocks beyond the length that was kept are lost with it. */
function cutToSize(file: MemoryFile, entry: Entry & { kind: 'size' }): MemoryFile {
  return applied({ size: Infinity, blocks: file.blocks }, entry)
}

/** What was in the kernel when a sync began is certain now that it ended. */
function settle(file: DiskFile, path: string, began: number): boolean {
  for (const [n, versions] of file.pending) {
    const settled = versions.since.filter(({ index }) => index < began).at(-1)
    if (settled === undefined) continue
    file.durable = applied(file.durable, { kind: 'write', path, blocks: [[n, settled.block]] })
    versions.durable = settled.block
    versions.since = versions.since.filter(({ index }) => index >= began)
    if (versions.since.length === 0) file.pending.delete(n)
  }
  const size = file.sizes.filter(({ index }) => index < began).at(-1)?.size
  if (size !== undefined) file.durable = applied(file.durable, { kind: 'size', path, size })
  file.sizes = file.sizes.filter(({ index }) => index >= began)
  return true
}

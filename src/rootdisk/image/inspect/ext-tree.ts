import { DISK_PATH, type DiskTool, type ToolOutput } from './disk-tool.js'
import {
  harmless,
  isHostileName,
  LISTING_LIMIT_BYTES,
  MAX_LINKS,
  TEXT_LIMIT_BYTES,
  TreeProblems,
  type FileTree,
  type TreeEntry,
  type TreeProblem,
} from './file-tree.js'

interface Inode extends TreeEntry {
  readonly inode: number
}

const ROOT: Inode = { inode: 2, name: '/', kind: 'directory', sizeBytes: 0 }
const KIND: Readonly<Record<string, TreeEntry['kind']>> = { '04': 'directory', '10': 'file', '12': 'link' }
/** `debugfs ls -p`: /inode/mode/uid/gid/name/size/ */
const ENTRY = /^\/(\d+)\/(\d\d)\d{4}\/\d+\/\d+\/(.*)\/(\d*)\/$/s
const LINK_TARGET = /^Fast link dest: "(.*)"$/ms
const MAX_LINK_BYTES = 4096
/** A link's target is in its inode up to here (ext4: 60 bytes with the NUL). */
const FAST_LINK_BYTES = 60

/** ext2, ext3 and ext4 through debugfs, asked by inode numbers alone: no name of an image is ever part of a request. */
export class ExtTree implements FileTree {
  readonly #tool: DiskTool
  readonly #device: string
  readonly #problems = new TreeProblems()
  readonly #directories = new Map<number, Promise<readonly Inode[]>>()

  constructor(tool: DiskTool, startBytes: number) {
    this.#tool = tool
    this.#device = `${DISK_PATH}?offset=${startBytes}`
  }

  get problems(): readonly TreeProblem[] {
    return this.#problems.list
  }

  async list(path: string): Promise<readonly TreeEntry[]> {
    const found = await this.#resolve(path)
    return found?.kind === 'directory' ? this.#entries(found.inode) : []
  }

  async read(path: string, limitBytes = TEXT_LIMIT_BYTES): Promise<Uint8Array | undefined> {
    const found = await this.#resolve(path)
    if (found?.kind !== 'file') return undefined
    if (found.sizeBytes > limitBytes) {
      this.#problems.add(
        'too-large',
        `${harmless(path)} has ${found.sizeBytes} bytes, ${limitBytes} are read`,
      )
      return undefined
    }
    return (await this.#ask(`cat <${found.inode}>`, path, limitBytes + 1)).stdout
  }

  /** Walks from the root; a link is put in the place of its name, and the rest follows it. */
  async #resolve(path: string): Promise<Inode | undefined> {
    const names = partsOf(path)
    let trail: readonly Inode[] = [ROOT]
    for (let links = 0; links <= MAX_LINKS;) {
      const name = names.shift()
      const here = trail.at(-1) ?? ROOT
      if (name === undefined) return here
      const next = name === '..' ? undefined : await this.#child(here, name)
      if (name === '..') trail = trail.length > 1 ? trail.slice(0, -1) : trail
      else if (next === undefined) return undefined
      else if (next.kind !== 'link') trail = [...trail, next]
      else {
        const target = await this.#target(next)
        if (target.startsWith('/')) trail = [ROOT]
        names.unshift(...partsOf(target))
        links++
      }
    }
    this.#problems.add('link-loop', `${harmless(path)} is a link that leads back to itself`)
    return undefined
  }

  async #child(directory: Inode, name: string): Promise<Inode | undefined> {
    if (directory.kind !== 'directory') return undefined
    return (await this.#entries(directory.inode)).find((entry) => entry.name === name)
  }

  #entries(inode: number): Promise<readonly Inode[]> {
    const known = this.#directories.get(inode) ?? this.#readDirectory(inode)
    this.#directories.set(inode, known)
    return known
  }

  async #readDirectory(inode: number): Promise<readonly Inode[]> {
    const { stdout } = await this.#ask(`ls -p <${inode}>`, `directory ${inode}`, LISTING_LIMIT_BYTES)
    // A name may have line feeds, but no entry ends before its size.
    const lines = Buffer.from(stdout)
      .toString('latin1')
      .split(/(?<=\/\d*\/)\n/)
    return lines.flatMap((line) => this.#entry(line))
  }

  #entry(line: string): Inode[] {
    const [, inode, type = '', name = '', size] = ENTRY.exec(line) ?? []
    if (inode === undefined || name === '.' || name === '..') return []
    if (isHostileName(name)) {
      this.#problems.add('hostile-name', `a file is called "${harmless(name)}"`)
      return []
    }
    return [{ inode: Number(inode), name, kind: KIND[type] ?? 'other', sizeBytes: Number(size) }]
  }

  async #target({ inode, sizeBytes }: Inode): Promise<string> {
    if (sizeBytes >= FAST_LINK_BYTES) {
      const { stdout } = await this.#ask(`cat <${inode}>`, `link ${inode}`, MAX_LINK_BYTES)
      return Buffer.from(stdout).toString('latin1')
    }
    const { stdout } = await this.#ask(`stat <${inode}>`, `link ${inode}`, LISTING_LIMIT_BYTES)
    return LINK_TARGET.exec(Buffer.from(stdout).toString('latin1'))?.[1] ?? ''
  }

  /** debugfs ends with status 0 whatever it met: beside its version, whatever it says as an error is one. */
  async #ask(request: string, what: string, limitBytes: number): Promise<ToolOutput> {
    // -c: what is used and free is nobody's question here, and wrong where a journal waits to be replayed
    const output = await this.#tool.run(['debugfs', '-c', '-R', request, this.#device], limitBytes)
    const errors = output.stderr.replace(/^debugfs \d.*\n?/, '').trim()
    if (output.isCut)
      this.#problems.add('too-large', `${harmless(what)} takes more than is allowed to be read`)
    else if (errors !== '' || !output.isOk)
      this.#problems.add('damaged', harmless(`${what}: ${errors.replaceAll(this.#device, 'the disk')}`))
    return output
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.')
}

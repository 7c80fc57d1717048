import { DISK_PATH, type DiskTool, type ToolOutput } from './disk-tool.js'
import {
  harmless,
  isHostileName,
  LISTING_LIMIT_BYTES,
  TEXT_LIMIT_BYTES,
  TreeProblems,
  type FileTree,
  type TreeEntry,
  type TreeProblem,
} from './file-tree.js'

/** `ls -l`: size or DIR, time if the file system has one, name, a slash behind directories. */
const ENTRY = /^(DIR|\d+) +(?:\d{14} )? *(.*?)(\/?)$/
/** What GRUB says of a name that is not there; everything else is the file system's fault. */
const ABSENT = /not found|not a regular file|not a directory|is a directory/

/** Any file system that GRUB reads (XFS, FAT, ISO 9660, btrfs, LVM2's volumes) through grub-fstest. */
export class GrubTree implements FileTree {
  readonly #tool: DiskTool
  readonly #device: string
  readonly #problems = new TreeProblems()
  readonly #directories = new Map<string, Promise<readonly TreeEntry[]>>()

  /** @param device as GRUB names it: `loop0,gpt3`, `lvm/vg-root` */
  constructor(tool: DiskTool, device: string) {
    this.#tool = tool
    this.#device = device
  }

  get problems(): readonly TreeProblem[] {
    return this.#problems.list
  }

  list(path: string): Promise<readonly TreeEntry[]> {
    const known = this.#directories.get(path) ?? this.#readDirectory(path)
    this.#directories.set(path, known)
    return known
  }

  async read(path: string, limitBytes = TEXT_LIMIT_BYTES): Promise<Uint8Array | undefined> {
    const { stdout, isOk, isCut } = await this.#ask('cat', path, limitBytes + 1)
    if (isCut || stdout.length > limitBytes)
      this.#problems.add('too-large', `${harmless(path)} has more than the ${limitBytes} bytes that are read`)
    return isOk && stdout.length <= limitBytes ? stdout : undefined
  }

  async #readDirectory(path: string): Promise<readonly TreeEntry[]> {
    const { stdout } = await this.#ask('ls -l', path.endsWith('/') ? path : `${path}/`, LISTING_LIMIT_BYTES)
    const lines = Buffer.from(stdout).toString('latin1').split('\n')
    return lines.filter((line) => line !== '').flatMap((line) => this.#entry(line))
  }

  #entry(line: string): TreeEntry[] {
    const [, size, name = '', slash] = ENTRY.exec(line) ?? []
    if (size === undefined || isHostileName(name)) {
      this.#problems.add('hostile-name', `a directory lists "${harmless(line)}"`)
      return []
    }
    if (name === '.' || name === '..') return []
    return [
      { name, kind: slash === '/' ? 'directory' : 'file', sizeBytes: size === 'DIR' ? 0 : Number(size) },
    ]
  }

  async #ask(request: 'cat' | 'ls -l', path: string, limitBytes: number): Promise<ToolOutput> {
    const argv = ['grub-fstest', DISK_PATH, '--', ...request.split(' '), `(${this.#device})${path}`]
    const output = await this.#tool.run(argv, limitBytes)
    const errors = output.stderr.replaceAll('grub-fstest: error: ', '').trim()
    if (errors.includes('symlink')) this.#problems.add('link-loop', `${harmless(path)}: ${harmless(errors)}`)
    else if (errors !== '' && !output.isCut && !ABSENT.test(errors))
      this.#problems.add('damaged', harmless(errors))
    return output
  }
}

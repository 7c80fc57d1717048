/** What GRUB would start: paths inside the file system of its `grub.cfg`, and the kernel's arguments. */
export interface GrubEntry {
  readonly kernel: string
  readonly initrd: string
  /** Words apart by single blanks, as the kernel gets them. */
  readonly arguments: string
}

const PATH = /^\/[A-Za-z0-9._+/-]{1,200}$/
/** What a kernel argument may be to be sent by us: no quotes, no blanks, nothing that a shell or GRUB expands. */
const ARGUMENT = /^[A-Za-z0-9._:,=/@%+-]{1,200}$/

/**
 * The first entry of a `grub.cfg` whose paths and arguments are plain words; undefined when it has none, so that
 * nothing of an image gets into a boot script that could be syntax there.
 */
export function firstGrubEntry(config: string): GrubEntry | undefined {
  const lines = config.split('\n').map((line) => line.trim().split(/[ \t]+/))
  const [, kernel = '', ...words] = lines.find(([command]) => command === 'linux') ?? []
  const [, initrd = '', ...more] = lines.find(([command]) => command === 'initrd') ?? []
  const isPlain = PATH.test(kernel) && PATH.test(initrd) && words.every((word) => ARGUMENT.test(word))
  return isPlain && more.length === 0 ? { kernel, initrd, arguments: words.join(' ') } : undefined
}

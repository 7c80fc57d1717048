/** What a `grub.cfg` would do, as far as a machine can tell. */
export interface GrubMenu {
  /** What it searches the disk for: `LABEL=ROOT`, `UUID=...`, each once. */
  readonly searches: readonly string[]
  /** The first entry's kernel, its words, and its initrds; paths as GRUB has them. */
  readonly entry: BootEntry | undefined
  /** It reads `loader/entries` (Fedora's blscfg). */
  readonly isBls: boolean
}

/** One thing to start. */
export interface BootEntry {
  readonly kernel: string
  readonly initrds: readonly string[]
  readonly arguments: readonly string[]
}

const MAX_LINES = 20_000
const LABEL_FLAG = /^(-l|--label)$/
const UUID_FLAG = /^(-u|--fs-uuid)$/

/** Reads the commands that decide what is started; everything else of GRUB's language is passed over. */
export function parseGrubConfig(text: string): GrubMenu {
  const lines = text.split('\n', MAX_LINES).map(words)
  const kernel = lines.find(([command]) => /^linux(16|efi)?$/.test(command ?? ''))
  const initrd = lines.find(([command]) => /^initrd(16|efi)?$/.test(command ?? ''))
  const [, path, ...args] = kernel ?? []
  return {
    searches: [...new Set(lines.flatMap(searched))],
    entry:
      path === undefined ? undefined : { kernel: path, initrds: initrd?.slice(1) ?? [], arguments: args },
    isBls: lines.some(([command]) => command === 'blscfg'),
  }
}

/** An entry of `loader/entries` (Boot Loader Specification): `linux`, `initrd`, `options`. */
export function parseBlsEntry(text: string): BootEntry | undefined {
  const lines = text.split('\n', 200).map(words)
  const rest = (key: string): string[] =>
    lines.filter(([word]) => word === key).flatMap((line) => line.slice(1))
  const [kernel] = rest('linux')
  if (kernel === undefined) return undefined
  const plain = (word: string): boolean => !word.startsWith('$')
  return { kernel, initrds: rest('initrd').filter(plain), arguments: rest('options').filter(plain) }
}

function searched(line: readonly string[]): string[] {
  const [command = '', ...rest] = line
  if (!/^search(\.\w+)?$/.test(command)) return []
  const flag = rest.find((word) => LABEL_FLAG.test(word) || UUID_FLAG.test(word))
  const [kind, values] =
    command === 'search'
      ? [flag, rest.filter((word) => !word.startsWith('-'))]
      : [command === 'search.fs_uuid' ? '-u' : '-l', rest.slice(0, 1)]
  const value = command === 'search' ? values.at(-1) : values[0]
  if (kind === undefined || value === undefined || value.includes('$')) return []
  return [`${LABEL_FLAG.test(kind) ? 'LABEL' : 'UUID'}=${value}`]
}

function words(line: string): string[] {
  return line
    .trim()
    .split(/[ \t]+/)
    .map((word) => word.replaceAll(/^["']|["']$/g, ''))
}

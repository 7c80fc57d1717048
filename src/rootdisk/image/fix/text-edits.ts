/** The file system that a text is to name, and those it may name beside it. */
export interface RootNames {
  /** `UUID=...` of the root file system. */
  readonly root: string
  /** `UUID=...` by the number of the partition, for names such as `/dev/sda2`. */
  readonly byPartition: ReadonlyMap<number, string>
  /** Whether a source is there; undefined: nobody knows. */
  readonly isThere: (source: string) => boolean | undefined
}

/** A grub.cfg whose kernels get `root=` of the root file system, where what they got is not there or is not stable. */
export function withKernelRoot(text: string, names: RootNames): string {
  return text.replaceAll(/^(\s*linux(?:16|efi)?\s.*)$/gm, (line) =>
    line.replace(/(\s)root=(\S+)/, (whole, blank: string, source: string) =>
      isGood(source, names) ? whole : `${blank}root=${names.root}`,
    ),
  )
}

/** A grub.cfg that searches for the root file system, where what it searched for is not there. */
export function withGrubRoot(text: string, names: RootNames): string {
  const uuid = names.root.replace('UUID=', '')
  return text.replaceAll(/^(\s*)search(?:\.fs_uuid|\.fs_label|\s)[^\n]*$/gm, (line, indent: string) => {
    const words = line.trim().split(/\s+/)
    const value = words.findLast((word) => !word.startsWith('-')) ?? ''
    const isLabel = /(--label|\s-l\s|\.fs_label)/.test(line)
    const source = `${isLabel ? 'LABEL' : 'UUID'}=${value}`
    return names.isThere(source) === false ? `${indent}search --no-floppy --set=root --fs-uuid ${uuid}` : line
  })
}

/** An fstab whose root is named by UUID, and that waits for nothing that is not there. */
export function withStableNames(text: string, names: RootNames): string {
  return text
    .split('\n')
    .map((line) => {
      const [source = '', path, ...rest] = line.replace(/#.*/, '').trim().split(/\s+/)
      if (path === undefined || isGood(source, names)) return line
      const found = path === '/' ? names.root : names.byPartition.get(partitionOf(source))
      return found === undefined ? `# not on this disk: ${line}` : [found, path, ...rest].join(' ')
    })
    .join('\n')
}

function isGood(source: string, names: RootNames): boolean {
  return !UNSTABLE.test(source) && names.isThere(source) !== false
}

const UNSTABLE = /^\/dev\/(?:sd|hd|vd|xvd)[a-z]+|^\/dev\/(?:nvme|mmcblk)/

/** 2 of `/dev/sda2` and `/dev/nvme0n1p2`; 0 of a whole disk. */
function partitionOf(source: string): number {
  return Number(/^\/dev\/(?:(?:sd|hd|vd|xvd)[a-z]+|(?:nvme\d+n|mmcblk)\d+p)(\d+)$/.exec(source)?.[1] ?? 0)
}

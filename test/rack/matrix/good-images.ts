// Images of other shapes than the builder's, small and made with mkfs's own tools: what an inspection must say of each.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FILES, makeDisk, place, run, sized, writeAt } from '../../rootdisk/image/inspect/synthetic-disk.js'
import { has } from '../stand.js'

/** An image that is no copy of a built one. */
export interface Sample {
  readonly name: string
  /** A tool without which it cannot be made. */
  readonly tool?: string
  readonly verdict: 'inic' | 'local' | 'none'
  readonly rules: readonly string[]
  /** Makes it in `dir` and gives its path. */
  readonly make: (dir: string) => string
  /** What its facts must have. */
  readonly facts: RegExp
}

const MIB = 1 << 20

/** XFS, LVM2, an MBR, and a disk without a system. */
export const SAMPLES: readonly Sample[] = [
  {
    name: 'xfs-root',
    tool: 'mkfs.xfs',
    verdict: 'inic',
    rules: [],
    make: (dir) => makeDisk(dir, { makeRoot: makeXfs }),
    facts: /partition 3 xfs ROOT/,
  },
  {
    name: 'lvm-root',
    tool: 'lvm',
    verdict: 'inic',
    rules: [],
    make: (dir) => makeDisk(dir, { makeRoot: makeLvm, files: LVM_FILES }),
    facts: /volume ingot\d+-root ext4 ROOT/,
  },
  {
    name: 'mbr',
    verdict: 'inic',
    rules: [],
    make: makeMbr,
    facts: /"partition_table": "mbr"/,
  },
  {
    name: 'no-os',
    verdict: 'none',
    rules: ['system'],
    make: (dir) =>
      makeDisk(dir, { files: Object.fromEntries(Object.keys(FILES).map((name) => [name, undefined])) }),
    facts: /partition 3 ext4 ROOT/,
  },
]

/** Whether this host can make it. */
export function canMake({ tool }: Sample): boolean {
  return tool === undefined || has(tool)
}

const GROUP = `ingot${process.pid}`
const MENU = FILES['boot/grub/grub.cfg'] as string
const LVM_FILES = {
  'boot/grub/grub.cfg': MENU.replace('root=LABEL=ROOT', `root=/dev/mapper/${GROUP}-root`),
  'etc/fstab': `/dev/mapper/${GROUP}-root / ext4 defaults 0 1\n`,
}

/** mkfs.xfs fills a file system from a prototype, mkfs.xfs(8) -p; smaller than 300 MiB it wants to be told twice. */
function makeXfs(tree: string, image: string, sizeMiB: number): void {
  sized(image, sizeMiB)
  const prototype = `${image}.proto`
  writeFileSync(prototype, `/nothing\n0 0\nd--755 0 0\n${lines(tree)}$\n`)
  run('mkfs.xfs', ['--unsupported', '-q', '-f', '-L', 'ROOT', '-p', prototype, image])
}

/** The tree as a prototype: name, mode, owner, and a file's source, a link's target, or a folder's names and `$`. */
function lines(folder: string): string {
  const found = execFileSync('find', [
    folder,
    '-mindepth',
    '1',
    '-maxdepth',
    '1',
    '-printf',
    '%y %f %l\\n',
  ]).toString()
  return found
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [kind, name = '', target] = line.split(' ')
      const path = join(folder, name)
      if (kind === 'd') return `${name} d--755 0 0\n${lines(path)}$\n`
      return kind === 'l' ? `${name} l--777 0 0 ${target}\n` : `${name} ---644 0 0 ${path}\n`
    })
    .join('')
}

/** A volume group on a loop device, whose volume is never activated: its ext4 is written to where LVM2 puts it. */
function makeLvm(tree: string, image: string, sizeMiB: number): void {
  sized(image, sizeMiB)
  const root = `${image}.ext4`
  sized(root, 32)
  run('mkfs.ext4', ['-q', '-F', '-L', 'ROOT', '-b', '1024', '-d', tree, root])
  const loop = execFileSync('losetup', ['--find', '--show', image]).toString().trim()
  try {
    const config = [
      '--config',
      `devices { filter=["a|${loop}|","r|.*|"] use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 } backup { backup=0 archive=0 }`,
    ]
    run('lvm', ['pvcreate', '-q', '-y', '--dataalignment', '1m', ...config, loop])
    run('lvm', ['vgcreate', '-q', ...config, '-s', '1m', GROUP, loop])
    run('lvm', [
      'lvcreate',
      '-q',
      '-y',
      '--driverloaded',
      'n',
      ...config,
      '-an',
      '-Zn',
      '-Wn',
      '-l',
      '32',
      '-n',
      'root',
      GROUP,
    ])
  } finally {
    run('losetup', ['--detach', loop])
  }
  place(root, image, 1)
  rmSync(root)
}

/** The same partitions in an MBR: the ESP of type ef, the root active. */
function makeMbr(dir: string): string {
  mkdirSync(dir, { recursive: true })
  const path = makeDisk(dir)
  const last = 48 * MIB - 33 * 512
  writeAt(path, last, new Uint8Array(33 * 512))
  writeAt(path, 512, new Uint8Array(33 * 512))
  const table = Buffer.alloc(66)
  const record = (at: number, active: number, type: number, firstMiB: number, sizeMiB: number): void => {
    table[at] = active
    table[at + 4] = type
    table.writeUInt32LE(firstMiB * 2048, at + 8)
    table.writeUInt32LE(sizeMiB * 2048, at + 12)
  }
  record(0, 0, 0xef, 2, 6)
  record(16, 0x80, 0x83, 8, 39)
  table.writeUInt16BE(0x55aa, 64)
  writeAt(path, 446, table)
  return path
}

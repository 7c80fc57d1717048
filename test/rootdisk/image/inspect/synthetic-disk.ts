import { execFileSync } from 'node:child_process'
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

/** A file's content, or a link's target. */
export type Node = string | Uint8Array | { readonly link: string }

/** A small disk that has all that the rules ask for, but for what a test changes. */
export interface SyntheticDisk {
  /** Paths without a leading slash; undefined takes a file away. */
  readonly files?: Readonly<Record<string, Node | undefined>>
  /** Files in the initramfs; their content is their name unless given. */
  readonly initramfs?: Readonly<Record<string, string | undefined>>
  readonly loaders?: readonly string[]
  readonly makeRoot?: (tree: string, image: string, sizeMiB: number) => void
  readonly rootLabel?: string
}

/** Where the partitions are, MiB. */
export const PLACE = { core: 1, esp: 2, root: 8, end: 47, disk: 48 } as const

export const TOOLS = ['sgdisk', 'mkfs.ext4', 'mkfs.vfat', 'mcopy', 'bwrap', 'debugfs', 'blkid', 'grub-fstest']

/** Tools of {@link TOOLS} that this host lacks, in words for the name of a skipped test; empty with all of them. */
export function missingTools(): string {
  const path = '/usr/sbin:/usr/bin:/sbin:/bin'
  const isThere = (tool: string): boolean => {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`], { env: { PATH: path }, stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  }
  const missing = TOOLS.filter((tool) => !isThere(tool))
  return missing.length === 0 ? '' : ` (skipped: ${missing.join(', ')} not installed)`
}

const MODULES = 'usr/lib/modules/6.1.0-9-amd64/kernel/drivers'
const DRIVERS = [
  'scsi/iscsi_tcp.ko',
  'firmware/iscsi_ibft.ko',
  'net/virtio_net.ko',
  'net/ethernet/intel/igb/igb.ko',
]

/** The initramfs of a good image. */
export const INITRAMFS: Readonly<Record<string, string>> = {
  init: '#!/bin/sh\n',
  'usr/sbin/iscsistart': 'program',
  'scripts/local-top/iscsi': '# ISCSI_AUTO=true\niscsistart -b\n',
  'etc/iscsi.initramfs': 'ISCSI_AUTO=true\n',
  ...Object.fromEntries(DRIVERS.map((driver) => [`${MODULES}/${driver}`, 'module'])),
}

/** The root of a good image. */
export const FILES: Readonly<Record<string, Node>> = {
  'etc/os-release': { link: '../usr/lib/os-release' },
  'usr/lib/os-release': 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="A Debian"\n',
  'boot/vmlinuz-6.1.0-9-amd64': 'kernel',
  vmlinuz: { link: 'boot/vmlinuz-6.1.0-9-amd64' },
  'initrd.img': { link: '/boot/initrd.img-6.1.0-9-amd64' },
  'boot/grub/grub.cfg':
    'search --no-floppy --set=root --label ROOT\nmenuentry x {\n linux /vmlinuz root=LABEL=ROOT ro\n initrd /initrd.img\n}\n',
  lib: { link: 'usr/lib' },
  'usr/lib/modules/6.1.0-9-amd64/modules.dep': DRIVERS.map((driver) => `kernel/drivers/${driver}:\n`).join(
    '',
  ),
  'usr/lib/modules/6.1.0-9-amd64/modules.builtin': 'kernel/drivers/virtio/virtio_pci.ko\n',
  'usr/bin/cloud-init': 'program',
  'etc/cloud/cloud.cfg.d/90.cfg': 'datasource_list: [ NoCloud, ConfigDrive ]\n',
  'etc/machine-id': '',
  'etc/ssh/sshd_config': '',
  'etc/iscsi/initiatorname.iscsi': 'GenerateName=yes\n',
  'etc/fstab': 'LABEL=ROOT / ext4 errors=remount-ro 0 1\n',
  'var/lib/dpkg/status':
    'Package: cloud-init\nStatus: install ok installed\nVersion: 22.4.2-1\n\nPackage: ingot-sdi-inic\nStatus: install ok installed\nVersion: 1.2.0\n',
}

/** Makes the disk in `dir` and gives its path. */
export function makeDisk(dir: string, options: SyntheticDisk = {}): string {
  const disk = join(dir, 'disk.raw')
  sized(disk, PLACE.disk)
  partition(disk)
  const root = join(dir, 'root.img')
  const size = PLACE.end - PLACE.root
  ;(options.makeRoot ?? mkfsExt4(options.rootLabel ?? 'ROOT'))(makeTree(dir, options), root, size)
  place(root, disk, PLACE.root)
  place(makeEsp(dir, options.loaders ?? ['BOOT/BOOTX64.EFI']), disk, PLACE.esp)
  writeAt(disk, 0, bootCode())
  writeAt(disk, PLACE.core * MIB, Buffer.from('core'))
  return disk
}

const MIB = 1 << 20

/** Makes a sparse file of `sizeMiB`. */
export function sized(path: string, sizeMiB: number): void {
  const file = openSync(path, 'w')
  ftruncateSync(file, sizeMiB * MIB)
  closeSync(file)
}

/** Writes bytes into a file that is there. */
export function writeAt(path: string, offset: number, bytes: Uint8Array): void {
  const file = openSync(path, 'r+')
  writeSync(file, bytes, 0, bytes.length, offset)
  closeSync(file)
}

/** Copies an image to its place on a disk. */
export function place(image: string, disk: string, atMiB: number): void {
  run('dd', [`if=${image}`, `of=${disk}`, 'bs=1M', `seek=${atMiB}`, 'conv=notrunc,sparse'])
}

/** Runs a tool of this host. */
export function run(program: string, args: readonly string[]): void {
  const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
  execFileSync(program, args, { stdio: 'pipe', env: { PATH, MTOOLS_SKIP_CHECK: '1' } })
}

/** A "new ASCII" archive of files. */
export function cpio(files: readonly (readonly [name: string, content: string])[]): Buffer {
  const parts = [...files, ['TRAILER!!!', ''] as const].map(([name, content]) => {
    const hex = (value: number): string => value.toString(16).padStart(8, '0')
    const fields = [1, 0o100644, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0].map(hex).join('')
    const head = Buffer.from(`070701${fields}${name}\0`, 'latin1')
    return Buffer.concat([filled(head), filled(Buffer.from(content, 'latin1'))])
  })
  return Buffer.concat(parts)
}

function filled(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])
}

/** sgdisk waits a second after each disk, so one table serves all that are made here. */
const tables: { bytes: Uint8Array; at: number }[] = []

function partition(disk: string): void {
  if (tables.length === 0) {
    makeTable(disk)
    const bytes = readFileSync(disk)
    const backup = bytes.length - 33 * 512
    tables.push({ bytes: bytes.subarray(0, 34 * 512), at: 0 }, { bytes: bytes.subarray(backup), at: backup })
  }
  for (const { bytes, at } of tables) writeAt(disk, at, bytes)
}

function makeTable(disk: string): void {
  const { core, esp, root, end } = PLACE
  run('sgdisk', [
    ...['-n', `1:${core}M:+1M`, '-t', '1:ef02', '-n', `2:${esp}M:+${root - esp}M`, '-t', '2:ef00'],
    ...['-n', `3:${root}M:+${end - root}M`, '-t', '3:8300', '-c', '3:root', disk],
  ])
}

function makeTree(dir: string, { files = {}, initramfs = {} }: SyntheticDisk): string {
  const tree = join(dir, 'tree')
  rmSync(tree, { recursive: true, force: true })
  const packed = Object.entries({ ...INITRAMFS, ...initramfs }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  const initrd = Buffer.concat([
    cpio([['kernel/x86/microcode/x.bin', 'early']]),
    Buffer.alloc(64),
    gzipSync(cpio(packed)),
  ])
  const initrdPath = 'boot/initrd.img-6.1.0-9-amd64'
  const nodes = new Map<string, Node | undefined>([
    [initrdPath, initrd],
    ...Object.entries(FILES),
    ...Object.entries(files),
  ])
  for (const [path, node] of nodes) {
    if (node === undefined) continue
    const file = join(tree, path)
    mkdirSync(dirname(file), { recursive: true })
    if (typeof node !== 'string' && 'link' in node) symlinkSync(node.link, file)
    else writeFileSync(file, node)
  }
  return tree
}

function mkfsExt4(label: string): (tree: string, image: string, sizeMiB: number) => void {
  return (tree, image, sizeMiB) => {
    sized(image, sizeMiB)
    run('mkfs.ext4', ['-q', '-F', '-L', label, '-b', '1024', '-d', tree, image])
  }
}

function makeEsp(dir: string, loaders: readonly string[]): string {
  const esp = join(dir, 'esp.img')
  rmSync(esp, { force: true })
  sized(esp, PLACE.root - PLACE.esp)
  run('mkfs.vfat', ['-n', 'ESP', esp])
  const loader = join(dir, 'loader.efi')
  writeFileSync(loader, 'MZ search --no-floppy --set=root --label ROOT\nconfigfile /boot/grub/grub.cfg\n')
  const folders = new Set(loaders.map((path) => dirname(path)))
  run('mmd', ['-i', esp, '::/EFI', ...[...folders].map((folder) => `::/EFI/${folder}`)])
  for (const path of loaders) run('mcopy', ['-i', esp, loader, `::/EFI/${path}`])
  return esp
}

/** GRUB's mark, and where its next sector is. Stops before the partition table. */
function bootCode(): Buffer {
  const code = Buffer.alloc(440)
  code.write('GRUB ', 0x180)
  code.writeBigUInt64LE(BigInt(PLACE.core * 2048), 0x5c)
  return code
}

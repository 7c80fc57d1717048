import { DISK_PATH, type DiskTool } from './disk-tool.js'
import { ExtTree } from './ext-tree.js'
import { harmless, type FileTree } from './file-tree.js'
import { GrubTree } from './grub-tree.js'
import { SECTOR_BYTES, type DiskBytes, type Partition, type PartitionTable } from './partition-table.js'

/** A file system of a disk, or what else is found in its place. */
export interface FileSystem {
  /** `partition 3`, `volume vg-root`, `the whole disk`. */
  readonly where: string
  readonly partition: Partition | undefined
  /** blkid's word (`ext4`, `vfat`, `LVM2_member`, `crypto_LUKS`); undefined when nothing is known there. */
  readonly type: string | undefined
  readonly label: string | undefined
  readonly uuid: string | undefined
  /** blkid's word for a partition table inside the partition. */
  readonly nestedTable: string | undefined
  /** An ext superblock's copy, where the superblock itself is no more: its block number. */
  readonly lostSuperblock: number | undefined
  /** undefined when nobody here reads that type. */
  readonly tree: FileTree | undefined
}

/** Partitions that are looked into. */
const MAX_PARTITIONS = 32
const MAX_VOLUMES = 16
const ANSWER_BYTES = 64 * 1024
/** Read through GRUB's own code. */
const GRUB_TYPES: readonly string[] = ['vfat', 'xfs', 'btrfs', 'iso9660', 'squashfs', 'ntfs', 'exfat']

/** Looks into each partition, each LVM2 volume, or the whole disk where it has no table. */
export async function findFileSystems(
  tool: DiskTool,
  disk: DiskBytes,
  table: PartitionTable,
): Promise<FileSystem[]> {
  const found: FileSystem[] = []
  if (table.kind === 'none') found.push(await probe(tool, disk, undefined, 'loop0'))
  for (const partition of table.partitions.slice(0, MAX_PARTITIONS)) {
    found.push(
      await probe(
        tool,
        disk,
        partition,
        `loop0,${table.kind === 'gpt' ? 'gpt' : 'msdos'}${partition.number}`,
      ),
    )
  }
  if (found.some(({ type }) => type === 'LVM2_member')) found.push(...(await volumes(tool)))
  return found
}

async function probe(
  tool: DiskTool,
  disk: DiskBytes,
  partition: Partition | undefined,
  device: string,
): Promise<FileSystem> {
  const { startBytes, sizeBytes } = partition ?? { startBytes: 0, sizeBytes: disk.sizeBytes }
  const range = ['--offset', `${startBytes}`, '--size', `${sizeBytes}`]
  // Status 2: nothing known; 8: more than one thing (then nobody can say what the kernel would take it for).
  const { stdout } = await tool.run(['blkid', '-p', '-o', 'export', ...range, DISK_PATH], ANSWER_BYTES)
  const fields = fieldsOf(stdout)
  const type = fields.get('TYPE')
  return {
    where: partition === undefined ? 'the whole disk' : `partition ${partition.number}`,
    partition,
    type,
    label: fields.get('LABEL'),
    uuid: fields.get('UUID'),
    nestedTable: partition === undefined ? undefined : fields.get('PTTYPE'),
    lostSuperblock: type === undefined ? await superblockCopy(disk, startBytes, sizeBytes) : undefined,
    tree: treeOf(tool, type, startBytes, device),
  }
}

function treeOf(
  tool: DiskTool,
  type: string | undefined,
  startBytes: number,
  device: string,
): FileTree | undefined {
  if (type === undefined) return undefined
  if (/^ext[234]$/.test(type)) return new ExtTree(tool, startBytes)
  return GRUB_TYPES.includes(type) ? new GrubTree(tool, device) : undefined
}

/** LVM2 is read by GRUB alone, so its volumes are those that GRUB lists. */
async function volumes(tool: DiskTool): Promise<FileSystem[]> {
  const { stdout } = await tool.run(['grub-fstest', DISK_PATH, '--', 'ls'], ANSWER_BYTES)
  const names = [
    ...Buffer.from(stdout)
      .toString('latin1')
      .matchAll(/\((lvm\/[A-Za-z0-9+_.-]{1,200})\)/g),
  ]
  return Promise.all(names.slice(0, MAX_VOLUMES).map(([, name = '']) => volume(tool, name)))
}

async function volume(tool: DiskTool, name: string): Promise<FileSystem> {
  const { stdout } = await tool.run(['grub-fstest', DISK_PATH, '--', 'ls', '-l', `(${name})`], ANSWER_BYTES)
  const text = Buffer.from(stdout).toString('latin1')
  const type = /Filesystem type (\S+)/.exec(text)?.[1]?.replace('ext*', 'ext4').replace('fat', 'vfat')
  return {
    where: `volume ${name.replace('lvm/', '')}`,
    partition: undefined,
    type,
    label: /Label `([^'\n]*)'/.exec(text)?.[1],
    uuid: /UUID ([0-9A-Fa-f-]+)/.exec(text)?.[1],
    nestedTable: undefined,
    lostSuperblock: undefined,
    tree: type === undefined ? undefined : new GrubTree(tool, name),
  }
}

function fieldsOf(stdout: Uint8Array): Map<string, string> {
  const lines = Buffer.from(stdout).toString('latin1').split('\n')
  return new Map(
    lines.flatMap((line) => {
      const [, name, value = ''] = /^([A-Z_]+)=(.*)$/.exec(line) ?? []
      return name === undefined ? [] : [[name, harmless(value)] as const]
    }),
  )
}

/** Where mkfs.ext4 puts the first copy of its superblock: block 32768 of 4 KiB, 8193 of 1 KiB. */
const COPIES = [
  { block: 32768, blockBytes: 4096 },
  { block: 8193, blockBytes: 1024 },
] as const
const EXT_MAGIC_AT = 0x38

async function superblockCopy(
  disk: DiskBytes,
  startBytes: number,
  sizeBytes: number,
): Promise<number | undefined> {
  for (const { block, blockBytes } of COPIES) {
    const at = block * blockBytes
    if (at + SECTOR_BYTES > sizeBytes) continue
    const copy = await disk.read(startBytes + at, SECTOR_BYTES)
    if (copy[EXT_MAGIC_AT] === 0x53 && copy[EXT_MAGIC_AT + 1] === 0xef) return block
  }
  return undefined
}

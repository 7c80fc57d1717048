import type { ImageFacts } from './facts.js'
import type { TreeProblem } from './file-tree.js'
import type { TableProblem } from './partition-table.js'
import { told, type Rule } from './rule.js'

/** What a disk, its file systems and its loaders should be. */
export const DISK_RULES: readonly Rule[] = [
  {
    id: 'partition-table',
    breaks: 'boot',
    check: (facts) => tableProblem(facts, 'primary-gpt', 'protective-mbr', 'chain', 'sector-size'),
    remedy: 'write the partition table again (sgdisk, for sectors of 512 bytes) and import the image anew',
    isFixable: false,
  },
  {
    id: 'truncated',
    breaks: 'boot',
    check: (facts) => tableProblem(facts, 'beyond-disk'),
    remedy: 'the file is shorter than its disk: copy it again from where it came',
    isFixable: false,
  },
  {
    id: 'overlap',
    breaks: 'boot',
    check: (facts) => tableProblem(facts, 'overlap'),
    remedy: 'partitions share sectors: make the image anew',
    isFixable: false,
  },
  {
    id: 'nested-table',
    breaks: 'boot',
    check: ({ fileSystems }) =>
      told(
        fileSystems.filter(({ nestedTable }) => nestedTable !== undefined),
        ({ where, nestedTable = '' }) => `${where} holds a partition table of its own (${nestedTable})`,
      ),
    remedy:
      'what is inside it is not looked at, and no kernel does either: put its partitions on the disk itself',
    isFixable: false,
  },
  {
    id: 'hybrid-mbr',
    breaks: 'inic',
    check: (facts) => tableProblem(facts, 'hybrid-mbr'),
    remedy: 'two tables that may disagree: remove the hybrid records (gdisk, expert menu, n)',
    isFixable: false,
  },
  {
    id: 'backup-gpt',
    breaks: 'inic',
    check: (facts) => tableProblem(facts, 'backup-gpt-missing', 'backup-gpt-not-last', 'backup-gpt-differs'),
    remedy: 'write the backup table to the last sectors (sgdisk -e)',
    isFixable: true,
  },
  {
    id: 'superblock',
    breaks: 'boot',
    check: ({ fileSystems }) =>
      told(
        fileSystems.filter(({ lostSuperblock }) => lostSuperblock !== undefined),
        ({ where, lostSuperblock }) =>
          `${where}: the superblock is damaged, block ${lostSuperblock} has a copy`,
      ),
    remedy: 'put the copy of the superblock back and check the file system (e2fsck -b)',
    isFixable: true,
  },
  {
    id: 'file-system',
    breaks: 'boot',
    check: (facts) => treeProblem(facts, 'damaged', 'too-large'),
    remedy: 'check the file system (fsck) where the image was made, and import it anew',
    isFixable: false,
  },
  {
    id: 'hostile-name',
    breaks: 'inic',
    check: (facts) => treeProblem(facts, 'hostile-name'),
    remedy: 'no system names files so: find out who did, or make the image anew',
    isFixable: false,
  },
  {
    id: 'link-loop',
    breaks: 'boot',
    check: (facts) => treeProblem(facts, 'link-loop'),
    remedy: 'links that lead nowhere, in the way of files that every boot reads: make the image anew',
    isFixable: false,
  },
  {
    id: 'system',
    breaks: 'boot',
    check: ({ system, fileSystems }) =>
      system === undefined ? `no file system has etc/os-release (${typesOf(fileSystems)})` : undefined,
    remedy: 'install an operating system; encrypted disks and Windows are not looked into',
    isFixable: false,
  },
  {
    id: 'loader',
    breaks: 'boot',
    check: ({ firmware }) =>
      firmware.hasBiosLoader || firmware.loaders.length > 0
        ? undefined
        : 'neither BIOS nor UEFI firmware finds a loader',
    remedy: 'install GRUB for the firmware of the machines (grub-install)',
    isFixable: false,
  },
  {
    id: 'fallback-loader',
    breaks: 'inic',
    check: ({ firmware }) =>
      firmware.hasEsp && !firmware.hasFallback
        ? `EFI/BOOT/BOOTX64.EFI is missing on the EFI system partition (there: ${firmware.loaders.join(', ') || 'no loader'})`
        : undefined,
    remedy: 'copy a loader to EFI/BOOT/BOOTX64.EFI (grub-install --removable)',
    isFixable: true,
  },
]

function tableProblem({ table }: ImageFacts, ...kinds: readonly TableProblem['kind'][]): string | undefined {
  return told(
    table.problems.filter(({ kind }) => kinds.includes(kind)),
    ({ seen }) => seen,
  )
}

function treeProblem({ problems }: ImageFacts, ...kinds: readonly TreeProblem['kind'][]): string | undefined {
  return told(
    problems.filter(({ kind }) => kinds.includes(kind)),
    ({ seen }) => seen,
  )
}

function typesOf(fileSystems: ImageFacts['fileSystems']): string {
  return (
    fileSystems.map(({ where, type }) => `${where}: ${type ?? 'nothing known'}`).join(', ') || 'no partitions'
  )
}

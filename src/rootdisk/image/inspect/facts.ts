import type { FileSystem } from './file-systems.js'
import type { TreeProblem } from './file-tree.js'
import type { FstabEntry } from './fstab.js'
import type { PartitionTable } from './partition-table.js'

/** All that was seen on a disk, without a judgement. Texts in it are harmless. */
export interface ImageFacts {
  readonly sizeBytes: number
  readonly table: PartitionTable
  readonly fileSystems: readonly Omit<FileSystem, 'tree'>[]
  readonly firmware: FirmwareFacts
  /** What the file systems that were read complain of. */
  readonly problems: readonly TreeProblem[]
  /** The operating system, where one was found. */
  readonly system: SystemFacts | undefined
}

/** What BIOS and UEFI firmware would start. */
export interface FirmwareFacts {
  /** Code in LBA 0 and what it loads is there. */
  readonly hasBiosLoader: boolean
  readonly hasEsp: boolean
  /** `EFI/BOOT/BOOTX64.EFI` is there, which firmware without entries of its own starts. */
  readonly hasFallback: boolean
  /** Paths of all loaders on the EFI system partition. */
  readonly loaders: readonly string[]
}

/** A Linux as found on a disk. */
export interface SystemFacts {
  /** `partition 3` */
  readonly where: string
  readonly os: OsFacts
  readonly menu: MenuFacts | undefined
  readonly kernel: KernelFacts | undefined
  readonly initramfs: InitramfsFacts | undefined
  readonly cloudInit: CloudInitFacts | undefined
  readonly plugins: readonly PluginFacts[]
  readonly identity: IdentityFacts
  readonly fstab: readonly FstabEntry[]
}

/** os-release(5). */
export interface OsFacts {
  readonly id: string
  readonly version: string
  readonly name: string
}

/** What the boot menu would start. */
export interface MenuFacts {
  /** Where it was read. */
  readonly path: string
  /** `LABEL=ROOT`: what loader and menu search the disk for. */
  readonly searches: readonly string[]
  readonly arguments: readonly string[]
  readonly kernelPath: string | undefined
  readonly hasKernel: boolean
  readonly initrdPath: string | undefined
  readonly hasInitrd: boolean
}

/** The kernel's modules. */
export interface KernelFacts {
  readonly version: string
  /** Of the drivers that are asked for, those it has. */
  readonly drivers: readonly string[]
}

/** What is in the initramfs that the menu names, or why it is not known. */
export type InitramfsFacts =
  | { readonly damage: string }
  | {
      readonly damage?: undefined
      /** Of the drivers that are asked for, those in it or in the kernel itself. */
      readonly drivers: readonly string[]
      readonly hasIscsistart: boolean
      /** It logs in by itself to what the firmware left in the iBFT. */
      readonly startsIscsi: boolean
      /** `dracut` or `initramfs-tools`. */
      readonly maker: string
    }

/** How cloud-init is set up. */
export interface CloudInitFacts {
  readonly version: string
  /** The last `datasource_list`; undefined: all that there are. */
  readonly datasources: readonly string[] | undefined
  readonly isDisabled: boolean
}

/** A plug-in of ours. */
export interface PluginFacts {
  readonly name: string
  readonly version: string
}

/** What clones must not share. */
export interface IdentityFacts {
  /** undefined when each clone makes its own. */
  readonly machineId: string | undefined
  readonly hostKeys: readonly string[]
  readonly initiatorName: string | undefined
}

/** Drivers of the NICs in racks; a kernel with none of these is made for clouds. */
export const PHYSICAL_NICS = [
  ...['e1000e', 'igb', 'ixgbe', 'i40e', 'ice', 'tg3', 'bnxt_en', 'bnx2x', 'mlx4_en', 'mlx5_core'],
  ...['be2net', 'qede', 'r8169'],
] as const

/** What root over iSCSI needs, beside a NIC. */
export const ISCSI_DRIVERS = ['iscsi_tcp', 'iscsi_ibft'] as const

/** The drivers that facts tell of. */
export const ASKED_DRIVERS: readonly string[] = [
  ...ISCSI_DRIVERS,
  ...['virtio_net', 'virtio_pci', 'virtio_blk', 'virtio_scsi', 'nvme', 'ahci'],
  ...PHYSICAL_NICS,
]

import { createHash } from 'node:crypto'

const SECTOR_BYTES = 512
const FIRST_PARTITION_BYTES = 1 << 20

// A BIOS that tries this disk is told to go on (INT 18h); if it comes back, it rests.
const BOOT_CODE = Buffer.from([0xcd, 0x18, 0xf4, 0xeb, 0xfd])

// "Linux filesystem". There is no assigned type for ISO 9660 on a fixed disk; readers look at the content.
const TYPE_LINUX = 0x83

/** A partition and what it begins with; the rest of it is zeros. */
export interface Partition {
  readonly content: Uint8Array
  /** A multiple of 1 MiB, at least as large as the content. */
  readonly sizeBytes: number
}

/**
 * A disk with an MBR (UEFI 2.10 §5.2.1) and one to four primary partitions in order, the first at 1 MiB and each
 * after the one before. Deterministic: the disk signature comes from `identity`.
 */
export function writePartitionedDisk(identity: string, partitions: readonly Partition[]): Buffer {
  const disk = Buffer.alloc(partitions.reduce((sum, { sizeBytes }) => sum + sizeBytes, FIRST_PARTITION_BYTES))
  BOOT_CODE.copy(disk)
  // The disk signature: a zero would have Windows write one, to a disk that cannot be written.
  createHash('sha256').update(identity).digest().copy(disk, 440, 0, 4)
  let startBytes = FIRST_PARTITION_BYTES
  partitions.forEach(({ content, sizeBytes }, index) => {
    writeEntry(disk.subarray(446 + 16 * index, 462 + 16 * index), startBytes, sizeBytes)
    disk.set(content, startBytes)
    startBytes += sizeBytes
  })
  disk.writeUInt16LE(0xaa55, 510)
  return disk
}

function writeEntry(entry: Buffer, startBytes: number, sizeBytes: number): void {
  // Cylinder, head and sector at their maximum: "look at the LBA instead".
  entry.set([0x00, 0xfe, 0xff, 0xff, TYPE_LINUX, 0xfe, 0xff, 0xff])
  entry.writeUInt32LE(startBytes / SECTOR_BYTES, 8)
  entry.writeUInt32LE(sizeBytes / SECTOR_BYTES, 12)
}

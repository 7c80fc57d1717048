import { createHash } from 'node:crypto'

const SECTOR_BYTES = 512
const ALIGNMENT_BYTES = 1 << 20

// A BIOS that tries this disk is told to go on (INT 18h); if it comes back, it rests.
const BOOT_CODE = Buffer.from([0xcd, 0x18, 0xf4, 0xeb, 0xfd])

// "Linux filesystem". There is no assigned type for ISO 9660 on a fixed disk; readers look at the content.
const TYPE_LINUX = 0x83

/**
 * A disk with an MBR (UEFI 2.10 §5.2.1) and one primary partition per content, in order, each starting
 * at a multiple of 1 MiB and padded with zeros to one. Deterministic: the disk signature comes from `identity`.
 * @param partitions one to four contents, none empty
 */
export function writePartitionedDisk(identity: string, partitions: readonly Uint8Array[]): Buffer {
  const sizes = partitions.map((content) => alignUp(content.length))
  const disk = Buffer.alloc(sizes.reduce((sum, size) => sum + size, ALIGNMENT_BYTES))
  BOOT_CODE.copy(disk)
  // The disk signature: a zero would have Windows write one, to a disk that cannot be written.
  createHash('sha256').update(identity).digest().copy(disk, 440, 0, 4)
  let startBytes = ALIGNMENT_BYTES
  partitions.forEach((content, index) => {
    const sizeBytes = sizes[index] ?? 0
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

function alignUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
}

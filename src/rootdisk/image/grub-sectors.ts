/** Bytes in a sector of every disk we make. */
export const SECTOR_BYTES = 512

// Offsets into GRUB 2's i386-pc boot.img (its boot.h): where boot code meets what the disk knows.
const PARTITION_TABLE = 440 // disk signature and partition table follow up to byte 510
const KERNEL_SECTOR = 0x5c // u64 LBA of core.img
const DRIVE_CHECK = 0x66 // two bytes of jump, NOPs when the BIOS's drive number is to be trusted
const NOP = 0x90

// The block list at the end of core.img's first sector (diskboot.img) says where the rest is.
const LIST_START = 0x1f4 // u64 LBA, u16 sectors, u16 segment
const LOAD_SEGMENT = 0x820

/**
 * LBA 0 of a disk that starts GRUB: `bootImg`'s code around the partition table of `lba0`.
 * @param coreLba first sector of core.img
 */
export function bootSector(bootImg: Uint8Array, lba0: Uint8Array, coreLba: number): Uint8Array {
  const sector = Uint8Array.from(lba0.subarray(0, SECTOR_BYTES))
  sector.set(bootImg.subarray(0, PARTITION_TABLE))
  sector.fill(NOP, DRIVE_CHECK, DRIVE_CHECK + 2)
  new DataView(sector.buffer).setBigUint64(KERNEL_SECTOR, BigInt(coreLba), true)
  return sector
}

/**
 * core.img as it lies on disk from sector `coreLba` on, padded to whole sectors.
 * @throws RangeError when it does not fit into `roomSectors`
 */
export function placedCore(core: Uint8Array, coreLba: number, roomSectors: number): Uint8Array {
  const sectors = Math.ceil(core.length / SECTOR_BYTES)
  if (sectors > roomSectors || core.length <= SECTOR_BYTES) {
    throw new RangeError(`core.img has ${core.length} bytes, there is room for ${roomSectors} sectors`)
  }
  const placed = new Uint8Array(sectors * SECTOR_BYTES)
  placed.set(core)
  const view = new DataView(placed.buffer)
  view.setBigUint64(LIST_START, BigInt(coreLba) + 1n, true)
  view.setUint16(LIST_START + 8, sectors - 1, true)
  view.setUint16(LIST_START + 10, LOAD_SEGMENT, true)
  return placed
}

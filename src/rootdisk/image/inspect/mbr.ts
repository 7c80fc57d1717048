import { MalformedPacket } from '../../../wire/malformed-packet.js'

/**
 * LBA 0 as BIOS firmware reads it, little-endian (UEFI 2.10 §5.2.1):
 *
 *   0   boot code, 440 bytes   446 four records: active u8, CHS, type u8, CHS, first LBA u32, sectors u32
 *   440 disk signature u32     510 55 AA
 */
export interface Mbr {
  /** Whether the boot code has any byte but zero. */
  readonly hasBootCode: boolean
  /** Records in use, with their places 1..4. */
  readonly records: readonly MbrRecord[]
}

/** One record of a table. */
export interface MbrRecord {
  readonly number: number
  readonly isActive: boolean
  readonly type: number
  readonly firstLba: number
  readonly sectorCount: number
}

/** Types that mean something to us; the extended ones hold a chain of tables. */
export const MBR_TYPE = { protectiveGpt: 0xee, esp: 0xef, lvm: 0x8e } as const

/** CHS, LBA and Linux's own. */
const EXTENDED_TYPES: readonly number[] = [0x05, 0x0f, 0x85]

const SECTOR_BYTES = 512
const BOOT_CODE_BYTES = 440
const TABLE_AT = 446
const RECORD_BYTES = 16

/** Whether a record is the head of a chain of logical partitions. */
export function isExtended({ type }: MbrRecord): boolean {
  return EXTENDED_TYPES.includes(type)
}

/**
 * Reads LBA 0, or the first sector of a logical partition (EBR), which has the same shape.
 * @throws MalformedPacket when it is shorter than a sector or is not marked 55 AA, and nothing but that
 */
export function decodeMbr(sector: Uint8Array): Mbr {
  if (sector.length < SECTOR_BYTES)
    throw new MalformedPacket('MBR', sector.length, `needs ${SECTOR_BYTES} bytes`)
  if (sector[510] !== 0x55 || sector[511] !== 0xaa) throw new MalformedPacket('MBR', 510, 'is not 55 AA')
  const view = new DataView(sector.buffer, sector.byteOffset, SECTOR_BYTES)
  const records = [1, 2, 3, 4].map((number) => recordAt(view, number))
  return {
    hasBootCode: sector.subarray(0, BOOT_CODE_BYTES).some((byte) => byte !== 0),
    records: records.filter(({ type, sectorCount }) => type !== 0 && sectorCount > 0),
  }
}

function recordAt(view: DataView, number: number): MbrRecord {
  const at = TABLE_AT + (number - 1) * RECORD_BYTES
  return {
    number,
    isActive: view.getUint8(at) === 0x80,
    type: view.getUint8(at + 4),
    firstLba: view.getUint32(at + 8, true),
    sectorCount: view.getUint32(at + 12, true),
  }
}

import { crc32 } from 'node:zlib'
import { MalformedPacket } from '../../../wire/malformed-packet.js'

/**
 * The header of a GUID partition table, little-endian (UEFI 2.10 §5.3.2):
 *
 *   0  "EFI PART"       24 its own LBA u64         56 disk GUID                  84 bytes in an entry u32
 *   8  revision u32     32 the other header's u64  72 LBA of the entries u64     88 CRC32 of the entries u32
 *   12 its length u32   40 first usable LBA u64    80 number of entries u32
 *   16 its CRC32 u32    48 last usable LBA u64
 */
export interface GptHeader {
  readonly ownLba: number
  readonly otherLba: number
  readonly firstUsableLba: number
  readonly lastUsableLba: number
  readonly diskGuid: string
  readonly entriesLba: number
  readonly entryCount: number
  readonly entryBytes: number
  readonly entriesCrc: number
}

/** An entry in use (UEFI 2.10 §5.3.3). */
export interface GptEntry {
  /** From 1, as Linux and GRUB count. */
  readonly number: number
  readonly typeGuid: string
  readonly guid: string
  readonly firstLba: number
  /** Inclusive. */
  readonly lastLba: number
  /** Bit 2: legacy BIOS bootable. */
  readonly attributes: bigint
  /** UTF-16 as it came, up to the first NUL. */
  readonly name: string
}

/** Types that say what a partition is for (UEFI 2.10 table 5.7; GRUB manual, BIOS installation). */
export const GPT_TYPE = {
  esp: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  biosGrub: '21686148-6449-6e6f-744e-656564454649',
  lvm: 'e6d6d379-f507-44c2-a23c-238f2a3df928',
  unused: '00000000-0000-0000-0000-000000000000',
} as const

/** Entries that are read; sgdisk and Windows write 128, the kernel's own limit is 256 partitions. */
export const MAX_GPT_ENTRIES = 1024

const WHAT = 'GPT header'
const SIGNATURE = 'EFI PART'
const HEADER_BYTES = 92
const CRC_AT = 16
const MAX_ENTRY_BYTES = 4096

/** Whether a sector begins as a GPT header does; its checksum may still be wrong. */
export function looksLikeGpt(sector: Uint8Array): boolean {
  return Buffer.from(sector.subarray(0, SIGNATURE.length)).toString('latin1') === SIGNATURE
}

/**
 * Reads the header in `sector`, which is one sector long.
 * @throws MalformedPacket on anything that UEFI firmware would not take, and nothing but that
 */
export function decodeGptHeader(sector: Uint8Array): GptHeader {
  if (sector.length < HEADER_BYTES)
    throw new MalformedPacket(WHAT, sector.length, `needs ${HEADER_BYTES} bytes`)
  if (!looksLikeGpt(sector)) throw new MalformedPacket(WHAT, 0, 'has no signature "EFI PART"')
  const view = viewOf(sector)
  const length = view.getUint32(12, true)
  if (length < HEADER_BYTES || length > sector.length)
    throw new MalformedPacket(WHAT, 12, `${length} is no header length`)
  const copy = Uint8Array.from(sector.subarray(0, length))
  copy.fill(0, CRC_AT, CRC_AT + 4)
  if (crc32(copy) !== view.getUint32(CRC_AT, true))
    throw new MalformedPacket(WHAT, CRC_AT, 'its checksum is wrong')
  const entryCount = view.getUint32(80, true)
  const entryBytes = view.getUint32(84, true)
  if (entryCount > MAX_GPT_ENTRIES) throw new MalformedPacket(WHAT, 80, `${entryCount} entries are too many`)
  const isSize = entryBytes >= 128 && entryBytes <= MAX_ENTRY_BYTES && Number.isInteger(Math.log2(entryBytes))
  if (!isSize) throw new MalformedPacket(WHAT, 84, `${entryBytes} is no size of an entry`)
  return {
    ownLba: lbaAt(view, 24),
    otherLba: lbaAt(view, 32),
    firstUsableLba: lbaAt(view, 40),
    lastUsableLba: lbaAt(view, 48),
    diskGuid: guidAt(view, 56),
    entriesLba: lbaAt(view, 72),
    entryCount,
    entryBytes,
    entriesCrc: view.getUint32(88, true),
  }
}

/**
 * The entries in use.
 * @param bytes all of the array, `entryCount * entryBytes` long
 * @throws MalformedPacket when it is shorter, or is not what the header's checksum is of
 */
export function decodeGptEntries(header: GptHeader, bytes: Uint8Array): GptEntry[] {
  const length = header.entryCount * header.entryBytes
  if (bytes.length < length) throw new MalformedPacket('GPT entries', bytes.length, `need ${length} bytes`)
  const array = bytes.subarray(0, length)
  if (crc32(array) !== header.entriesCrc)
    throw new MalformedPacket('GPT entries', 0, 'their checksum is wrong')
  const view = viewOf(array)
  return Array.from({ length: header.entryCount }, (_, index) =>
    entryAt(view, index, header.entryBytes),
  ).filter(({ typeGuid }) => typeGuid !== GPT_TYPE.unused)
}

/** Writes a header with its checksum into one sector. */
export function encodeGptHeader(header: GptHeader, sectorBytes: number): Uint8Array {
  const sector = new Uint8Array(sectorBytes)
  const view = viewOf(sector)
  sector.set(Buffer.from(SIGNATURE, 'latin1'))
  view.setUint32(8, 0x00010000, true)
  view.setUint32(12, HEADER_BYTES, true)
  const places = { 24: header.ownLba, 32: header.otherLba, 40: header.firstUsableLba }
  const more = { 48: header.lastUsableLba, 72: header.entriesLba }
  for (const [at, lba] of Object.entries({ ...places, ...more })) {
    view.setBigUint64(Number(at), BigInt(lba), true)
  }
  sector.set(guidBytes(header.diskGuid), 56)
  view.setUint32(80, header.entryCount, true)
  view.setUint32(84, header.entryBytes, true)
  view.setUint32(88, header.entriesCrc, true)
  view.setUint32(CRC_AT, crc32(sector.subarray(0, HEADER_BYTES)), true)
  return sector
}

function entryAt(view: DataView, index: number, entryBytes: number): GptEntry {
  const at = index * entryBytes
  const name = Array.from({ length: 36 }, (_, i) => view.getUint16(at + 56 + 2 * i, true))
  const end = name.indexOf(0)
  return {
    number: index + 1,
    typeGuid: guidAt(view, at),
    guid: guidAt(view, at + 16),
    firstLba: lbaAt(view, at + 32),
    lastLba: lbaAt(view, at + 40),
    attributes: view.getBigUint64(at + 48, true),
    name: String.fromCharCode(...name.slice(0, end < 0 ? name.length : end)),
  }
}

/** An LBA beyond 2^53 is beyond every disk; it is rounded, which keeps it there. */
function lbaAt(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true))
}

/** UEFI 2.10 appendix A: the first three fields are little-endian. */
function guidAt(view: DataView, at: number): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')
  const tail = Array.from({ length: 8 }, (_, i) => hex(view.getUint8(at + 8 + i), 2)).join('')
  const head = [
    hex(view.getUint32(at, true), 8),
    hex(view.getUint16(at + 4, true), 4),
    hex(view.getUint16(at + 6, true), 4),
  ]
  return `${head.join('-')}-${tail.slice(0, 4)}-${tail.slice(4)}`
}

function guidBytes(guid: string): Uint8Array {
  const bytes = Buffer.from(guid.replaceAll('-', ''), 'hex')
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

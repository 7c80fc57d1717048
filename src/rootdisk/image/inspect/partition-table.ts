import { MalformedPacket } from '../../../wire/malformed-packet.js'
import { decodeGptEntries, decodeGptHeader, GPT_TYPE, looksLikeGpt, type GptHeader } from './gpt.js'
import { decodeMbr, isExtended, MBR_TYPE, type Mbr, type MbrRecord } from './mbr.js'

/** A disk to look at: short at its end, never an error for a range beyond it. */
export interface DiskBytes {
  readonly sizeBytes: number
  read(offset: number, length: number): Promise<Uint8Array>
}

/** A partition as the kernel would number it. */
export interface Partition {
  readonly number: number
  readonly startBytes: number
  readonly sizeBytes: number
  /** GUID in lower case, or two hex digits. */
  readonly type: string
  /** Its own GUID, lower case; empty in an MBR. */
  readonly guid: string
  /** As it came: make it harmless before it is shown. */
  readonly name: string
  /** GPT attribute bit 2 or the MBR's 0x80. */
  readonly isActive: boolean
}

/** What is wrong with a table. */
export interface TableProblem {
  readonly kind:
    | 'primary-gpt'
    | 'backup-gpt-missing'
    | 'backup-gpt-not-last'
    | 'backup-gpt-differs'
    | 'protective-mbr'
    | 'hybrid-mbr'
    | 'overlap'
    | 'beyond-disk'
    | 'chain'
    | 'sector-size'
  /** In words. */
  readonly seen: string
}

/** What LBA 0 and the tables behind it say. */
export interface PartitionTable {
  readonly kind: 'gpt' | 'mbr' | 'none'
  readonly hasBootCode: boolean
  readonly partitions: readonly Partition[]
  readonly problems: readonly TableProblem[]
}

/** The sector of every disk we serve. */
export const SECTOR_BYTES = 512

/** Logical partitions that are followed; the kernel stops at 256 too. */
const MAX_LOGICAL = 128

type Problems = TableProblem[]

/** Reads the partition table of a disk that may be hostile: bounded, and whatever is wrong is in `problems`. */
export async function readPartitionTable(disk: DiskBytes): Promise<PartitionTable> {
  const problems: Problems = []
  const mbr = attempt(decodeMbr, await sector(disk, 0))
  const hasBootCode = !(mbr instanceof MalformedPacket) && mbr.hasBootCode
  const first = await sector(disk, 1)
  const isGpt = looksLikeGpt(first) || (!(mbr instanceof MalformedPacket) && mbr.records.some(isProtective))
  if (isGpt) {
    checkProtective(mbr, problems)
    const partitions = bounded(await readGpt(disk, first, problems), disk, problems)
    return { kind: 'gpt', hasBootCode, partitions, problems }
  }
  if (looksLikeGpt(await disk.read(4096, SECTOR_BYTES)))
    problems.push({ kind: 'sector-size', seen: 'the table is made for sectors of 4096 bytes' })
  if (mbr instanceof MalformedPacket || !isPlausible(mbr, disk))
    return { kind: 'none', hasBootCode, partitions: [], problems }
  const partitions = bounded(await readMbr(disk, mbr, problems), disk, problems)
  return { kind: 'mbr', hasBootCode, partitions, problems }
}

/** A boot sector of FAT or NTFS ends in 55 AA too; its text gives no records with a valid first byte. */
function isPlausible(mbr: Mbr, disk: DiskBytes): boolean {
  const sectors = disk.sizeBytes / SECTOR_BYTES
  return mbr.records.length > 0 && mbr.records.every(({ firstLba }) => firstLba > 0 && firstLba < sectors)
}

function isProtective({ type }: MbrRecord): boolean {
  return type === MBR_TYPE.protectiveGpt
}

function checkProtective(mbr: Mbr | MalformedPacket, problems: Problems): void {
  if (mbr instanceof MalformedPacket || !mbr.records.some(isProtective)) {
    problems.push({ kind: 'protective-mbr', seen: 'LBA 0 has no record that protects the GPT' })
    return
  }
  const others = mbr.records.filter((record) => !isProtective(record))
  if (others.length > 0)
    problems.push({ kind: 'hybrid-mbr', seen: `LBA 0 lists ${others.length} partition(s) beside the GPT` })
}

async function readGpt(disk: DiskBytes, first: Uint8Array, problems: Problems): Promise<Partition[]> {
  const primary = await readSide(disk, first, 1)
  const lastLba = Math.floor(disk.sizeBytes / SECTOR_BYTES) - 1
  const backup = await readSide(disk, await sector(disk, lastLba), lastLba)
  if (primary instanceof MalformedPacket) {
    problems.push({ kind: 'primary-gpt', seen: primary.message })
    return backup instanceof MalformedPacket ? [] : backup.partitions
  }
  if (primary.header.otherLba !== lastLba) {
    const seen = `the table says the backup is in LBA ${primary.header.otherLba}, the disk ends with ${lastLba}`
    problems.push({ kind: 'backup-gpt-not-last', seen })
  }
  if (backup instanceof MalformedPacket) {
    problems.push({ kind: 'backup-gpt-missing', seen: `LBA ${lastLba}: ${backup.message}` })
  } else if (backup.header.entriesCrc !== primary.header.entriesCrc) {
    problems.push({ kind: 'backup-gpt-differs', seen: 'the two tables list other partitions' })
  }
  return primary.partitions
}

interface Side {
  readonly header: GptHeader
  readonly partitions: Partition[]
}

async function readSide(disk: DiskBytes, bytes: Uint8Array, lba: number): Promise<Side | MalformedPacket> {
  const header = attempt(decodeGptHeader, bytes)
  if (header instanceof MalformedPacket) return header
  if (header.ownLba !== lba)
    return new MalformedPacket('GPT header', 24, `in LBA ${lba} says it is in ${header.ownLba}`)
  const array = await disk.read(header.entriesLba * SECTOR_BYTES, header.entryCount * header.entryBytes)
  const entries = attempt((given) => decodeGptEntries(header, given), array)
  if (entries instanceof MalformedPacket) return entries
  const partitions = entries.map((entry) => ({
    number: entry.number,
    startBytes: entry.firstLba * SECTOR_BYTES,
    sizeBytes: (entry.lastLba - entry.firstLba + 1) * SECTOR_BYTES,
    type: entry.typeGuid,
    guid: entry.guid,
    name: entry.name,
    isActive: (entry.attributes & 4n) !== 0n,
  }))
  return { header, partitions }
}

async function readMbr(disk: DiskBytes, mbr: Mbr, problems: Problems): Promise<Partition[]> {
  const primary = mbr.records.filter((record) => !isExtended(record)).map((record) => partitionOf(record, 0))
  const extended = mbr.records.find(isExtended)
  return extended === undefined ? primary : [...primary, ...(await logical(disk, extended, problems))]
}

/** Follows the chain of EBRs: each says where its partition is, from itself, and the next EBR, from the first. */
async function logical(disk: DiskBytes, extended: MbrRecord, problems: Problems): Promise<Partition[]> {
  const found: Partition[] = []
  const visited = new Set<number>()
  for (let lba: number | undefined = extended.firstLba; lba !== undefined;) {
    if (visited.has(lba) || visited.size >= MAX_LOGICAL) {
      problems.push({ kind: 'chain', seen: `the chain of logical partitions comes back to LBA ${lba}` })
      return found
    }
    visited.add(lba)
    const ebr: Mbr | MalformedPacket = attempt(decodeMbr, await sector(disk, lba))
    if (ebr instanceof MalformedPacket) {
      problems.push({ kind: 'chain', seen: `logical partition in LBA ${lba}: ${ebr.message}` })
      return found
    }
    const own = ebr.records.find((record) => !isExtended(record))
    if (own !== undefined) found.push({ ...partitionOf(own, lba), number: 5 + found.length })
    const next: MbrRecord | undefined = ebr.records.find(isExtended)
    lba = next === undefined ? undefined : extended.firstLba + next.firstLba
  }
  return found
}

function partitionOf(record: MbrRecord, fromLba: number): Partition {
  return {
    number: record.number,
    startBytes: (fromLba + record.firstLba) * SECTOR_BYTES,
    sizeBytes: record.sectorCount * SECTOR_BYTES,
    type: record.type.toString(16).padStart(2, '0'),
    guid: '',
    name: '',
    isActive: record.isActive,
  }
}

/** Leaves out what does not lie on the disk, and says so; overlaps stay, and are said. */
function bounded(partitions: readonly Partition[], disk: DiskBytes, problems: Problems): Partition[] {
  const isWhole = ({ startBytes, sizeBytes }: Partition): boolean =>
    startBytes > 0 && sizeBytes > 0 && startBytes + sizeBytes <= disk.sizeBytes
  for (const { number, startBytes, sizeBytes } of partitions.filter((partition) => !isWhole(partition))) {
    const end = startBytes + sizeBytes
    const seen = `partition ${number} is bytes ${startBytes} to ${end} of a disk of ${disk.sizeBytes}`
    problems.push({ kind: 'beyond-disk', seen })
  }
  const whole = partitions.filter(isWhole)
  const sorted = whole.toSorted((a, b) => a.startBytes - b.startBytes)
  for (const [index, later] of sorted.entries()) {
    const earlier = sorted[index - 1]
    if (earlier !== undefined && earlier.startBytes + earlier.sizeBytes > later.startBytes)
      problems.push({ kind: 'overlap', seen: `partitions ${earlier.number} and ${later.number} overlap` })
  }
  return whole
}

function sector(disk: DiskBytes, lba: number): Promise<Uint8Array> {
  return disk.read(lba * SECTOR_BYTES, SECTOR_BYTES)
}

/** What `decode` gives, or its MalformedPacket as a value. */
function attempt<T>(decode: (bytes: Uint8Array) => T, bytes: Uint8Array): T | MalformedPacket {
  try {
    return decode(bytes)
  } catch (err) {
    if (err instanceof MalformedPacket) return err
    throw err
  }
}

/** Whether a partition is where UEFI firmware looks for a loader. */
export function isEsp({ type }: Partition): boolean {
  return type === GPT_TYPE.esp || type === MBR_TYPE.esp.toString(16)
}

import { MalformedPacket } from '../../wire/malformed-packet.js'
import { ByteReader } from '../../wire/reader.js'
import { ByteWriter } from '../../wire/writer.js'
import { CLUSTER_BYTES, ClusterMap, MAP_PAGE_BYTES, mapPagesFor } from './cluster-map.js'
import { settled, type LayerFiles } from './layer-files.js'

/*
 * Page 0 of a map file, big-endian; map page p follows at byte 4096 x (p + 1).
 *
 *   magic "INGOTMAP" | version u32 | cluster bytes u32 | size in bytes u64 |
 *   flags u8 (1: a data sync failed, 2: it names the used groups) | boot id length u8 | boot id (empty on disk)
 *
 * Byte 2048 on: a bit for each group of 64 pages, lowest first, set before a page of the group says anything.
 */
const MAGIC = 'INGOTMAP'
const VERSION = 1

/** Bytes before the first map page. */
export const MAP_HEADER_BYTES = 4096

/** Where the size of a map header is. */
export const MAP_SIZE_AT = 16

/** Where the flags byte of a map header is. */
export const MAP_FLAGS_AT = 24

/** Flag of a live map: an `fdatasync` of its data failed, so no later one proves anything. */
export const FLAG_SYNC_FAILED = 1

/** Flag: the header names the groups of pages that may say something; without it all have to be read. */
export const FLAG_USED_GROUPS = 2

/** Where the bits of the used groups are, and how many bytes: enough for 64 TiB. */
export const MAP_GROUPS_AT = 2048
const GROUP_BITS_BYTES = 2048

/** Map pages of a group: 4 GiB of a disk. */
const PAGES_PER_GROUP = 64

/** Groups of map pages that may say something; the others are all `parent` and are never read. */
export class UsedGroups {
  readonly bits: Uint8Array

  constructor(bits: Uint8Array = new Uint8Array(GROUP_BITS_BYTES)) {
    this.bits = bits
  }

  /** Those of the pages that a map has. */
  static of(map: ClusterMap): UsedGroups {
    const groups = new UsedGroups()
    for (const pageNo of map.pageNumbers()) groups.add(pageNo)
    return groups
  }

  /** Adds the group of a page. */
  add(pageNo: number): void {
    const { at, byte } = this.byteWith(pageNo)
    this.bits[at] = byte
  }

  /** The byte that names the group of a page, as it is once the group was added. */
  byteWith(pageNo: number): { at: number; byte: number } {
    const group = Math.floor(pageNo / PAGES_PER_GROUP)
    const at = group >> 3
    return { at, byte: (this.bits[at] ?? 0) | (1 << (group & 7)) }
  }

  /** Whether the group of a page is one of them. */
  has(pageNo: number): boolean {
    const group = Math.floor(pageNo / PAGES_PER_GROUP)
    return (((this.bits[group >> 3] ?? 0) >> (group & 7)) & 1) === 1
  }
}

/** What the first page of a map says. */
export interface MapHeader {
  readonly sizeBytes: number
  /** Flags, see {@link FLAG_SYNC_FAILED}. */
  readonly flags: number
  /** The kernel boot that a live map is valid in; empty in the map on disk. */
  readonly bootId: string
  /** Undefined when the header does not name them: all may say something. */
  readonly usedGroups: UsedGroups | undefined
}

/** The header page for a map file. */
export function encodeMapHeader(header: {
  readonly sizeBytes: number
  readonly bootId: string
  readonly usedGroups: UsedGroups
}): Buffer {
  const bootId = Buffer.from(header.bootId)
  const out = new ByteWriter().text(MAGIC).u32(VERSION).u32(CLUSTER_BYTES).u64(BigInt(header.sizeBytes))
  out.u8(FLAG_USED_GROUPS).u8(bootId.length).put(bootId)
  return out
    .zeros(MAP_GROUPS_AT - out.length)
    .put(header.usedGroups.bits)
    .bytes()
}

/** The size of a map header alone, for {@link MAP_SIZE_AT}. */
export function encodeMapSize(sizeBytes: number): Buffer {
  return new ByteWriter().u64(BigInt(sizeBytes)).bytes()
}

/** @throws MalformedPacket when `page` is not a map header of this version */
export function decodeMapHeader(page: Uint8Array): MapHeader {
  const reader = new ByteReader(page, 'map header')
  if (Buffer.from(reader.take(8)).toString('latin1') !== MAGIC) {
    throw new MalformedPacket('map header', 0, 'magic is not INGOTMAP')
  }
  const version = reader.u32()
  if (version !== VERSION) throw new MalformedPacket('map header', 8, `version ${version} is not ${VERSION}`)
  const clusterBytes = reader.u32()
  if (clusterBytes !== CLUSTER_BYTES) {
    throw new MalformedPacket('map header', 12, `clusters of ${clusterBytes} bytes, not ${CLUSTER_BYTES}`)
  }
  const sizeBytes = Number(reader.u64())
  const flags = reader.u8()
  const bootId = Buffer.from(reader.take(reader.u8())).toString('latin1')
  const hasGroups = (flags & FLAG_USED_GROUPS) !== 0
  const bits = hasGroups ? page.slice(MAP_GROUPS_AT, MAP_GROUPS_AT + GROUP_BITS_BYTES) : undefined
  return { sizeBytes, flags, bootId, usedGroups: bits && new UsedGroups(bits) }
}

/** Length of the map file of a layer. */
export function mapFileBytes(sizeBytes: number): number {
  return MAP_HEADER_BYTES + mapPagesFor(sizeBytes) * MAP_PAGE_BYTES
}

/** Byte of a map file where page `pageNo` begins. */
export function mapPageAt(pageNo: number): number {
  return MAP_HEADER_BYTES + pageNo * MAP_PAGE_BYTES
}

/** @throws MalformedPacket, or the file system's error */
export async function readMapHeader(files: LayerFiles, fd: number): Promise<MapHeader> {
  const page = new Uint8Array(MAP_HEADER_BYTES)
  await settled((done) => files.read(fd, page, 0, done))
  return decodeMapHeader(page)
}

const EMPTY_PAGE = Buffer.alloc(MAP_PAGE_BYTES)

/** Reads what a map file says, a group of pages at a time, and keeps the pages that say something. */
export async function readMapPages(
  files: LayerFiles,
  fd: number,
  { sizeBytes, usedGroups }: Pick<MapHeader, 'sizeBytes' | 'usedGroups'>,
): Promise<ClusterMap> {
  const map = new ClusterMap()
  const pageCount = mapPagesFor(sizeBytes)
  const buffer = Buffer.allocUnsafe(Math.min(pageCount, PAGES_PER_GROUP) * MAP_PAGE_BYTES)
  for (let first = 0; first < pageCount; first += PAGES_PER_GROUP) {
    if (usedGroups?.has(first) === false) continue
    const count = Math.min(PAGES_PER_GROUP, pageCount - first)
    await settled((done) =>
      files.read(fd, buffer.subarray(0, count * MAP_PAGE_BYTES), mapPageAt(first), done),
    )
    for (let i = 0; i < count; i++) {
      const page = buffer.subarray(i * MAP_PAGE_BYTES, (i + 1) * MAP_PAGE_BYTES)
      if (!EMPTY_PAGE.equals(page)) map.put(first + i, page)
    }
  }
  return map
}

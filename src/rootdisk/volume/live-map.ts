import { systemCode } from '../../errors.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import {
  CLUSTERS_PER_PAGE,
  ClusterMap,
  isAll,
  MAP_PAGE_BYTES,
  paint,
  type ClusterRange,
  type ClusterState,
} from './cluster-map.js'
import type { LayerFiles } from './layer-files.js'
import { liveMapPath, readDiskMap, type LayerDirs, type LayerSpec, type SizedMap } from './layer.js'
import {
  encodeMapHeader,
  encodeMapSize,
  FLAG_SYNC_FAILED,
  FLAG_USED_GROUPS,
  MAP_FLAGS_AT,
  MAP_GROUPS_AT,
  MAP_SIZE_AT,
  mapFileBytes,
  mapPageAt,
  readMapHeader,
  readMapPages,
  type MapHeader,
  UsedGroups,
} from './map-file.js'

const EMPTY_PAGE = new Uint8Array(MAP_PAGE_BYTES)

/** The header's number among the pages of a map file: it is the one before the first. */
export const HEADER_PAGE = -1

/** What goes into a page; nothing lasts beyond a call. */
const SCRATCH = new Uint8Array(MAP_PAGE_BYTES)

/** Clusters of one page that change together; all of them lie within `first` to `last`. */
interface PageChange {
  first: number
  last: number
  readonly parts: ClusterRange[]
}

/**
 * The map of the layer being written: in memory, and in a tmpfs file that outlives this process.
 * The map on disk is behind it by the dirty pages.
 */
export class LiveMap {
  readonly map: ClusterMap
  readonly #files: LayerFiles
  readonly #fd: number
  readonly #usedGroups: UsedGroups
  #dirty: Set<number>
  #isSyncBroken: boolean
  #sizeBytes: number

  /** @param dirty pages in which the map on disk is behind `map` */
  constructor(files: LayerFiles, fd: number, state: LiveMapState) {
    this.#files = files
    this.#fd = fd
    this.map = state.map
    this.#usedGroups = UsedGroups.of(state.map)
    this.#dirty = state.dirty
    this.#isSyncBroken = state.isSyncBroken
    this.#sizeBytes = state.sizeBytes
  }

  /** Bytes of the layer that the map speaks of. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Whether a data sync failed since the host booted: the kernel may have dropped what it could not write. */
  get isSyncBroken(): boolean {
    return this.#isSyncBroken
  }

  /** Remembers, beyond the death of this process, that no later data sync proves anything. */
  breakSync(): void {
    this.#isSyncBroken = true
    this.#files.writeSync(this.#fd, Uint8Array.of(FLAG_USED_GROUPS | FLAG_SYNC_FAILED), MAP_FLAGS_AT)
  }

  /**
   * Gives ranges of clusters a state: in the tmpfs file first, then in memory; one write for each page.
   * Synchronous, because tmpfs is memory: a call costs small copies and nothing can come in between.
   * @throws the file system's error; some of the pages are changed then
   */
  mark(ranges: readonly ClusterRange[], state: ClusterState): void {
    const changes = this.#changesOf(ranges, state)
    if (changes === undefined) return
    for (const [pageNo, change] of changes) this.#change(pageNo, change, state)
  }

  /** Copies of the dirty pages as they are now; they count as clean until {@link putBack}. */
  takeDirty(): Map<number, Uint8Array> {
    const taken = new Map<number, Uint8Array>()
    for (const pageNo of this.#dirty) taken.set(pageNo, this.#copyOf(pageNo))
    this.#dirty = new Set()
    return taken
  }

  /** Makes pages dirty again that could not be written. */
  putBack(pageNumbers: Iterable<number>): void {
    for (const pageNo of pageNumbers) this.#dirty.add(pageNo)
  }

  /** Speaks of `sizeBytes` from now on; the map on disk will when it is flushed. */
  async grow(sizeBytes: number): Promise<void> {
    await this.#files.truncate(this.#fd, mapFileBytes(sizeBytes))
    this.#files.writeSync(this.#fd, encodeMapSize(sizeBytes), MAP_SIZE_AT)
    this.#sizeBytes = sizeBytes
    this.#dirty.add(HEADER_PAGE)
  }

  close(): Promise<void> {
    return this.#files.close(this.#fd)
  }

  #copyOf(pageNo: number): Uint8Array {
    if (pageNo === HEADER_PAGE) {
      return encodeMapHeader({ sizeBytes: this.#sizeBytes, bootId: '', usedGroups: this.#usedGroups })
    }
    return (this.map.page(pageNo) ?? EMPTY_PAGE).slice()
  }

  /** What is not as it should be, by page; undefined when all is. */
  #changesOf(ranges: readonly ClusterRange[], state: ClusterState): Map<number, PageChange> | undefined {
    let changes: Map<number, PageChange> | undefined
    for (const range of ranges) {
      for (let n = range.first; n <= range.last;) {
        const pageNo = Math.floor(n / CLUSTERS_PER_PAGE)
        const pageFirst = pageNo * CLUSTERS_PER_PAGE
        const part = { first: n - pageFirst, last: Math.min(range.last - pageFirst, CLUSTERS_PER_PAGE - 1) }
        const page = this.map.page(pageNo)
        if (page === undefined || !isAll(page, part.first, part.last, state)) {
          addPart((changes ??= new Map<number, PageChange>()), pageNo, part)
        }
        n = pageFirst + part.last + 1
      }
    }
    return changes
  }

  #change(pageNo: number, { first, last, parts }: PageChange, state: ClusterState): void {
    const page = this.map.page(pageNo)
    const from = first >> 2
    const bytes = SCRATCH.subarray(0, (last >> 2) - from + 1)
    if (page === undefined) {
      this.#useGroup(pageNo)
      bytes.fill(0)
    } else bytes.set(page.subarray(from, from + bytes.length))
    for (const part of parts) paint(bytes, part.first - from * 4, part.last - from * 4, state)
    this.#files.writeSync(this.#fd, bytes, mapPageAt(pageNo) + from)
    this.map.put(pageNo, bytes, from)
    this.#dirty.add(pageNo)
  }

  /** The header names the group of a page before the page says anything. */
  #useGroup(pageNo: number): void {
    if (this.#usedGroups.has(pageNo)) return
    const { at, byte } = this.#usedGroups.byteWith(pageNo)
    this.#files.writeSync(this.#fd, Uint8Array.of(byte), MAP_GROUPS_AT + at)
    this.#usedGroups.add(pageNo)
    this.#dirty.add(HEADER_PAGE)
  }
}

function addPart(changes: Map<number, PageChange>, pageNo: number, part: ClusterRange): void {
  const change = changes.get(pageNo)
  if (change === undefined) {
    changes.set(pageNo, { ...part, parts: [part] })
    return
  }
  change.first = Math.min(change.first, part.first)
  change.last = Math.max(change.last, part.last)
  change.parts.push(part)
}

interface LiveMapState extends SizedMap {
  readonly dirty: Set<number>
  readonly isSyncBroken: boolean
}

/** Where live maps are and when they are valid. */
export interface LiveMapPlace extends LayerDirs {
  /** `/proc/sys/kernel/random/boot_id`: a live map of another boot is worth nothing. */
  readonly bootId: string
  readonly files: LayerFiles
}

/** Takes up the live map that a dead process left in this boot; undefined when there is none. */
export async function takeUpLiveMap(place: LiveMapPlace, layer: LayerSpec): Promise<LiveMap | undefined> {
  const { files, layersDir } = place
  const kept = await openKept(place, layer)
  if (kept === undefined) return undefined
  try {
    const disk = await readDiskMap(layersDir, layer, files)
    const map = await readMapPages(files, kept.fd, kept.header)
    const dirty = difference(map, disk.map)
    const { sizeBytes, flags } = kept.header
    if (dirty.size > 0 || sizeBytes !== disk.sizeBytes) dirty.add(HEADER_PAGE)
    const isSyncBroken = (flags & FLAG_SYNC_FAILED) !== 0
    return new LiveMap(files, kept.fd, { map, sizeBytes, dirty, isSyncBroken })
  } catch (err) {
    await files.close(kept.fd)
    throw err
  }
}

/** Begins a live map for a layer whose map on disk says what `disk` says; uses its map, not a copy. */
export async function beginLiveMap(place: LiveMapPlace, layerId: string, disk: SizedMap): Promise<LiveMap> {
  const { files, bootId } = place
  const fd = await files.open(liveMapPath(place.runDir, layerId), 'replace')
  try {
    await files.truncate(fd, mapFileBytes(disk.sizeBytes))
    for (const pageNo of disk.map.pageNumbers()) {
      files.writeSync(fd, disk.map.page(pageNo) ?? EMPTY_PAGE, mapPageAt(pageNo))
    }
    // last: without it the file means nothing
    const usedGroups = UsedGroups.of(disk.map)
    files.writeSync(fd, encodeMapHeader({ sizeBytes: disk.sizeBytes, bootId, usedGroups }), 0)
  } catch (err) {
    await files.close(fd)
    throw err
  }
  return new LiveMap(files, fd, { ...disk, dirty: new Set(), isSyncBroken: false })
}

/** The newest map of a layer that is only read: what a dead process left in this boot, else the one on disk. */
export async function readNewestMap(place: LiveMapPlace, layer: LayerSpec): Promise<SizedMap> {
  const kept = await openKept(place, layer)
  if (kept === undefined) return readDiskMap(place.layersDir, layer, place.files)
  const { fd, header } = kept
  const map = await readMapPages(place.files, fd, header).finally(() => place.files.close(fd))
  return { map, sizeBytes: header.sizeBytes }
}

interface KeptMap {
  readonly fd: number
  readonly header: MapHeader
}

async function openKept(place: LiveMapPlace, layer: LayerSpec): Promise<KeptMap | undefined> {
  const { files, bootId } = place
  let fd: number
  try {
    fd = await files.open(liveMapPath(place.runDir, layer.layerId), 'write')
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return undefined
    throw err
  }
  const header = await readMapHeader(files, fd).catch(unusable)
  if (header?.bootId === bootId && header.sizeBytes <= layer.sizeBytes) {
    return { fd, header }
  }
  await files.close(fd)
  if (header?.bootId !== bootId) return undefined
  throw new Error(`layer ${layer.layerId} has ${header.sizeBytes} bytes, not ${layer.sizeBytes}`)
}

/** A process that died while it began a live map left one without a header: nothing was acknowledged yet. */
function unusable(err: unknown): undefined {
  if (err instanceof MalformedPacket || systemCode(err) === 'EIO') return undefined
  throw err
}

function difference(a: ClusterMap, b: ClusterMap): Set<number> {
  const differing = new Set<number>()
  for (const pageNo of [...a.pageNumbers(), ...b.pageNumbers()]) {
    const [left, right] = [a.page(pageNo) ?? EMPTY_PAGE, b.page(pageNo) ?? EMPTY_PAGE]
    if (!Buffer.from(left.buffer, left.byteOffset, left.length).equals(right)) differing.add(pageNo)
  }
  return differing
}

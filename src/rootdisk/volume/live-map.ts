import { systemCode } from '../../errors.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import {
  CLUSTERS_PER_PAGE,
  ClusterMap,
  isAll,
  MAP_PAGE_BYTES,
  paint,
  type ClusterState,
} from './cluster-map.js'
import type { LayerFiles } from './layer-files.js'
import { liveMapPath, readDiskMap, type LayerDirs, type LayerSpec } from './layer.js'
import {
  encodeMapHeader,
  FLAG_SYNC_FAILED,
  MAP_FLAGS_AT,
  mapFileBytes,
  mapPageAt,
  readMapHeader,
  readMapPages,
} from './map-file.js'

const EMPTY_PAGE = new Uint8Array(MAP_PAGE_BYTES)

/**
 * The map of the layer being written: in memory, and in a tmpfs file that outlives this process.
 * The map on disk is behind it by the dirty pages.
 */
export class LiveMap {
  readonly map: ClusterMap
  readonly #files: LayerFiles
  readonly #fd: number
  readonly #scratch = new Uint8Array(MAP_PAGE_BYTES)
  #dirty: Set<number>
  #isSyncBroken: boolean

  /** @param dirty pages in which the map on disk is behind `map` */
  constructor(files: LayerFiles, fd: number, state: LiveMapState) {
    this.#files = files
    this.#fd = fd
    this.map = state.map
    this.#dirty = state.dirty
    this.#isSyncBroken = state.isSyncBroken
  }

  /** Whether a data sync failed since the host booted: the kernel may have dropped what it could not write. */
  get isSyncBroken(): boolean {
    return this.#isSyncBroken
  }

  /** Remembers, beyond the death of this process, that no later data sync proves anything. */
  breakSync(): void {
    this.#isSyncBroken = true
    this.#files.writeSync(this.#fd, Uint8Array.of(FLAG_SYNC_FAILED), MAP_FLAGS_AT)
  }

  /**
   * Gives clusters `first` to `last` a state: in the tmpfs file first, then in memory.
   * Synchronous, because tmpfs is memory: a call costs one small copy and nothing can come in between.
   * @throws the file system's error; pages before the failed one are changed
   */
  mark(first: number, last: number, state: ClusterState): void {
    for (let n = first; n <= last;) {
      const pageNo = Math.floor(n / CLUSTERS_PER_PAGE)
      const pageFirst = pageNo * CLUSTERS_PER_PAGE
      const to = Math.min(last - pageFirst, CLUSTERS_PER_PAGE - 1)
      this.#markInPage(pageNo, n - pageFirst, to, state)
      n = pageFirst + to + 1
    }
  }

  /** Copies of the dirty pages as they are now; they count as clean until {@link putBack}. */
  takeDirty(): Map<number, Uint8Array> {
    const taken = new Map<number, Uint8Array>()
    for (const pageNo of this.#dirty) taken.set(pageNo, (this.map.page(pageNo) ?? EMPTY_PAGE).slice())
    this.#dirty = new Set()
    return taken
  }

  /** Makes pages dirty again that could not be written. */
  putBack(pageNumbers: Iterable<number>): void {
    for (const pageNo of pageNumbers) this.#dirty.add(pageNo)
  }

  close(): Promise<void> {
    return this.#files.close(this.#fd)
  }

  #markInPage(pageNo: number, first: number, last: number, state: ClusterState): void {
    const page = this.map.page(pageNo)
    if (page !== undefined && isAll(page, first, last, state)) return
    const from = first >> 2
    const length = (last >> 2) - from + 1
    const bytes = this.#scratch.subarray(0, length)
    if (page === undefined) bytes.fill(0)
    else bytes.set(page.subarray(from, from + length))
    paint(bytes, first - from * 4, last - from * 4, state)
    this.#files.writeSync(this.#fd, bytes, mapPageAt(pageNo) + from)
    this.map.put(pageNo, bytes, from)
    this.#dirty.add(pageNo)
  }
}

interface LiveMapState {
  readonly map: ClusterMap
  readonly dirty: Set<number>
  readonly isSyncBroken: boolean
}

/** Takes up the live map that a dead process left in this boot, or begins one from the map on disk. */
export async function openLiveMap(
  dirs: LayerDirs,
  layer: LayerSpec,
  bootId: string,
  files: LayerFiles,
): Promise<LiveMap> {
  const disk = await readDiskMap(dirs.layersDir, layer, files)
  const path = liveMapPath(dirs.runDir, layer.layerId)
  const kept = await openKept(path, layer, bootId, files)
  if (kept !== undefined) {
    const map = await readMapPages(files, kept.fd, layer.sizeBytes)
    return new LiveMap(files, kept.fd, {
      map,
      dirty: difference(map, disk),
      isSyncBroken: kept.isSyncBroken,
    })
  }
  const fd = await beginLiveMap(path, disk, { sizeBytes: layer.sizeBytes, flags: 0, bootId }, files)
  return new LiveMap(files, fd, { map: disk, dirty: new Set(), isSyncBroken: false })
}

/** The newest map of a layer that is only read: what a dead process left in this boot, else the one on disk. */
export async function readNewestMap(
  dirs: LayerDirs,
  layer: LayerSpec,
  bootId: string,
  files: LayerFiles,
): Promise<ClusterMap> {
  const kept = await openKept(liveMapPath(dirs.runDir, layer.layerId), layer, bootId, files)
  if (kept === undefined) return readDiskMap(dirs.layersDir, layer, files)
  return readMapPages(files, kept.fd, layer.sizeBytes).finally(() => files.close(kept.fd))
}

async function openKept(
  path: string,
  layer: LayerSpec,
  bootId: string,
  files: LayerFiles,
): Promise<{ fd: number; isSyncBroken: boolean } | undefined> {
  let fd: number
  try {
    fd = await files.open(path, 'write')
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return undefined
    throw err
  }
  const header = await readMapHeader(files, fd).catch(unusable)
  if (header?.bootId === bootId && header.sizeBytes === layer.sizeBytes) {
    return { fd, isSyncBroken: (header.flags & FLAG_SYNC_FAILED) !== 0 }
  }
  await files.close(fd)
  return undefined
}

/** A process that died while it began a live map left one without a header: nothing was acknowledged yet. */
function unusable(err: unknown): undefined {
  if (err instanceof MalformedPacket || systemCode(err) === 'EIO') return undefined
  throw err
}

async function beginLiveMap(
  path: string,
  map: ClusterMap,
  header: { sizeBytes: number; flags: number; bootId: string },
  files: LayerFiles,
): Promise<number> {
  const fd = await files.open(path, 'replace')
  await files.truncate(fd, mapFileBytes(header.sizeBytes))
  for (const pageNo of map.pageNumbers()) {
    files.writeSync(fd, map.page(pageNo) ?? EMPTY_PAGE, mapPageAt(pageNo))
  }
  files.writeSync(fd, encodeMapHeader(header), 0) // last: without it the file means nothing
  return fd
}

function difference(a: ClusterMap, b: ClusterMap): Set<number> {
  const differing = new Set<number>()
  for (const pageNo of [...a.pageNumbers(), ...b.pageNumbers()]) {
    const [left, right] = [a.page(pageNo) ?? EMPTY_PAGE, b.page(pageNo) ?? EMPTY_PAGE]
    if (!Buffer.from(left.buffer, left.byteOffset, left.length).equals(right)) differing.add(pageNo)
  }
  return differing
}

import { clustersFor, type ClusterMap } from './cluster-map.js'
import type { LayerFiles } from './layer-files.js'
import {
  layerPath,
  liveMapPath,
  readDiskMap,
  type LayerSpec,
  type OpenLayer,
  type SizedMap,
} from './layer.js'
import { beginLiveMap, readNewestMap, takeUpLiveMap, type LiveMap, type LiveMapPlace } from './live-map.js'
import { unsealLayer } from './manifest.js'
import { Turns } from './turns.js'
import { WrittenLayer } from './written-layer.js'

/**
 * How a layer is opened: `top` is written by its one volume, a `parent` is immutable and shared,
 * a `reader` leaves every file as it is.
 */
export type LayerRole = 'top' | 'parent' | 'reader'

/** A layer whose files are open; made by `openStored`, owned by the `LayerStore`. */
export class StoredLayer implements OpenLayer {
  readonly layerId: string
  readonly map: ClusterMap
  /** Grows with the layer. */
  sizeBytes: number
  clusterCount: number
  /** Descriptor of the data file; replaced by one that can be written when a merge begins. */
  dataFd: number
  readonly #place: LiveMapPlace
  /** Begins and ends of being written. */
  readonly #turns = new Turns()
  #written: WrittenLayer | undefined
  /** Top of a volume, or merged into: how many need it to stay writable. */
  #writers: number
  #readFd: number | undefined

  constructor(place: LiveMapPlace, layerId: string, parts: StoredParts) {
    this.#place = place
    this.layerId = layerId
    this.map = parts.map
    this.sizeBytes = parts.sizeBytes
    this.clusterCount = clustersFor(parts.sizeBytes)
    this.dataFd = parts.dataFd
    this.#written = parts.written
    this.#writers = parts.isTop ? 1 : 0
  }

  /** Set while the map on disk may be behind. */
  get written(): WrittenLayer | undefined {
    return this.#written
  }

  get #files(): LayerFiles {
    return this.#place.files
  }

  /** Makes an immutable layer writable, to be merged into; it stays so until {@link endWriting}. */
  async beginWriting(): Promise<WrittenLayer> {
    this.#writers++
    try {
      return await this.#turns.run(() => this.#begin())
    } catch (err) {
      this.#writers--
      throw err
    }
  }

  async #begin(): Promise<WrittenLayer> {
    if (this.#written !== undefined) return this.#written
    const { layersDir, files } = this.#place
    await unsealLayer(layersDir, this.layerId)
    if (this.#readFd === undefined) {
      const fd = await files.open(layerPath(layersDir, this.layerId, 'data'), 'write')
      this.#readFd = this.dataFd // a read may be under way
      this.dataFd = fd
    }
    const live = await beginLiveMap(this.#place, this.layerId, this)
    this.#written = await writtenLayer(this.#place, this.layerId, live, this.dataFd)
    return this.#written
  }

  /** The opposite of {@link beginWriting}, and for a volume's top of having been opened as such. */
  endWriting(): void {
    this.#writers--
  }

  /** Makes what is marked survive power loss; the live map of a layer that nobody writes goes. @throws BlockError */
  async settle(): Promise<void> {
    const before = this.#written
    if (before === undefined) return
    await before.flush()
    if (this.#writers === 0) await this.#turns.run(() => this.#end(before))
  }

  async #end(flushed: WrittenLayer): Promise<void> {
    if (this.#writers > 0 || this.#written !== flushed || !flushed.isFlushed) return
    this.#written = undefined
    await flushed.end()
  }

  /** The layer holds `sizeBytes` from now on, on disk too. @throws BlockError */
  async grow(sizeBytes: number): Promise<void> {
    await this.#written?.grow(sizeBytes)
    this.sizeBytes = sizeBytes
    this.clusterCount = clustersFor(sizeBytes)
  }

  /** Closes the files. What is not flushed stays in the live map. */
  async close(): Promise<void> {
    try {
      await this.#turns.run(async () => {
        const before = this.#written
        this.#written = undefined
        await before?.end()
      })
    } finally {
      await this.#files.close(this.dataFd)
      if (this.#readFd !== undefined) await this.#files.close(this.#readFd)
    }
  }
}

interface StoredParts extends SizedMap {
  readonly dataFd: number
  readonly written?: WrittenLayer
  readonly isTop: boolean
}

/** @throws MalformedPacket for a damaged map, or the file system's error; nothing stays open then */
export async function openStored(
  place: LiveMapPlace,
  spec: LayerSpec,
  role: LayerRole,
): Promise<StoredLayer> {
  const live = await liveMapFor(place, spec, role)
  if (live === undefined) {
    const parts =
      role === 'reader'
        ? await readNewestMap(place, spec)
        : await readDiskMap(place.layersDir, spec, place.files)
    const dataFd = await place.files.open(layerPath(place.layersDir, spec.layerId, 'data'), 'read')
    return new StoredLayer(place, spec.layerId, { ...parts, dataFd, isTop: false })
  }
  return openWritten(place, spec, role === 'top', live)
}

/** A top has a live map always, a parent when the process that wrote it died before a flush. */
async function liveMapFor(
  place: LiveMapPlace,
  spec: LayerSpec,
  role: LayerRole,
): Promise<LiveMap | undefined> {
  if (role === 'reader') return undefined
  const kept = await takeUpLiveMap(place, spec)
  if (kept !== undefined || role === 'parent') return kept
  return beginLiveMap(place, spec.layerId, await readDiskMap(place.layersDir, spec, place.files))
}

async function openWritten(
  place: LiveMapPlace,
  spec: LayerSpec,
  isTop: boolean,
  live: LiveMap,
): Promise<StoredLayer> {
  const layer = await heldWritten(place, spec.layerId, isTop, live)
  if (!isTop || spec.sizeBytes === live.sizeBytes) return layer
  try {
    await layer.grow(spec.sizeBytes)
    return layer
  } catch (err) {
    await layer.close()
    throw err
  }
}

async function heldWritten(
  place: LiveMapPlace,
  layerId: string,
  isTop: boolean,
  live: LiveMap,
): Promise<StoredLayer> {
  const { layersDir, files } = place
  const dataFd = await files
    .open(layerPath(layersDir, layerId, 'data'), 'write')
    .catch(async (err: unknown) => {
      await live.close()
      throw err
    })
  try {
    const written = await writtenLayer(place, layerId, live, dataFd)
    return new StoredLayer(place, layerId, {
      map: live.map,
      sizeBytes: live.sizeBytes,
      dataFd,
      written,
      isTop,
    })
  } catch (err) {
    await files.close(dataFd)
    throw err
  }
}

/** Owns `live` from now on, also when it fails. */
async function writtenLayer(
  place: LiveMapPlace,
  layerId: string,
  live: LiveMap,
  dataFd: number,
): Promise<WrittenLayer> {
  const { layersDir, runDir, files } = place
  try {
    const diskMapFd = await files.open(layerPath(layersDir, layerId, 'map'), 'write')
    return new WrittenLayer(files, { live, dataFd, diskMapFd }, liveMapPath(runDir, layerId))
  } catch (err) {
    await live.close()
    throw err
  }
}

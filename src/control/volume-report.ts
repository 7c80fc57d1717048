import { DaemonError } from '../errors.js'
import type { VolumeRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import type { Images } from './images.js'
import type { TargetClient } from './target-client.js'

/** A part of a volume and whose layer shows it; zeros are nobody's. */
export interface MapExtent {
  readonly offset: number
  readonly length: number
  readonly layer: string | null
  /** `volume NAME`, `snapshot NAME` or `image NAME`. */
  readonly of: string | null
}

/** What the check of a layer's files found. */
export interface LayerFindings {
  /** One sentence each. */
  readonly problems: readonly string[]
  readonly allocatedBytes: number
  readonly heldBytes: number
}

/** What reports need of the other rooms. */
export interface VolumeReportDeps {
  readonly registry: Registry
  readonly images: Pick<Images, 'verify'>
  readonly target: Pick<TargetClient, 'map' | 'status'>
  /** Checks the files of a layer that nobody writes. */
  readonly checkLayer: (layer: { layerId: string; sizeBytes: number }) => Promise<LayerFindings>
}

/** Tells what a volume's disk is made of. */
export class VolumeReport {
  readonly #deps: VolumeReportDeps

  constructor(deps: VolumeReportDeps) {
    this.#deps = deps
  }

  /**
   * Checks the files of every layer of a volume, top first.
   * @throws DaemonError WRONG_STATE while anybody has it open, TARGET_UNAVAILABLE
   */
  async check(volume: VolumeRecord): Promise<{
    is_sound: boolean
    layers: {
      layer: string
      of: string | null
      problems: readonly string[]
      allocated_bytes: number
      held_bytes: number
    }[]
  }> {
    await this.#expectClosed(volume)
    const layers = []
    for (const { id, sizeBytes } of this.#deps.registry.layers.chain(volume.layerId)) {
      const found = await this.#deps.checkLayer({ layerId: id, sizeBytes })
      const { problems, allocatedBytes: allocated_bytes, heldBytes: held_bytes } = found
      layers.push({ layer: id, of: this.#ownerOf(id), problems, allocated_bytes, held_bytes })
    }
    await this.#expectClosed(volume) // a map that was written meanwhile says nothing
    return { is_sound: layers.every(({ problems }) => problems.length === 0), layers }
  }

  /**
   * Which layer shows which part of a volume from `offset` on, a bounded number of extents at once.
   * @throws DaemonError TARGET_UNAVAILABLE, DISK_FAILED
   */
  async map(
    volume: VolumeRecord,
    offset: number,
  ): Promise<{ extents: MapExtent[]; next_offset: number | null }> {
    const { extents, nextOffset } = await this.#deps.target.map(volume.id, offset)
    return {
      extents: extents.map(({ offset: from, length, layerId }) => ({
        offset: from,
        length,
        layer: layerId ?? null,
        of: layerId === undefined ? null : this.#ownerOf(layerId),
      })),
      next_offset: nextOffset ?? null,
    }
  }

  /** Reads the images under a volume again and compares them with their digests. */
  async verify(volume: VolumeRecord): Promise<{
    matches: boolean
    layers: { image: string; damaged_chunks: readonly number[] }[]
  }> {
    const chain = new Set(this.#deps.registry.layers.chain(volume.layerId).map(({ id }) => id))
    const layers = []
    for (const { id, name, layerId } of this.#deps.registry.images.list()) {
      if (layerId === undefined || !chain.has(layerId)) continue
      const { damagedChunks } = await this.#deps.images.verify(id)
      layers.push({ image: name, damaged_chunks: damagedChunks })
    }
    return { matches: layers.every(({ damaged_chunks }) => damaged_chunks.length === 0), layers }
  }

  async #expectClosed(volume: VolumeRecord): Promise<void> {
    const { openVolumes } = await this.#deps.target.status()
    if (openVolumes.includes(volume.id))
      throw new DaemonError('WRONG_STATE', `volume ${volume.name} is in use: stop its server, or detach it`)
  }

  #ownerOf(layerId: string): string | null {
    const { volumes, snapshots, images } = this.#deps.registry
    const volume = volumes.findByLayer(layerId)
    if (volume !== undefined) return `volume ${volume.name}`
    const snapshot = snapshots.findByLayer(layerId)
    if (snapshot !== undefined) return `snapshot ${snapshot.name}`
    const image = images.list().find((each) => each.layerId === layerId)
    return image === undefined ? null : `image ${image.name}`
  }
}

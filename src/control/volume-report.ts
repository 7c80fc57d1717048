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

/** Tells what a volume's disk is made of. */
export class VolumeReport {
  readonly #registry: Registry
  readonly #images: Pick<Images, 'verify'>
  readonly #target: Pick<TargetClient, 'map'>

  constructor(deps: {
    registry: Registry
    images: Pick<Images, 'verify'>
    target: Pick<TargetClient, 'map'>
  }) {
    this.#registry = deps.registry
    this.#images = deps.images
    this.#target = deps.target
  }

  /**
   * Which layer shows which part of a volume from `offset` on, a bounded number of extents at once.
   * @throws DaemonError TARGET_UNAVAILABLE, DISK_FAILED
   */
  async map(
    volume: VolumeRecord,
    offset: number,
  ): Promise<{ extents: MapExtent[]; next_offset: number | null }> {
    const { extents, nextOffset } = await this.#target.map(volume.id, offset)
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
    const chain = new Set(this.#registry.layers.chain(volume.layerId).map(({ id }) => id))
    const layers = []
    for (const { id, name, layerId } of this.#registry.images.list()) {
      if (layerId === undefined || !chain.has(layerId)) continue
      const { damagedChunks } = await this.#images.verify(id)
      layers.push({ image: name, damaged_chunks: damagedChunks })
    }
    return { matches: layers.every(({ damaged_chunks }) => damaged_chunks.length === 0), layers }
  }

  #ownerOf(layerId: string): string | null {
    const { volumes, snapshots, images } = this.#registry
    const volume = volumes.findByLayer(layerId)
    if (volume !== undefined) return `volume ${volume.name}`
    const snapshot = snapshots.findByLayer(layerId)
    if (snapshot !== undefined) return `snapshot ${snapshot.name}`
    const image = images.list().find((each) => each.layerId === layerId)
    return image === undefined ? null : `image ${image.name}`
  }
}

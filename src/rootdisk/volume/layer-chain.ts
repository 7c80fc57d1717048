import type { Extent } from '../block-device.js'
import { CLUSTER_BYTES, CLUSTERS_PER_PAGE, STATE } from './cluster-map.js'
import type { OpenLayer } from './layer.js'

/** No layer has the cluster: it reads as zeros. */
export const NOBODY = -1

/** Who has a cluster: layers from the top (0) to the bottom. */
export class LayerChain<Layer extends OpenLayer = OpenLayer> {
  readonly layers: readonly Layer[]

  constructor(layers: readonly Layer[]) {
    this.layers = layers
  }

  /** Index of the layer whose bytes cluster `n` shows, or {@link NOBODY}. A parent is zeros beyond its end. */
  ownerOf(n: number): number {
    const layers = this.layers
    for (let i = 0; i < layers.length; i++) {
      const layer = layers[i]
      if (layer === undefined || n >= layer.clusterCount) return NOBODY
      const state = layer.map.get(n)
      if (state === STATE.here) return i
      if (state === STATE.zero) return NOBODY
    }
    return NOBODY
  }

  /** First cluster after `n`, at most `last + 1`, that has another owner than `owner`. */
  runEnd(n: number, last: number, owner: number): number {
    let at = n + 1
    if (owner === NOBODY && this.#isEmptyPage(n)) at = pageEnd(n) // 64 MiB that nobody ever wrote
    while (at <= last) {
      if (at % CLUSTERS_PER_PAGE === 0 && owner === NOBODY && this.#isEmptyPage(at)) at = pageEnd(at)
      else if (this.ownerOf(at) === owner) at++
      else break
    }
    return Math.min(at, last + 1)
  }

  /** Extents that cover `offset..offset + length`, adjacent ones of one kind merged. */
  extents(offset: number, length: number): Extent[] {
    const end = offset + length
    const last = Math.ceil(end / CLUSTER_BYTES) - 1
    const extents: Extent[] = []
    for (let at = offset; at < end;) {
      const n = Math.floor(at / CLUSTER_BYTES)
      const kind = this.ownerOf(n) === NOBODY ? 'zero' : 'data'
      const to = Math.min(this.#kindEnd(n, last, kind) * CLUSTER_BYTES, end)
      extents.push({ offset: at, length: to - at, kind })
      at = to
    }
    return extents
  }

  #kindEnd(n: number, last: number, kind: Extent['kind']): number {
    let at = n
    while (at <= last) {
      const owner = this.ownerOf(at)
      if ((owner === NOBODY) !== (kind === 'zero')) break
      at = this.runEnd(at, last, owner)
    }
    return at
  }

  #isEmptyPage(n: number): boolean {
    const pageNo = Math.floor(n / CLUSTERS_PER_PAGE)
    return this.layers.every((layer) => layer.map.page(pageNo) === undefined)
  }
}

function pageEnd(n: number): number {
  return (Math.floor(n / CLUSTERS_PER_PAGE) + 1) * CLUSTERS_PER_PAGE
}

import { blockFailure } from './block-failure.js'
import { CLUSTER_BYTES } from './cluster-map.js'
import type { GoldenCache } from './golden-cache.js'
import { InFlight } from './in-flight.js'
import { LayerChain } from './layer-chain.js'
import type { LayerFiles } from './layer-files.js'
import type { OpenLayer } from './layer.js'

/** Reads what a chain of layers shows. Needs no lock: a cluster's bytes are there before the map names them. */
export class ChainReader<Layer extends OpenLayer = OpenLayer> {
  readonly chain: LayerChain<Layer>
  /** Reads under way: the files of these layers stay open until they ended. */
  readonly inFlight = new InFlight()
  readonly #files: LayerFiles
  readonly #cache: GoldenCache | undefined
  readonly #isTopOurs: boolean

  /**
   * @param cache for the content of the layers
   * @param isTopOurs nobody else writes the top layer, and the cache is told of our writes
   */
  constructor(files: LayerFiles, layers: readonly Layer[], cache?: GoldenCache, isTopOurs = false) {
    this.#isTopOurs = isTopOurs
    this.chain = new LayerChain(layers)
    this.#files = files
    this.#cache = cache
  }

  /** See `BlockDevice.read`. */
  read(offset: number, into: Uint8Array): undefined | Promise<void> {
    if (into.length === 0) return undefined
    const first = Math.floor(offset / CLUSTER_BYTES)
    const last = Math.floor((offset + into.length - 1) / CLUSTER_BYTES)
    const owner = this.chain.ownerOf(first)
    const end = first === last ? last + 1 : this.chain.runEnd(first, last, owner)
    if (end > last) return this.#readRun(owner, offset, into)
    return this.#readRuns(offset, into)
  }

  #readRun(owner: number, offset: number, into: Uint8Array): undefined | Promise<void> {
    const layer = this.chain.layers[owner]
    if (layer === undefined) {
      into.fill(0)
      return undefined
    }
    const cache = this.#cache
    if (cache !== undefined && (owner > 0 || this.#isTopCached(cache, layer, offset, into.length))) {
      return this.#readCached(cache, layer, offset, into)
    }
    this.inFlight.begin()
    return new Promise((resolve, reject) => {
      this.#files.read(layer.dataFd, into, offset, (err) => {
        this.inFlight.end()
        if (err === null) resolve()
        else reject(blockFailure(`read at byte ${offset}`, err))
      })
    })
  }

  #isTopCached(cache: GoldenCache, layer: OpenLayer, offset: number, length: number): boolean {
    return this.#isTopOurs && cache.isWorthIt(layer.layerId, offset, length)
  }

  #readCached(
    cache: GoldenCache,
    layer: OpenLayer,
    offset: number,
    into: Uint8Array,
  ): undefined | Promise<void> {
    const missing = cache.read(this.#files, layer, offset, into)
    if (missing === undefined) return undefined
    this.inFlight.begin()
    return missing.then(
      () => this.inFlight.end(),
      (err: unknown) => {
        this.inFlight.end()
        throw blockFailure(`read at byte ${offset}`, err)
      },
    )
  }

  #readRuns(offset: number, into: Uint8Array): undefined | Promise<void> {
    const last = Math.floor((offset + into.length - 1) / CLUSTER_BYTES)
    const parts: Promise<void>[] = []
    for (let at = 0; at < into.length;) {
      const n = Math.floor((offset + at) / CLUSTER_BYTES)
      const owner = this.chain.ownerOf(n)
      const to = Math.min(this.chain.runEnd(n, last, owner) * CLUSTER_BYTES - offset, into.length)
      const part = this.#readRun(owner, offset + at, into.subarray(at, to))
      if (part !== undefined) parts.push(part)
      at = to
    }
    if (parts.length === 0) return undefined
    // All of them, also after a failure: the buffer is ours until the last one ended.
    return Promise.allSettled(parts).then(() => Promise.all(parts).then(ignore))
  }
}

function ignore(): void {
  // turns Promise<void[]> into Promise<void>
}

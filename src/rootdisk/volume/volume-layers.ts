import { ChainReader } from './chain-reader.js'
import type { LayerStore } from './layer-store.js'
import { RangeLocks } from './range-locks.js'
import type { StoredLayer } from './stored-layer.js'

/**
 * The layers of an open volume: the one place where they change.
 * Writes hold range locks; reads hold none, and end on the layers that they began with.
 */
export class VolumeLayers {
  readonly store: LayerStore
  readonly locks = new RangeLocks()
  #reader: ChainReader<StoredLayer>
  #top: StoredLayer

  /** @param layers top first, all of them open; owned from now on */
  constructor(store: LayerStore, layers: readonly StoredLayer[]) {
    this.store = store
    this.#top = topOf(layers)
    this.#reader = new ChainReader(store.files, layers, store.cache, !store.isReadOnly)
  }

  get reader(): ChainReader<StoredLayer> {
    return this.#reader
  }

  get top(): StoredLayer {
    return this.#top
  }

  /** Top first. */
  get all(): readonly StoredLayer[] {
    return this.#reader.chain.layers
  }

  /** Done when no write is under way; those that come later wait for `work`. */
  whenUnwritten<T>(work: () => T | Promise<T>): Promise<T> {
    return this.locks.hold(0, Infinity, work)
  }

  /** Goes on with other layers; done when nothing reads the earlier ones any more. To be called when unwritten. */
  replace(layers: readonly StoredLayer[]): Promise<void> {
    const before = this.#reader
    this.#top = topOf(layers)
    this.#reader = new ChainReader(this.store.files, layers, this.store.cache, !this.store.isReadOnly)
    return before.inFlight.idle()
  }

  /** Everything acknowledged before the call survives power loss, whichever layer it is in. @throws BlockError */
  flush(): undefined | Promise<void> {
    const top = this.#top
    for (const layer of this.all) {
      if (layer !== top && layer.written !== undefined) return settleAll(this.all)
    }
    return top.written?.flush()
  }
}

/** From the bottom up, as they were written. */
async function settleAll(layers: readonly StoredLayer[]): Promise<void> {
  for (const layer of [...layers].reverse()) await layer.settle()
}

function topOf(layers: readonly StoredLayer[]): StoredLayer {
  const [top] = layers
  if (top === undefined) throw new Error('a volume needs at least one layer')
  return top
}

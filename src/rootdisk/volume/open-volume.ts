import type { LayerSpec } from './layer.js'
import { LayerStore, type LayerStoreOptions } from './layer-store.js'
import type { StoredLayer } from './stored-layer.js'
import { VolumeLayers } from './volume-layers.js'
import { Volume } from './volume.js'

/** How a volume is opened. */
export interface OpenVolumeOptions extends LayerStoreOptions {
  /** Top layer first; its size is the volume's: a top layer on disk that is smaller grows. */
  readonly chain: readonly LayerSpec[]
}

/**
 * Opens a chain of layers as a block device of its own. A writable layer may be open once.
 * What a killed process acknowledged in this boot of the host is there; so is what was flushed in any.
 * @throws MalformedPacket for a damaged map, or the file system's error; nothing stays open then
 */
export function openVolume(options: OpenVolumeOptions): Promise<Volume> {
  return openShared(new LayerStore(options), options.chain)
}

/** The same, sharing what is open in a store already. */
export async function openShared(store: LayerStore, chain: readonly LayerSpec[]): Promise<Volume> {
  const layers: StoredLayer[] = []
  try {
    for (const spec of chain) {
      const isTop = layers.length === 0 && !store.isReadOnly
      layers.push(isTop ? await store.openTop(spec) : await store.openParent(spec))
    }
    return new Volume(new VolumeLayers(store, layers))
  } catch (err) {
    for (const layer of layers) await store.release(layer)
    throw err
  }
}

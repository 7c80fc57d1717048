import { clustersFor } from './cluster-map.js'
import type { GoldenCache } from './golden-cache.js'
import { nodeLayerFiles, type LayerFiles, type OpenMode } from './layer-files.js'
import { LayerChain } from './layer-chain.js'
import { layerPath, liveMapPath, type LayerDirs, type LayerSpec, type OpenLayer } from './layer.js'
import { openLiveMap, readNewestMap } from './live-map.js'
import { Volume } from './volume.js'

/** How a volume is opened. */
export interface OpenVolumeOptions extends LayerDirs {
  /** `/proc/sys/kernel/random/boot_id`: a live map of another boot is worth nothing. */
  readonly bootId: string
  /** Top layer first; its size is the volume's. */
  readonly chain: readonly LayerSpec[]
  /** A read-only volume leaves every file as it is. */
  readonly isReadOnly: boolean
  readonly files?: LayerFiles | undefined
  /** Content of parents is read through it; one for all volumes of a process. Parents must be immutable then. */
  readonly cache?: GoldenCache | undefined
}

/**
 * Opens a chain of layers as a block device. A writable layer may be open once.
 * What a killed process acknowledged in this boot of the host is there; so is what was flushed in any.
 * @throws MalformedPacket for a damaged map, or the file system's error; nothing stays open then
 */
export async function openVolume(options: OpenVolumeOptions): Promise<Volume> {
  const undo: (() => Promise<void>)[] = []
  try {
    return await openParts(options, undo)
  } catch (err) {
    for (const close of undo) await close()
    throw err
  }
}

async function openParts(options: OpenVolumeOptions, undo: (() => Promise<void>)[]): Promise<Volume> {
  const files = options.files ?? nodeLayerFiles
  const top = options.chain[0]
  if (top === undefined) throw new Error('a volume needs at least one layer')
  const live = options.isReadOnly ? undefined : await openLiveMap(options, top, options.bootId, files)
  if (live !== undefined) undo.push(() => live.close())
  const openFile = async (layer: LayerSpec, file: 'data' | 'map', mode: OpenMode): Promise<number> => {
    const fd = await files.open(layerPath(options.layersDir, layer.layerId, file), mode)
    undo.push(() => files.close(fd))
    return fd
  }
  const layers: OpenLayer[] = []
  for (const layer of options.chain) {
    const isWritten = layer === top && live !== undefined
    const map = isWritten ? live.map : await readNewestMap(options, layer, options.bootId, files)
    const dataFd = await openFile(layer, 'data', isWritten ? 'write' : 'read')
    layers.push({ ...layer, clusterCount: clustersFor(layer.sizeBytes), dataFd, map })
  }
  if (live === undefined) return new Volume(files, new LayerChain(layers), undefined, options.cache)
  const diskMapFd = await openFile(top, 'map', 'write')
  const forgetLiveMap = (): Promise<void> => files.remove(liveMapPath(options.runDir, top.layerId))
  return new Volume(files, new LayerChain(layers), { live, diskMapFd, forgetLiveMap }, options.cache)
}

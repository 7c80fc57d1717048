import { chunkSha256, CHUNK_BYTES, eachChunk, isZero, mapSha256, type ChunkWork } from './chunk-digest.js'
import { nodeLayerFiles, type LayerFiles } from './layer-files.js'
import { layerPath, readDiskMap, type LayerDirs, type LayerSpec } from './layer.js'
import { manifestOf, readManifest, writeManifest, type Manifest } from './manifest.js'
import { openVolume } from './open-volume.js'
import type { Volume } from './volume.js'

/** Where and what to seal or verify. */
export interface SealOptions extends LayerDirs, ChunkWork {
  readonly bootId: string
  readonly layer: LayerSpec
  readonly files?: LayerFiles
}

/** What {@link verifyLayer} found. */
export interface VerifyResult {
  readonly isIntact: boolean
  /** Numbers of the 4 MiB chunks whose bytes are not what was sealed. */
  readonly damagedChunks: readonly number[]
  readonly isMapIntact: boolean
}

/**
 * Makes a layer immutable: all of it on disk, a manifest beside it, no file writable. The volume on it must be closed.
 * A layer sealed before keeps its manifest.
 */
export async function sealLayer(options: SealOptions): Promise<Manifest> {
  const { layersDir, layer, files = nodeLayerFiles } = options
  const sealed = await readManifest(layersDir, layer.layerId)
  if (sealed !== undefined) return sealed
  await (await openAlone(options, false)).close() // what a killed process left is flushed, the live map goes
  const digests = await digestLayer(options)
  const manifest = manifestOf(layer, (await readDiskMap(layersDir, layer, files)).map, digests)
  const directory = layerPath(layersDir, layer.layerId, '')
  await writeManifest(directory, manifest)
  await files.syncDirectory(directory)
  return manifest
}

/** Reads a sealed layer again and compares it with its manifest. @throws Error when it has none */
export async function verifyLayer(options: SealOptions): Promise<VerifyResult> {
  const { layersDir, layer, files = nodeLayerFiles } = options
  const manifest = await readManifest(layersDir, layer.layerId)
  if (manifest === undefined) throw new Error(`layer ${layer.layerId} has no manifest`)
  const { map } = await readDiskMap(layersDir, layer, files)
  const isMapIntact = mapSha256(map) === manifest.mapSha256
  const digests = await digestLayer(options)
  const wanted = new Map(Object.entries(manifest.chunks).map(([index, sha256]) => [Number(index), sha256]))
  const damagedChunks = [...new Set([...digests.keys(), ...wanted.keys()])]
    .filter((index) => digests.get(index) !== wanted.get(index))
    .sort((a, b) => a - b)
  return { isIntact: isMapIntact && damagedChunks.length === 0, damagedChunks, isMapIntact }
}

/** Digests of the chunks that are not all zeros. */
async function digestLayer(options: SealOptions): Promise<Map<number, string>> {
  const digests = new Map<number, string>()
  const volume = await openAlone(options, true)
  try {
    await eachChunk(volume.sizeBytes, options, (index, buffer) => {
      const at = index * CHUNK_BYTES
      const [only] = volume.extents(at, buffer.length)
      if (only?.kind === 'zero' && only.length === buffer.length) return undefined
      return digestChunk(volume, index, buffer, digests)
    })
  } finally {
    await volume.close()
  }
  return digests
}

async function digestChunk(
  volume: Volume,
  index: number,
  buffer: Uint8Array,
  digests: Map<number, string>,
): Promise<void> {
  await volume.read(index * CHUNK_BYTES, buffer)
  if (!isZero(buffer)) digests.set(index, await chunkSha256(buffer))
}

/** The layer without its parents: what they have reads as zeros. */
function openAlone(options: SealOptions, isReadOnly: boolean): Promise<Volume> {
  const { layersDir, runDir, bootId, layer, files = nodeLayerFiles } = options
  return openVolume({ layersDir, runDir, bootId, chain: [layer], isReadOnly, files })
}

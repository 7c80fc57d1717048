import { access, chmod, open, readFile, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../../errors.js'
import { CHUNK_BYTES, diskSha256, mapSha256 } from './chunk-digest.js'
import { CLUSTER_BYTES, type ClusterMap } from './cluster-map.js'
import { nodeLayerFiles } from './layer-files.js'
import { layerPath, type LayerSpec } from './layer.js'

/** What a sealed layer is known to hold; `manifest.json` in its directory. */
export interface Manifest extends LayerSpec {
  readonly version: 1
  readonly clusterBytes: number
  readonly chunkBytes: number
  /** Bytes in clusters of this layer itself. */
  readonly allocatedBytes: number
  /** SHA-256 of chunk digests, see `diskSha256`; clusters that are not in this layer count as zeros. */
  readonly sha256: string
  /** Digest of the map, see `mapSha256`. */
  readonly mapSha256: string
  /** SHA-256 of each 4 MiB chunk that is not all zeros, by chunk number. */
  readonly chunks: Readonly<Record<string, string>>
}

/** The manifest of a layer with this map and these chunk digests. */
export function manifestOf(
  layer: LayerSpec,
  map: ClusterMap,
  digests: ReadonlyMap<number, string>,
): Manifest {
  const chunks = [...digests].sort(([a], [b]) => a - b)
  return {
    version: 1,
    layerId: layer.layerId,
    sizeBytes: layer.sizeBytes,
    clusterBytes: CLUSTER_BYTES,
    chunkBytes: CHUNK_BYTES,
    allocatedBytes: map.countHere() * CLUSTER_BYTES,
    sha256: diskSha256(layer.sizeBytes, digests),
    mapSha256: mapSha256(map),
    chunks: Object.fromEntries(chunks),
  }
}

/** Writes the manifest into a layer's directory and takes the write permission from its files. */
export async function writeManifest(directory: string, manifest: Manifest): Promise<void> {
  const path = join(directory, 'manifest.json')
  const handle = await open(`${path}.new`, 'w', 0o444)
  try {
    await handle.writeFile(`${JSON.stringify(manifest, undefined, 1)}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(`${path}.new`, path)
  for (const file of ['data', 'map']) await chmod(join(directory, file), 0o444)
}

/**
 * Takes the seal from a layer whose clusters are about to change, if it has one: the files may be written again,
 * then the manifest goes.
 */
export async function unsealLayer(layersDir: string, layerId: string): Promise<void> {
  const directory = layerPath(layersDir, layerId, '')
  const manifest = join(directory, 'manifest.json')
  try {
    await access(manifest)
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return
    throw err
  }
  for (const file of ['data', 'map']) await chmod(join(directory, file), 0o600)
  await unlink(manifest)
  await nodeLayerFiles.syncDirectory(directory)
}

/** The manifest of a layer; undefined when it is not sealed. @throws Error when it is not one of ours */
export async function readManifest(layersDir: string, layerId: string): Promise<Manifest | undefined> {
  const path = layerPath(layersDir, layerId, 'manifest.json')
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return undefined
    throw err
  }
  const value: unknown = JSON.parse(text)
  if (!isManifest(value)) throw new Error(`${path} is not a version 1 manifest`)
  return value
}

function isManifest(value: unknown): value is Manifest {
  if (typeof value !== 'object' || value === null) return false
  const expected = {
    version: 'number',
    sizeBytes: 'number',
    sha256: 'string',
    mapSha256: 'string',
    chunks: 'object',
  }
  const fields = new Map<string, unknown>(Object.entries(value))
  return (
    fields.get('version') === 1 &&
    Object.entries(expected).every(([key, type]) => typeof fields.get(key) === type)
  )
}

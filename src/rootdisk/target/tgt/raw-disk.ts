import { createHash } from 'node:crypto'
import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { systemCode } from '../../../errors.js'
import { CHUNK_BYTES, dataRuns } from '../../volume/chunk-digest.js'
import { nodeLayerFiles, settled } from '../../volume/layer-files.js'
import { layerPath, type LayerDirs, type LayerSpec } from '../../volume/layer.js'
import { openVolume } from '../../volume/open-volume.js'
import type { Volume } from '../../volume/volume.js'

// What tgtd serves lies beside the layer's own files, so that it goes when the layer goes:
// `raw`, the volume's bytes from then on, and `seed-HASH`, a seed disk named by its content.

/** Where a volume's layers are. */
export interface RawDiskOptions extends LayerDirs {
  readonly bootId: string
  /** Top layer first; its directory holds the raw file. */
  readonly chain: readonly LayerSpec[]
}

/** Path of the raw file that a layer's directory may hold. */
export function rawPath(layersDir: string, layerId: string): string {
  return join(layerPath(layersDir, layerId, ''), 'raw')
}

/** Whether a layer's content has gone over to a raw file. */
export async function hasRawDisk(layersDir: string, layerId: string): Promise<boolean> {
  try {
    await stat(rawPath(layersDir, layerId))
    return true
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return false
    throw err
  }
}

/**
 * The raw file of a volume, made of its layers the first time: it appears whole and synced, or not at all.
 * Nobody may write the volume meanwhile. Its layers are never read again.
 * @throws Error when a layer below has a raw file, since the layer's own data is an old state then
 */
export async function rawDisk(options: RawDiskOptions): Promise<string> {
  const { layersDir, chain } = options
  const [top, ...parents] = chain
  if (top === undefined) throw new Error('the volume has no layers')
  const path = rawPath(layersDir, top.layerId)
  if (await hasRawDisk(layersDir, top.layerId)) return path
  for (const { layerId } of parents) {
    if (await hasRawDisk(layersDir, layerId))
      throw new Error(`layer ${layerId} is a raw file: nothing can stand on it`)
  }
  const volume = await openVolume({ ...options, isReadOnly: true })
  try {
    await putFile(path, (fd) => copyVolume(volume, fd))
  } finally {
    await volume.close()
  }
  return path
}

/** Writes a seed disk beside a layer's files. The path changes when the content does. */
export async function seedDisk(layersDir: string, layerId: string, content: Uint8Array): Promise<string> {
  const name = `seed-${createHash('sha256').update(content).digest('hex').slice(0, 16)}`
  const path = join(layerPath(layersDir, layerId, ''), name)
  const isThere = (await seedsOf(dirname(path))).includes(name)
  if (!isThere) await putFile(path, (fd) => settled((done) => nodeLayerFiles.write(fd, content, 0, done)))
  return path
}

/** Removes the seed disks beside `path`, which nobody reads any more. */
export async function forgetOtherSeeds(path: string): Promise<void> {
  const directory = dirname(path)
  const others = (await seedsOf(directory)).filter((name) => name !== basename(path))
  for (const name of others) await rm(join(directory, name), { force: true })
}

async function seedsOf(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => /^seed-[0-9a-f]+$/.test(name))
}

/** A file that appears whole, on disk, or not at all. */
async function putFile(path: string, fill: (fd: number) => Promise<void>): Promise<void> {
  const staging = `${path}.new`
  await rm(staging, { force: true }) // a daemon died here
  try {
    const handle = await open(staging, 'wx', 0o600)
    try {
      await fill(handle.fd)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(staging, path)
  } catch (err) {
    await rm(staging, { force: true })
    throw err
  }
  await nodeLayerFiles.syncDirectory(dirname(path))
}

/** Holes stay holes: zeros are not written. */
async function copyVolume(volume: Volume, fd: number): Promise<void> {
  const { sizeBytes } = volume
  await nodeLayerFiles.truncate(fd, sizeBytes)
  const chunk = Buffer.alloc(CHUNK_BYTES)
  for (const extent of volume.extents(0, sizeBytes)) {
    if (extent.kind === 'zero') continue
    const end = extent.offset + extent.length
    for (let at = extent.offset; at < end; at += chunk.length) {
      await copyPart(volume, fd, at, chunk.subarray(0, Math.min(chunk.length, end - at)))
    }
  }
}

async function copyPart(volume: Volume, fd: number, at: number, bytes: Uint8Array): Promise<void> {
  await volume.read(at, bytes)
  for (const { from, to } of dataRuns(bytes)) {
    await settled((done) => nodeLayerFiles.write(fd, bytes.subarray(from, to), at + from, done))
  }
}

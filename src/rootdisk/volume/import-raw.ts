import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { chunkSha256, CHUNK_BYTES, dataRuns, eachChunk, isZero, type ChunkWork } from './chunk-digest.js'
import { CLUSTER_BYTES, ClusterMap, STATE } from './cluster-map.js'
import { nodeLayerFiles, settled, type LayerFiles } from './layer-files.js'
import { publishLayer, stageLayer, type LayerSpec, type SizedMap } from './layer.js'
import { encodeMapHeader, mapPageAt, UsedGroups } from './map-file.js'
import { manifestOf, writeManifest, type Manifest } from './manifest.js'

/** A raw disk image to make a layer of. */
export interface ImportRawOptions extends LayerSpec, ChunkWork {
  readonly layersDir: string
  /** A raw file or block device; bytes beyond its end are zeros. */
  readonly sourcePath: string
  /** Where the source may have bytes that are not zeros, in order (`qemu-img map`); the rest is not read. */
  readonly extents?: readonly { readonly offset: number; readonly length: number }[] | undefined
  readonly files?: LayerFiles | undefined
}

interface Import {
  readonly files: LayerFiles
  readonly sourceFd: number
  readonly sourceBytes: number
  readonly dataFd: number
  readonly map: ClusterMap
  readonly digests: Map<number, string>
}

/**
 * Makes a sealed layer with the content of a raw disk. Clusters of zeros are left out. The layer appears
 * whole, on disk and with its manifest, or not at all.
 * @returns the manifest; its `sha256` is the SHA-256 of chunk digests that `diskSha256` describes
 * @throws the file system's error (ENOSPC), or the signal's reason
 */
export async function importRaw(options: ImportRawOptions): Promise<Manifest> {
  const files = options.files ?? nodeLayerFiles
  const { layersDir, layerId, sizeBytes } = options
  const staging = await stageLayer(layersDir, { layerId, sizeBytes }, files)
  try {
    const manifest = await fillLayer(options, staging, files)
    await writeManifest(staging, manifest)
    await files.syncDirectory(staging)
    await publishLayer(layersDir, layerId, staging, files)
    return manifest
  } catch (err) {
    await rm(staging, { recursive: true, force: true })
    throw err
  }
}

async function fillLayer(options: ImportRawOptions, staging: string, files: LayerFiles): Promise<Manifest> {
  const { layerId, sizeBytes, sourcePath } = options
  const sourceBytes = await sourceLength(sourcePath, sizeBytes)
  const map = new ClusterMap()
  const digests = new Map<number, string>()
  const opened: number[] = []
  try {
    const sourceFd = await files.open(sourcePath, 'read')
    opened.push(sourceFd)
    const dataFd = await files.open(join(staging, 'data'), 'write')
    opened.push(dataFd)
    const job: Import = { files, sourceFd, sourceBytes, dataFd, map, digests }
    const mayHaveData = extentFilter(options.extents)
    await eachChunk(sizeBytes, options, (index, buffer) =>
      mayHaveData(index * CHUNK_BYTES, buffer.length) ? importChunk(job, index, buffer) : undefined,
    )
    await settled((done) => files.sync(dataFd, done))
  } finally {
    for (const fd of opened) await files.close(fd)
  }
  await writeMap(files, join(staging, 'map'), { map, sizeBytes })
  return manifestOf({ layerId, sizeBytes }, map, digests)
}

async function importChunk(job: Import, index: number, buffer: Uint8Array): Promise<void> {
  const at = index * CHUNK_BYTES
  const there = Math.max(0, Math.min(buffer.length, job.sourceBytes - at))
  buffer.fill(0, there)
  await settled((done) => job.files.read(job.sourceFd, buffer.subarray(0, there), at, done))
  if (isZero(buffer)) return
  const [sha256] = await Promise.all([chunkSha256(buffer), writeRuns(job, at, buffer)])
  job.digests.set(index, sha256)
}

async function writeRuns(job: Import, at: number, buffer: Uint8Array): Promise<void> {
  for (const { from, to } of dataRuns(buffer)) {
    await settled((done) => job.files.write(job.dataFd, buffer.subarray(from, to), at + from, done))
    const first = (at + from) / CLUSTER_BYTES
    job.map.mark(first, Math.ceil((at + to) / CLUSTER_BYTES) - 1, STATE.here)
  }
}

async function writeMap(files: LayerFiles, path: string, { map, sizeBytes }: SizedMap): Promise<void> {
  const fd = await files.open(path, 'write')
  try {
    const header = encodeMapHeader({ sizeBytes, bootId: '', usedGroups: UsedGroups.of(map) })
    await settled((done) => files.write(fd, header, 0, done))
    for (const pageNo of map.pageNumbers()) {
      const page = map.page(pageNo)
      if (page !== undefined) await settled((done) => files.write(fd, page, mapPageAt(pageNo), done))
    }
    await settled((done) => files.sync(fd, done))
  } finally {
    await files.close(fd)
  }
}

/** Bytes of the source that are the disk's. @throws Error when the source has more than the layer can hold */
async function sourceLength(path: string, sizeBytes: number): Promise<number> {
  const stats = await stat(path)
  if (!stats.isFile()) return sizeBytes // a block device does not say its size here
  if (stats.size > sizeBytes) throw new Error(`${path} has ${stats.size} bytes, more than ${sizeBytes}`)
  return stats.size
}

/** Whether a range may have data, asked with growing offsets. */
function extentFilter(extents: ImportRawOptions['extents']): (at: number, length: number) => boolean {
  if (extents === undefined) return () => true
  let next = 0
  return (at, length) => {
    for (let extent = extents[next]; extent !== undefined; extent = extents[++next]) {
      if (extent.offset + extent.length > at) return extent.offset < at + length
    }
    return false
  }
}

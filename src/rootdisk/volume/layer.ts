import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../../errors.js'
import { CLUSTER_BYTES, clustersFor, type ClusterMap } from './cluster-map.js'
import { nodeLayerFiles, settled, type LayerFiles } from './layer-files.js'
import { encodeMapHeader, mapFileBytes, readMapHeader, readMapPages, UsedGroups } from './map-file.js'

/** Where layers are: `layersDir` on a disk, `runDir` on tmpfs (it holds the live maps). */
export interface LayerDirs {
  readonly layersDir: string
  readonly runDir: string
}

/** One layer of a chain. */
export interface LayerSpec {
  readonly layerId: string
  readonly sizeBytes: number
}

/** A layer whose files are open; closed by whoever opened it. */
export interface OpenLayer extends LayerSpec {
  readonly clusterCount: number
  /** Descriptor of the data file. */
  readonly dataFd: number
  readonly map: ClusterMap
}

/** Path of a layer's file. */
export function layerPath(
  layersDir: string,
  layerId: string,
  file: 'data' | 'map' | 'manifest.json' | '',
): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(layerId)) throw new Error(`layer id ${layerId} is not a plain name`)
  return join(layersDir, layerId, file)
}

/** Path of a layer's live map. */
export function liveMapPath(runDir: string, layerId: string): string {
  return join(runDir, `${layerId}.map`)
}

/**
 * Makes an empty writable layer: two sparse files, 4 KiB written whatever the size.
 * It appears whole or not at all, and survives power loss when done.
 * The parent's id is the registry's business; the files do not name it.
 */
export async function createLayer(
  dirs: Pick<LayerDirs, 'layersDir'>,
  layer: LayerSpec,
  files: LayerFiles = nodeLayerFiles,
): Promise<void> {
  const staging = await stageLayer(dirs.layersDir, layer, files)
  await publishLayer(dirs.layersDir, layer.layerId, staging, files)
}

/** Makes the files of an empty layer under a name that nobody opens; gives the directory's path. */
export async function stageLayer(layersDir: string, layer: LayerSpec, files: LayerFiles): Promise<string> {
  const staging = join(layersDir, `.new-${layer.layerId}`)
  await rm(staging, { recursive: true, force: true }) // a daemon died here
  await mkdir(staging, { recursive: true, mode: 0o700 })
  const header = encodeMapHeader({
    sizeBytes: layer.sizeBytes,
    bootId: '',
    usedGroups: new UsedGroups(),
  })
  const dataFd = await files.open(join(staging, 'data'), 'create')
  const mapFd = await files.open(join(staging, 'map'), 'create').catch(async (err: unknown) => {
    await files.close(dataFd)
    throw err
  })
  // all at once: a file system commits its journal for all of them together
  await allDone([
    fillFile(files, dataFd, clustersFor(layer.sizeBytes) * CLUSTER_BYTES),
    fillFile(files, mapFd, mapFileBytes(layer.sizeBytes), header),
    files.syncDirectory(staging),
  ])
  return staging
}

/** Gives a staged layer its name. */
export async function publishLayer(
  layersDir: string,
  layerId: string,
  staging: string,
  files: LayerFiles,
): Promise<void> {
  await rename(staging, layerPath(layersDir, layerId, ''))
  await files.syncDirectory(layersDir)
}

/** Removes a layer and its live map; no error when it is gone already. Nothing may have it open or depend on it. */
export async function deleteLayer(
  dirs: LayerDirs,
  layerId: string,
  files: LayerFiles = nodeLayerFiles,
): Promise<void> {
  const doomed = join(dirs.layersDir, `.gone-${layerId}`)
  await rm(doomed, { recursive: true, force: true })
  await rename(layerPath(dirs.layersDir, layerId, ''), doomed).catch(ignoreMissing)
  await rm(doomed, { recursive: true, force: true })
  await files.remove(liveMapPath(dirs.runDir, layerId))
}

/** A map and the size that its header names. */
export interface SizedMap {
  readonly map: ClusterMap
  readonly sizeBytes: number
}

/** The map that a layer has on disk; smaller than wished when a daemon died before it grew the layer. */
export async function readDiskMap(layersDir: string, layer: LayerSpec, files: LayerFiles): Promise<SizedMap> {
  const mapFd = await files.open(layerPath(layersDir, layer.layerId, 'map'), 'read')
  try {
    const header = await readMapHeader(files, mapFd)
    const { sizeBytes } = header
    if (sizeBytes > layer.sizeBytes) {
      throw new Error(`layer ${layer.layerId} has ${sizeBytes} bytes, not ${layer.sizeBytes}`)
    }
    return { map: await readMapPages(files, mapFd, header), sizeBytes }
  } finally {
    await files.close(mapFd)
  }
}

/** Closes it too. */
async function fillFile(
  files: LayerFiles,
  fd: number,
  sizeBytes: number,
  header?: Uint8Array,
): Promise<void> {
  try {
    await files.truncate(fd, sizeBytes)
    if (header !== undefined) await settled((done) => files.write(fd, header, 0, done))
    await settled((done) => files.sync(fd, done))
  } finally {
    await files.close(fd)
  }
}

/** Like Promise.all, but nothing is under way any more when it fails. */
async function allDone(parts: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(parts)
  await Promise.all(parts)
}

function ignoreMissing(err: unknown): void {
  if (systemCode(err) !== 'ENOENT') throw err
}

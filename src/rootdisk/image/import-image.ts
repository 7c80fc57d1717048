import path from 'node:path'
import { importRaw } from '../volume/import-raw.js'
import type { ImageFormat } from './format.js'
import { dataRanges } from './qemu-img.js'
import { withRawDisk, type ImportLimits, type RawDisk } from './image-file.js'

/** A disk image file to make a golden layer of. */
export interface ImportImageOptions {
  /** A regular file, raw or qcow2; opened once, so that what was checked is what is read. */
  readonly sourcePath: string
  readonly layersDir: string
  readonly layerId: string
  readonly limits: ImportLimits
  /** Called with 0..1. */
  readonly onProgress?: ((fraction: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** What was imported. */
export interface ImportedImage {
  /** Size of the disk. */
  readonly sizeBytes: number
  /** The layer's digest as its manifest has it (SHA-256 over chunk digests), hex. */
  readonly sha256: string
  readonly format: ImageFormat
}

/**
 * Makes a sealed layer of an image file that nobody vouches for. Whole, or not at all: a failure leaves nothing.
 * @throws DaemonError IMAGE_REFUSED with the reason, NOT_FOUND, DISK_FULL, TIMED_OUT; the signal's reason
 */
export function importImage(options: ImportImageOptions): Promise<ImportedImage> {
  const { layersDir, layerId, onProgress = ignore } = options
  // Beside the layers, so that it is on their disk; one name for each layer, so that a dead daemon's is found.
  const unpackedPath = path.join(layersDir, `.convert-${layerId}`)
  const onUnpacked = (fraction: number): void => onProgress(fraction / 2)
  return withRawDisk({ ...options, unpackedPath, onProgress: onUnpacked }, (disk) => makeLayer(disk, options))
}

async function makeLayer(
  { source, sizeBytes, format }: RawDisk,
  options: ImportImageOptions,
): Promise<ImportedImage> {
  const { layersDir, layerId, signal, onProgress = ignore } = options
  const before = format === 'qcow2' ? 0.5 : 0 // unpacking was half the work
  const extents = await dataRanges(source)
  const onBytes = (doneBytes: number): void => onProgress(before + (1 - before) * (doneBytes / sizeBytes))
  const layer = { layersDir, layerId, sizeBytes, sourcePath: source.path }
  const { sha256 } = await importRaw({ ...layer, extents, onProgress: onBytes, signal })
  return { sizeBytes, sha256, format }
}

function ignore(): void {
  // nobody asked how far it is
}

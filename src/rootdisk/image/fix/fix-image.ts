import { chmod, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../../command.js'
import type { ImportLimits } from '../image-file.js'
import { importImage, type ImportedImage } from '../import-image.js'
import { fixDisk } from './fix-disk.js'

/** A golden layer to make a repaired one of. */
export interface FixImageOptions {
  readonly layersDir: string
  /** Its data is the raw disk. */
  readonly source: { readonly layerId: string; readonly sizeBytes: number }
  /** The layer to make. */
  readonly layerId: string
  /** undefined: all that are broken and have a remedy. */
  readonly rules: readonly string[] | undefined
  readonly limits: ImportLimits
  readonly onProgress: (fraction: number, words: string) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * Makes a new golden layer of another one with the remedies of broken rules applied: in a sparse copy, so that the
 * first stays as it is, and the second depends on nothing. Whole, or not at all.
 * @throws DaemonError as {@link fixDisk} and {@link importImage} do
 */
export async function fixImage(options: FixImageOptions): Promise<ImportedImage> {
  const { layersDir, source, layerId, limits, onProgress, signal } = options
  // a name that the sweep after a crash knows
  const path = join(layersDir, `.convert-${layerId}`)
  try {
    onProgress(0, 'copying')
    const from = join(layersDir, source.layerId, 'data')
    await runCommand('cp', ['--sparse=always', '--reflink=auto', '--', from, path], {
      timeoutMs: limits.timeoutMs,
      ...(signal === undefined ? {} : { signal }),
    })
    await chmod(path, 0o600)
    await fixDisk({ ...options, path, sizeBytes: source.sizeBytes, scratchDir: layersDir })
    const onImported = (fraction: number): void => onProgress(0.8 + fraction / 5, 'importing')
    return await importImage({ sourcePath: path, layersDir, layerId, limits, onProgress: onImported, signal })
  } finally {
    await rm(path, { force: true })
  }
}

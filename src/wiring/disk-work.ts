import { randomUUID } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config.js'
import type { InspectDisk } from '../control/image-inspections.js'
import type { ImageDisks } from '../control/images.js'
import type { StateDirs } from '../control/state-dirs.js'
import { systemCode } from '../errors.js'
import { buildImage, type BuildStage } from '../rootdisk/image/build.js'
import { fixImage } from '../rootdisk/image/fix/fix-image.js'
import { importImage } from '../rootdisk/image/import-image.js'
import type { ImportLimits } from '../rootdisk/image/image-file.js'
import { inspectImageFile, inspectRawDisk } from '../rootdisk/image/inspect/inspect-file.js'
import { copyKernelFiles } from '../rootdisk/image/kernel-files.js'
import { rawPath } from '../rootdisk/target/tgt/raw-disk.js'
import { deleteLayer } from '../rootdisk/volume/layer.js'
import { verifyLayer } from '../rootdisk/volume/seal-layer.js'
import { sweepLayers } from '../rootdisk/volume/sweep-layers.js'
import { hostBootId } from './host-boot-id.js'

/** How far a build is when a stage begins, as measured: installing packages takes most of the time. */
const BUILD_SHARE = { waiting: 0, packages: 0.05, disk: 0.85, done: 1 } as const satisfies Record<
  BuildStage,
  number
>

/** The image work of `rootdisk`, as `control` wants it. */
export function imageDisks(dirs: StateDirs, { image }: Config): ImageDisks {
  return {
    importFile: (layerId, sourcePath, { signal, progress }) =>
      importImage({
        sourcePath,
        layersDir: dirs.layersDir,
        layerId,
        limits: importLimits(image),
        onProgress: (fraction) => progress(fraction, 'importing'),
        signal,
      }),
    build: (recipe, { signal, progress }) => {
      const onProgress = (stage: BuildStage): void => progress(BUILD_SHARE[stage], stage)
      return buildImage(recipe, { cacheDir: image.cacheDir, onProgress, signal })
    },
    fix: (layerId, source, rules, { signal, progress }) =>
      fixImage({
        ...{ layersDir: dirs.layersDir, layerId, source, rules, signal },
        limits: importLimits(image),
        onProgress: progress,
      }),
    keepKernel: (layerId, disk) => copyKernelFiles(disk, join(dirs.layersDir, layerId)),
    inspect: diskInspector(dirs, image),
    damagedChunks: async (layer) => {
      const { isMapIntact, damagedChunks } = await verifyLayer({ ...dirs, layer, bootId: hostBootId() })
      if (!isMapIntact) throw new Error(`the map of layer ${layer.layerId} is damaged`)
      return damagedChunks
    },
    deleteLayer: (layerId) => deleteLayer(dirs, layerId),
    sweepLayers: (known) => sweepLayers(dirs, known),
  }
}

/** Looks into golden layers, whose data is the raw disk, and into files as an import would read them. */
function diskInspector({ layersDir }: StateDirs, image: Config['image']): InspectDisk {
  const scratchDir = layersDir
  return (disk, signal) => {
    if ('layerId' in disk) {
      const path = join(layersDir, disk.layerId, 'data')
      return inspectRawDisk({ path, sizeBytes: disk.sizeBytes, scratchDir, signal })
    }
    // As an import's: a name that the sweep after a crash knows.
    const unpackedPath = join(layersDir, `.convert-${randomUUID()}`)
    const file = {
      sourcePath: disk.path,
      unpackedPath,
      limits: importLimits(image),
      onProgress: ignore,
      signal,
    }
    return inspectImageFile(file, { scratchDir, signal })
  }
}

function importLimits(image: Config['image']): ImportLimits {
  return {
    maxSizeBytes: image.maxSizeBytes,
    timeoutMs: image.convertTimeoutSeconds * 1000,
    memoryLimitBytes: image.convertMemoryBytes,
  }
}

function ignore(): void {
  // an inspection tells no progress
}

/** Bytes that a layer's data holds on the host's disk. */
export async function allocatedBytes(dirs: StateDirs, layerId: string): Promise<number> {
  const paths = [join(dirs.layersDir, layerId, 'data'), rawPath(dirs.layersDir, layerId)]
  const blocks = await Promise.all(paths.map(blocksOf))
  return blocks.reduce((sum, count) => sum + count, 0) * 512 // stat(2): st_blocks counts 512-byte units
}

async function blocksOf(path: string): Promise<number> {
  try {
    return (await stat(path)).blocks
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return 0
    throw err
  }
}

/** The last `limitBytes` of a text file; empty when there is none yet. */
export async function tailOf(path: string, limitBytes: number): Promise<string> {
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      const tail = Buffer.alloc(Math.min(size, limitBytes))
      const { bytesRead } = await file.read(tail, 0, tail.length, size - tail.length)
      return tail.toString('utf8', 0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return ''
    throw err
  }
}

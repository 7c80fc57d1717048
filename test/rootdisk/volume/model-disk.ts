import { BlockError } from '../../../src/rootdisk/block-device.js'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { nodeLayerFiles, type LayerFiles } from '../../../src/rootdisk/volume/layer-files.js'
import { LayerStore, type LayerStoreOptions } from '../../../src/rootdisk/volume/layer-store.js'
import type { LayerSpec } from '../../../src/rootdisk/volume/layer.js'
import { openVolume } from '../../../src/rootdisk/volume/open-volume.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'

/** For tests of everything but durability. */
export const unsynced: LayerFiles = {
  ...nodeLayerFiles,
  sync: (_fd, done) => setImmediate(done, null),
  syncDirectory: () => Promise.resolve(),
}

/** Directories of one test and how to open chains in them. */
export class TestDisk {
  readonly layersDir: string
  readonly runDir: string
  bootId = '11111111-2222-3333-4444-555555555555'

  constructor(root: string) {
    this.layersDir = join(root, 'layers')
    this.runDir = join(root, 'run')
    mkdirSync(this.layersDir, { recursive: true })
    mkdirSync(this.runDir, { recursive: true })
  }

  store(options: Partial<LayerStoreOptions> = {}): LayerStore {
    const { layersDir, runDir, bootId } = this
    return new LayerStore({ layersDir, runDir, bootId, isReadOnly: false, files: unsynced, ...options })
  }

  open(chain: readonly LayerSpec[], files?: LayerFiles, isReadOnly = false): Promise<Volume> {
    const { layersDir, runDir, bootId } = this
    return openVolume({ layersDir, runDir, bootId, chain, isReadOnly, ...(files && { files }) })
  }
}

/** The bytes of a range. */
export async function bytesOf(volume: Volume, offset = 0, length = volume.sizeBytes): Promise<Buffer> {
  const into = Buffer.alloc(length, 0xee)
  await volume.read(offset, into)
  return into
}

/** The kind of the BlockError that a call fails with; a sentence when it does not. */
export async function failureOf(call: undefined | Promise<void>): Promise<string> {
  try {
    await call
    return 'it succeeded'
  } catch (err) {
    return err instanceof BlockError ? err.kind : `another error: ${String(err)}`
  }
}

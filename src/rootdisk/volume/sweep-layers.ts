import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../../errors.js'
import { deleteLayer, type LayerDirs } from './layer.js'

/** What a sweep did, by the names in the layers directory. */
export interface Swept {
  readonly removed: readonly string[]
  /** Layers that nobody knows but that hold data. */
  readonly kept: readonly string[]
}

/** Staged, doomed and converted files: what their makers would have renamed or removed had they lived. */
const UNFINISHED = /^\.(?:new|gone|convert)-/

/**
 * Removes what a daemon that died left below `layersDir`; call before anything is made there.
 * A layer that is not `known` goes when it holds no data. One with data stays: the registry may be an older one,
 * restored from a backup, and disks are not deleted on its word.
 */
export async function sweepLayers(dirs: LayerDirs, known: ReadonlySet<string>): Promise<Swept> {
  const removed: string[] = []
  const kept: string[] = []
  for (const name of await readdir(dirs.layersDir)) {
    if (known.has(name)) continue
    if (UNFINISHED.test(name)) await rm(join(dirs.layersDir, name), { recursive: true, force: true })
    else if (!name.startsWith('.') && !(await hasData(join(dirs.layersDir, name)))) {
      await deleteLayer(dirs, name)
    } else {
      kept.push(name)
      continue
    }
    removed.push(name)
  }
  return { removed, kept }
}

/** `raw` is what a layer became under another target. */
async function hasData(directory: string): Promise<boolean> {
  return (await hasBlocks(join(directory, 'data'))) || (await hasBlocks(join(directory, 'raw')))
}

async function hasBlocks(path: string): Promise<boolean> {
  try {
    return (await stat(path)).blocks > 0
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return false
    return true // not ours to judge: keep it
  }
}

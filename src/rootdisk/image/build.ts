import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { CommandFailed } from '../../command.js'
import { DaemonError } from '../../errors.js'
import { lockBuild } from './build-lock.js'
import { assembleDisk, rootOffsetBytes } from './disk-assembly.js'
import type { BuiltDisk } from './kernel-files.js'
import { loadRecipe, type Recipe, type RecipePlaces } from './recipe.js'
import { makeRootDir } from './root-dir.js'

/** Where the build stands. */
export type BuildStage = 'waiting' | 'packages' | 'disk' | 'done'

/** How {@link buildImage} works. */
export interface BuildOptions extends RecipePlaces {
  /** Finished images and scratch space; about 6 GiB while building. */
  readonly cacheDir: string
  readonly onProgress?: (stage: BuildStage) => void
  readonly signal?: AbortSignal
}

/**
 * A bootable raw disk made from the recipe `name`, from the cache where it was built before.
 * Needs root, mmdebstrap, gdisk, dosfstools, mtools, e2fsprogs and GRUB's modules for PC and EFI.
 * @throws DaemonError NOT_FOUND for an unknown recipe, WRONG_STATE without root or without a tool
 */
export async function buildImage(name: string, options: BuildOptions): Promise<BuiltDisk> {
  const recipe = await loadRecipe(name, options)
  await mkdir(options.cacheDir, { recursive: true })
  const finished = path.join(options.cacheDir, `image-${recipe.digest}.raw`)
  const built = { path: finished, rootOffsetBytes: rootOffsetBytes(recipe) }
  if (existsSync(finished)) return built
  if (process.getuid?.() !== 0) throw new DaemonError('WRONG_STATE', 'building an image needs root')
  options.onProgress?.('waiting')
  const unlock = await lockBuild(`${finished}.lock`, options.signal)
  try {
    if (!existsSync(finished)) await buildInto(recipe, finished, options)
  } catch (err) {
    throw toldApart(err)
  } finally {
    await unlock()
  }
  options.onProgress?.('done')
  return built
}

async function buildInto(recipe: Recipe, finished: string, options: BuildOptions): Promise<void> {
  const workDir = await mkdtemp(path.join(options.cacheDir, 'build-'))
  try {
    options.onProgress?.('packages')
    const rootDir = await makeRootDir(recipe, workDir, options.signal)
    options.onProgress?.('disk')
    const diskPath = path.join(workDir, 'disk.raw')
    await assembleDisk({ recipe, rootDir, workDir, diskPath, signal: options.signal })
    await rename(diskPath, finished)
  } finally {
    await rm(workDir, { recursive: true, force: true, maxRetries: 3 })
  }
}

function toldApart(err: unknown): unknown {
  if (!(err instanceof CommandFailed)) return err
  if (err.result.stderr.includes('No space left on device')) {
    return new DaemonError('DISK_FULL', 'the image cache has no room left', { cause: err })
  }
  if (/ENOENT|failed to execute/.test(err.message)) {
    return new DaemonError('WRONG_STATE', `a tool is missing: ${err.message}`, { cause: err })
  }
  return err
}

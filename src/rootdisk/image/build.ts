import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { CommandFailed, runCommand } from '../../command.js'
import { DaemonError } from '../../errors.js'
import { lockBuild } from './build-lock.js'
import { assembleDisk, rootOffsetBytes } from './disk-assembly.js'
import { hostSources } from './host-sources.js'
import type { BuiltDisk } from './kernel-files.js'
import { loadRecipe, type Recipe } from './recipe.js'

/** Where the build stands. */
export type BuildStage = 'waiting' | 'packages' | 'disk' | 'done'

/** How {@link buildImage} works. */
export interface BuildOptions {
  /** Finished images and scratch space; about 6 GiB while building. */
  readonly cacheDir: string
  readonly onProgress?: (stage: BuildStage) => void
  readonly signal?: AbortSignal
  /** Default: the recipes shipped in `boot/recipes`. */
  readonly recipesDir?: string
}

const PACKAGES_TIMEOUT_MS = 1_200_000

// Hooks are shell text; what varies comes through the environment, so no quoting is needed.
const SETUP = 'sh "$INGOT_RECIPE/setup.sh" "$1" "$INGOT_RECIPE"'
const CUSTOMIZE = 'sh "$INGOT_RECIPE/customize.sh" "$1" "$INGOT_RECIPE"'
// The image keeps licences and leaves manual pages and translations out.
const NO_DOCUMENTS = [
  'path-exclude=/usr/share/man/*',
  'path-exclude=/usr/share/locale/*',
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
]

/**
 * A bootable raw disk made from the recipe `name`, from the cache where it was built before.
 * Needs root, mmdebstrap, gdisk, dosfstools, mtools, e2fsprogs and GRUB's modules for PC and EFI.
 * @throws DaemonError NOT_FOUND for an unknown recipe, WRONG_STATE without root or without a tool
 */
export async function buildImage(name: string, options: BuildOptions): Promise<BuiltDisk> {
  const recipe = await loadRecipe(name, options.recipesDir)
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
    const rootDir = path.join(workDir, 'root')
    options.onProgress?.('packages')
    await makeRootDir(recipe, rootDir, workDir, options.signal)
    options.onProgress?.('disk')
    const diskPath = path.join(workDir, 'disk.raw')
    await assembleDisk({ recipe, rootDir, workDir, diskPath, signal: options.signal })
    await rename(diskPath, finished)
  } finally {
    await rm(workDir, { recursive: true, force: true, maxRetries: 3 })
  }
}

async function makeRootDir(
  recipe: Recipe,
  rootDir: string,
  workDir: string,
  signal?: AbortSignal,
): Promise<void> {
  const sources = await hostSources(recipe.suite)
  const sourcesList = path.join(workDir, 'sources.list')
  await writeFile(sourcesList, sources.map((line) => `${line}\n`).join(''))
  // In a PID namespace of its own, so that an abort leaves no apt or dpkg behind.
  const isolated = ['--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc', 'mmdebstrap']
  const options = [
    ...['--mode=root', '--variant=minbase', '--format=directory'],
    ...NO_DOCUMENTS.map((option) => `--dpkgopt=${option}`),
    `--include=${recipe.packages.join(',')}`,
    ...[`--essential-hook=${SETUP}`, `--customize-hook=${CUSTOMIZE}`],
  ]
  const mirrors = sources.length > 0 ? [sourcesList] : []
  await runCommand('unshare', [...isolated, ...options, recipe.suite, rootDir, ...mirrors], {
    timeoutMs: PACKAGES_TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
    env: { INGOT_RECIPE: recipe.folder, TMPDIR: workDir },
  })
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

import { existsSync } from 'node:fs'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { runCommand } from '../../command.js'
import { grubConfig } from './grub-config.js'
import { hostSources } from './host-sources.js'
import { CLEANER, type Recipe } from './recipe.js'

const PACKAGES_TIMEOUT_MS = 1_200_000
const PLUGINS_TIMEOUT_MS = 60_000

// Hooks are shell text; what varies comes through the environment, so no quoting is needed.
const SETUP = 'sh "$INGOT_SCRIPTS/setup.sh" "$1"'
const CUSTOMIZE = 'sh "$INGOT_SCRIPTS/customize.sh" "$1"'
// The image keeps licences and leaves manual pages and translations out.
const NO_DOCUMENTS = [
  'path-exclude=/usr/share/man/*',
  'path-exclude=/usr/share/locale/*',
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
]

/** Fills `workDir/root` with the recipe's system, and returns that path. Needs root and mmdebstrap. */
export async function makeRootDir(recipe: Recipe, workDir: string, signal?: AbortSignal): Promise<string> {
  const rootDir = path.join(workDir, 'root')
  const overlay = await makeOverlay(recipe, workDir)
  const sourcesList = path.join(workDir, 'sources.list')
  const sources = [...(await sourcesOf(recipe.suite)), ...(await pluginSource(recipe, workDir))]
  await writeFile(sourcesList, sources.map((line) => `${line}\n`).join(''))
  // In a PID namespace of its own, so that an abort leaves no apt or dpkg behind.
  const isolated = ['--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc', 'mmdebstrap']
  const packages = [...recipe.packages, ...recipe.plugins.map((name) => `ingot-${name}`)]
  const options = [
    ...['--mode=root', '--variant=minbase', '--format=directory'],
    ...NO_DOCUMENTS.map((option) => `--dpkgopt=${option}`),
    `--include=${packages.join(',')}`,
    ...[`--essential-hook=${SETUP}`, `--customize-hook=${CUSTOMIZE}`],
  ]
  await runCommand('unshare', [...isolated, ...options, recipe.suite, rootDir, sourcesList], {
    timeoutMs: PACKAGES_TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
    env: { ...scriptEnvironment(recipe), INGOT_OVERLAY: overlay, TMPDIR: workDir },
  })
  return rootDir
}

function scriptEnvironment({
  folders,
  pluginsDir,
  suite,
  network,
  rootLabel,
}: Recipe): Record<string, string> {
  const [scripts = ''] = folders
  return {
    INGOT_SCRIPTS: scripts,
    INGOT_CLEAN: path.join(pluginsDir, CLEANER, 'files/usr/sbin/ingot-clean'),
    INGOT_SUITE: suite,
    INGOT_NETWORK: network,
    INGOT_LABEL: rootLabel,
  }
}

/** The overlays of a recipe and of those that it extends, in one folder. */
async function makeOverlay(recipe: Recipe, workDir: string): Promise<string> {
  const overlay = path.join(workDir, 'overlay')
  await mkdir(path.join(overlay, 'boot/grub'), { recursive: true })
  await writeFile(path.join(overlay, 'boot/grub/grub.cfg'), grubConfig(recipe))
  for (const folder of recipe.folders.map((name) => path.join(name, 'overlay')))
    if (existsSync(folder)) await cp(folder, overlay, { recursive: true })
  return overlay
}

/** Where the packages come from: the host's own mirrors, else Debian's. */
async function sourcesOf(suite: string): Promise<readonly string[]> {
  const sources = await hostSources(suite)
  if (sources.length > 0) return sources
  const debian = 'deb http://deb.debian.org/debian'
  return [
    ...[suite, `${suite}-updates`].map((name) => `${debian} ${name} main`),
    `${debian}-security ${suite}-security main`,
  ]
}

/** Packages the recipe's plug-ins. @returns apt sources that have them */
async function pluginSource({ plugins, pluginsDir }: Recipe, workDir: string): Promise<readonly string[]> {
  if (plugins.length === 0) return []
  const debs = path.join(workDir, 'plugins')
  await runCommand('sh', [path.join(pluginsDir, 'package.sh'), debs, ...plugins], {
    timeoutMs: PLUGINS_TIMEOUT_MS,
  })
  // `copy:` and not `file:`, which the dpkg inside the new root could not read
  return [`deb [trusted=yes] copy:${debs} ./`]
}

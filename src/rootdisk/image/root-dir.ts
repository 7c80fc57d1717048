import { existsSync } from 'node:fs'
import { cp, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { runCommand, type CommandOptions } from '../../command.js'
import { grubConfig } from './grub-config.js'
import { hostSources } from './host-sources.js'
import { EPOCH_SECONDS, TIME } from './fixed-identity.js'
import { CLEANER, type Recipe } from './recipe.js'

const PACKAGES_TIMEOUT_MS = 1_200_000
const STEP_TIMEOUT_MS = 60_000

// In a PID namespace of its own, so that an abort leaves no apt or dpkg behind.
const ISOLATED = ['--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc', 'mmdebstrap']
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
  const sourcesList = path.join(workDir, 'sources.list')
  const sources = [...(await sourcesOf(recipe.suite)), ...(await pluginSource(recipe, workDir))]
  await writeFile(sourcesList, sources.map((line) => `${line}\n`).join(''))
  const env = {
    ...scriptEnvironment(recipe),
    ...TIME,
    INGOT_OVERLAY: await makeOverlay(recipe, workDir),
    TMPDIR: workDir,
  }
  const running = { timeoutMs: PACKAGES_TIMEOUT_MS, env, ...(signal === undefined ? {} : { signal }) }
  const system = [recipe.suite, rootDir, sourcesList]
  await runCommand('unshare', [...ISOLATED, ...debstrapOptions(recipe), ...system], running)
  if (recipe.variant === 'extract') await runCommand('sh', [customizeScript(recipe), rootDir], running)
  await settleTimes(rootDir, running)
  return rootDir
}

function debstrapOptions(recipe: Recipe): readonly string[] {
  const packages = [...recipe.packages, ...recipe.plugins.map((name) => `ingot-${name}`)]
  const hooks = [`--essential-hook=${SETUP}`, `--customize-hook=${CUSTOMIZE}`]
  return [
    ...['--mode=root', `--variant=${recipe.variant}`, '--format=directory'],
    // customize.sh does that, and leaves machine-id empty: "uninitialized" would have systemd preset every unit
    '--skip=cleanup/reproducible',
    ...NO_DOCUMENTS.map((option) => `--dpkgopt=${option}`),
    `--include=${packages.join(',')}`,
    // of unpacked packages nothing can run in a hook, and hooks would see the host's /dev in the new root
    ...(recipe.variant === 'extract' ? [] : hooks),
  ]
}

function customizeScript({ folders: [scripts = ''] }: Recipe): string {
  return path.join(scripts, 'customize.sh')
}

/** No file is younger than what every build calls its day. */
async function settleTimes(rootDir: string, running: CommandOptions): Promise<void> {
  const argv = [
    rootDir,
    '-newermt',
    `@${EPOCH_SECONDS}`,
    '-exec',
    'touch',
    '-h',
    '-d',
    `@${EPOCH_SECONDS}`,
    '{}',
    '+',
  ]
  await runCommand('find', argv, running)
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
    timeoutMs: STEP_TIMEOUT_MS,
  })
  // `copy:` and not `file:`, which the dpkg inside the new root could not read
  return [`deb [trusted=yes] copy:${debs} ./`]
}

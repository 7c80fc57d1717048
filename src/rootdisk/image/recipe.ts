import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { DaemonError } from '../../errors.js'
import { PLUGINS_DIR, shippedFolder } from './shipped.js'

/** How an image is put together; `boot/recipes/NAME/recipe.json` and those that it extends. */
export interface Recipe {
  /** The folders that make the recipe, the one that extends no other first. Each may have an `overlay`. */
  readonly folders: readonly string[]
  /** mmdebstrap's: `minbase` installs a system, `extract` unpacks packages for the recipe's customize.sh to use. */
  readonly variant: 'minbase' | 'extract'
  /** What GRUB's entry is called: `Debian GNU/Linux 12`. */
  readonly title: string
  /** Debian suite: `bookworm`. */
  readonly suite: string
  readonly packages: readonly string[]
  /** Folders of `pluginsDir`: each goes in as the package `ingot-NAME`. */
  readonly plugins: readonly string[]
  readonly pluginsDir: string
  /** What configures the guest's NICs. */
  readonly network: 'netplan' | 'networkd' | 'ifupdown' | 'networkmanager' | 'none'
  /** Whom the seed's keys let in. */
  readonly defaultUser: string
  /** What the disk has loaders for. */
  readonly firmware: 'bios' | 'uefi' | 'both'
  /** Size of the whole disk, MiB. */
  readonly diskMiB: number
  /** Size of the EFI system partition, MiB. */
  readonly espMiB: number
  /** File system label by which GRUB and the kernel find the root. */
  readonly rootLabel: string
  /** Beside `root=` and `ro`, apart by single blanks. */
  readonly kernelArguments: string
  readonly grubModules: readonly string[]
  /** Files (patterns of whole paths) in which two builds may differ, and why is said in docs/operations.md. */
  readonly varies: readonly string[]
  /** SHA-256 (hex) of everything that decides what the image will contain, but for the packages' versions. */
  readonly digest: string
}

/** The plug-in whose `ingot-clean` finishes every image, whether it stays in it or not. */
export const CLEANER = 'cloud-init'

/** Raised when the builder itself would give another disk from the same recipe. */
const BUILDER_VERSION = 2

/** What a `recipe.json` holds: fields that replace those of the recipe it extends; lists of packages are joined. */
interface RecipeFile extends Partial<Omit<Recipe, 'folders' | 'pluginsDir' | 'digest'>> {
  readonly extends?: string
  /** Packages of the extended recipe that are left out. */
  readonly without?: readonly string[]
}

/** A recipe, or what others extend: that one has no suite, and cannot be built. */
type Draft = Omit<Recipe, 'suite' | 'pluginsDir'> & { readonly suite?: string }

/** Where recipes and plug-ins are. */
export interface RecipePlaces {
  readonly recipesDir?: string
  readonly pluginsDir?: string
}

/**
 * Reads the recipe called `name`.
 * @throws DaemonError NOT_FOUND when there is none
 */
export async function loadRecipe(name: string, places: RecipePlaces = {}): Promise<Recipe> {
  const { recipesDir = shippedFolder('boot/recipes'), pluginsDir = PLUGINS_DIR } = places
  const { suite, ...draft } = await loadDraft(name, recipesDir)
  if (suite === undefined) throw unknownRecipe(name)
  const hash = createHash('sha256').update(`builder ${BUILDER_VERSION}\n${draft.digest}`)
  hash.update(await readFile(path.join(pluginsDir, 'package.sh')))
  for (const plugin of new Set([CLEANER, ...draft.plugins]))
    hash.update(await digestOf(path.join(pluginsDir, plugin)))
  return { ...draft, suite, pluginsDir, digest: hash.digest('hex') }
}

async function loadDraft(name: string, recipesDir: string): Promise<Draft> {
  const folder = path.join(recipesDir, name)
  if (!/^[a-z0-9][a-z0-9.-]*$/.test(name) || !existsSync(path.join(folder, 'recipe.json')))
    throw unknownRecipe(name)
  const text = await readFile(path.join(folder, 'recipe.json'), 'utf8')
  // Shipped with the program and covered by a test, hence trusted.
  const { extends: baseName, without = [], packages = [], ...fields } = JSON.parse(text) as RecipeFile
  const digest = await digestOf(folder)
  if (baseName === undefined) return { ...(fields as Draft), packages, folders: [folder], digest }
  const base = await loadDraft(baseName, recipesDir)
  return {
    ...base,
    ...fields,
    packages: [...base.packages.filter((known) => !without.includes(known)), ...packages],
    folders: [...base.folders, folder],
    digest: createHash('sha256').update(base.digest).update(digest).digest('hex'),
  }
}

function unknownRecipe(name: string): DaemonError {
  return new DaemonError('NOT_FOUND', `there is no image recipe called "${name}"`)
}

/** SHA-256 (hex) of a folder: names, which files may be executed, and contents; pages for people left out. */
async function digestOf(folder: string): Promise<string> {
  const hash = createHash('sha256')
  const names = await readdir(folder, { recursive: true })
  for (const name of names.filter((found) => !found.endsWith('.md')).sort()) {
    const file = path.join(folder, name)
    const { mode } = await stat(file)
    const content = (await stat(file)).isFile() ? await readFile(file) : ''
    hash.update(`${name}\0${mode & 0o111}\0${content.length}\0`).update(content)
  }
  return hash.digest('hex')
}

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { DaemonError } from '../../errors.js'

/** How an image is put together; `boot/recipes/NAME/recipe.json`. */
export interface Recipe {
  /** The folder with the recipe's shell parts and overlay. */
  readonly folder: string
  /** Debian suite: `bookworm`. */
  readonly suite: string
  readonly packages: readonly string[]
  /** Size of the whole disk, MiB. */
  readonly diskMiB: number
  /** Size of the EFI system partition, MiB. */
  readonly espMiB: number
  /** File system label by which GRUB and the kernel find the root. */
  readonly rootLabel: string
  readonly grubModules: readonly string[]
  /** SHA-256 (hex) of everything that decides what the image will contain, but for the packages' versions. */
  readonly digest: string
}

/** Raised when the builder itself would give another disk from the same recipe. */
const BUILDER_VERSION = 1

/** What `recipe.json` holds: a whole recipe, or one with packages added to another's. */
type RecipeFile =
  | (Omit<Recipe, 'folder' | 'digest'> & { readonly extends?: undefined })
  | { readonly extends: string; readonly packages: readonly string[] }

/**
 * Reads the recipe called `name`.
 * @throws DaemonError NOT_FOUND when there is none
 */
export async function loadRecipe(name: string, recipesDir = shippedRecipes()): Promise<Recipe> {
  const folder = path.join(recipesDir, name)
  if (!/^[a-z0-9][a-z0-9.-]*$/.test(name) || !existsSync(path.join(folder, 'recipe.json'))) {
    throw new DaemonError('NOT_FOUND', `there is no image recipe called "${name}"`)
  }
  const text = await readFile(path.join(folder, 'recipe.json'), 'utf8')
  // Shipped with the program and covered by a test, hence trusted.
  const fields = JSON.parse(text) as RecipeFile
  const digest = await digestOf(folder)
  if (fields.extends === undefined) return { ...fields, folder, digest }
  const base = await loadRecipe(fields.extends, recipesDir)
  return {
    ...base,
    packages: [...base.packages, ...fields.packages],
    digest: createHash('sha256').update(base.digest).update(digest).digest('hex'),
  }
}

async function digestOf(folder: string): Promise<string> {
  const hash = createHash('sha256').update(`builder ${BUILDER_VERSION}\n`)
  const names = await readdir(folder, { recursive: true })
  for (const name of names.sort()) {
    const file = path.join(folder, name)
    const { mode } = await stat(file)
    const content = (await stat(file)).isFile() ? await readFile(file) : ''
    hash.update(`${name}\0${mode & 0o111}\0${content.length}\0`).update(content)
  }
  return hash.digest('hex')
}

/** `boot/recipes` of this package, wherever it runs from (src or dist/src). */
function shippedRecipes(): string {
  let folder = import.meta.dirname
  while (!existsSync(path.join(folder, 'package.json')) && folder !== path.dirname(folder)) {
    folder = path.dirname(folder)
  }
  return path.join(folder, 'boot', 'recipes')
}

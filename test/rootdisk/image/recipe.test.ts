import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DaemonError } from '../../../src/errors.js'
import { loadRecipe, type RecipePlaces } from '../../../src/rootdisk/image/recipe.js'

const RECIPES = 'boot/recipes'
const PLUGINS = 'plugins'

/** Copies of all recipes and plug-ins, to be changed. */
function copies(t: Test): Required<RecipePlaces> {
  const dir = t.testdir({})
  const places = { recipesDir: join(dir, 'recipes'), pluginsDir: join(dir, 'plugins') }
  cpSync(RECIPES, places.recipesDir, { recursive: true })
  cpSync(PLUGINS, places.pluginsDir, { recursive: true })
  return places
}

async function digest(name: string, places: RecipePlaces): Promise<string> {
  return (await loadRecipe(name, places)).digest
}

void t.test('every shipped recipe but the one that others extend has every field of its type', async (t) => {
  for (const name of readdirSync(RECIPES)) {
    if (name === 'debian') continue
    const recipe = await loadRecipe(name)
    t.match(
      recipe,
      {
        variant: /^(minbase|extract)$/,
        title: /^[A-Za-z0-9 ,./-]+$/,
        suite: /^[a-z]+$/,
        network: /^(netplan|networkd|ifupdown|networkmanager|none)$/,
        defaultUser: /^[a-z]+$/,
        firmware: /^(bios|uefi|both)$/,
        diskMiB: Number,
        espMiB: Number,
        rootLabel: /^[A-Za-z-]{1,16}$/,
        kernelArguments: /^[A-Za-z0-9=, ]+$/,
        digest: /^[0-9a-f]{64}$/,
      },
      name,
    )
    t.ok(recipe.packages.includes('open-iscsi'), `${name} can log in to its root disk`)
    t.ok(recipe.grubModules.every((module) => /^[a-z0-9_]+$/.test(module)))
    t.equal(new Set(recipe.packages).size, recipe.packages.length, `${name} names no package twice`)
  }
  await t.rejects(loadRecipe('debian'), { code: 'NOT_FOUND' }, 'a recipe without a suite is none')
})

void t.test(
  'the digest changes with any file of the recipe or of a plug-in in it, and with nothing else',
  async (t) => {
    const places = copies(t)
    const original = await digest('debian-12', {})
    t.equal(await digest('debian-12', places), original)
    writeFileSync(join(places.pluginsDir, 'sdi-inic/README.md'), 'another text for people\n')
    t.equal(await digest('debian-12', places), original)

    writeFileSync(join(places.recipesDir, 'debian/overlay/etc/hosts'), '127.0.0.1 changed\n')
    const withHosts = await digest('debian-12', places)
    t.not(withHosts, original, 'a file of the recipe that it extends')
    writeFileSync(join(places.pluginsDir, 'sdi-inic/VERSION'), '1.0.1\n')
    const withPlugin = await digest('debian-12', places)
    t.not(withPlugin, withHosts, 'a file of a plug-in')
    writeFileSync(join(places.pluginsDir, 'package.sh'), 'exit 1\n')
    t.not(await digest('debian-12', places), withPlugin, 'what packages them')
  },
)

void t.test('a recipe that extends another has its packages too, but for those it is without', async (t) => {
  const places = copies(t)
  const base = await loadRecipe('debian-12', places)
  mkdirSync(join(places.recipesDir, 'more'))
  writeFileSync(
    join(places.recipesDir, 'more/recipe.json'),
    '{"extends":"debian-12","network":"ifupdown","packages":["fio"],"without":["netplan.io"]}',
  )
  const more = await loadRecipe('more', places)
  t.strictSame(more.packages, [...base.packages.filter((name) => name !== 'netplan.io'), 'fio'])
  t.strictSame(more.folders, [...base.folders, join(places.recipesDir, 'more')])
  t.equal(more.network, 'ifupdown')
  t.equal(more.rootLabel, base.rootLabel)
  t.not(more.digest, base.digest)
  t.ok((await loadRecipe('debian-12-storage')).packages.includes('multipath-tools'))
})

void t.test('an unknown recipe, or a name that leaves the folder, is not found', async (t) => {
  for (const name of ['windows', '../debian-12', '', '.']) {
    await t.rejects(loadRecipe(name), { code: 'NOT_FOUND', constructor: DaemonError })
  }
})

import { cpSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { DaemonError } from '../../../src/errors.js'
import { loadRecipe } from '../../../src/rootdisk/image/recipe.js'

void t.test('the shipped Debian recipe has every field of its type', async (t) => {
  const recipe = await loadRecipe('debian-12')
  t.match(recipe, {
    suite: 'bookworm',
    diskMiB: Number,
    espMiB: Number,
    rootLabel: 'ROOT',
    digest: /^[0-9a-f]{64}$/,
  })
  t.ok(recipe.packages.includes('open-iscsi'))
  t.ok(recipe.grubModules.every((name) => /^[a-z0-9_]+$/.test(name)))
})

void t.test('the digest changes with any file of the recipe and with nothing else', async (t) => {
  const dir = t.testdir({ copy: {} })
  const original = await loadRecipe('debian-12')
  cpSync(original.folder, path.join(dir, 'copy'), { recursive: true })
  t.equal((await loadRecipe('copy', dir)).digest, original.digest)
  writeFileSync(path.join(dir, 'copy', 'overlay', 'etc', 'hosts'), '127.0.0.1 changed\n')
  t.not((await loadRecipe('copy', dir)).digest, original.digest)
})

void t.test('a recipe that extends another has its packages too, and changes with it', async (t) => {
  const dir = t.testdir({
    'debian-12': {},
    more: { 'recipe.json': '{"extends":"debian-12","packages":["fio"]}' },
  })
  const base = await loadRecipe('debian-12')
  cpSync(base.folder, path.join(dir, 'debian-12'), { recursive: true })
  const more = await loadRecipe('more', dir)
  t.strictSame(more.packages, [...base.packages, 'fio'])
  t.equal(more.folder, path.join(dir, 'debian-12'))
  t.not(more.digest, base.digest)
  writeFileSync(path.join(dir, 'debian-12', 'overlay', 'etc', 'hosts'), '127.0.0.1 changed\n')
  t.not((await loadRecipe('more', dir)).digest, more.digest)
  t.ok((await loadRecipe('debian-12-storage')).packages.includes('multipath-tools'))
})

void t.test('an unknown recipe, or a name that leaves the folder, is not found', async (t) => {
  for (const name of ['windows', '../debian-12', '', '.']) {
    await t.rejects(loadRecipe(name), { code: 'NOT_FOUND', constructor: DaemonError })
  }
})

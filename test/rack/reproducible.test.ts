import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { buildImage } from '../../src/rootdisk/image/build.js'
import type { BuiltDisk } from '../../src/rootdisk/image/kernel-files.js'
import { loadRecipe } from '../../src/rootdisk/image/recipe.js'
import { differingFiles } from './differing-files.js'
import { CACHE_DIR } from './stand.js'

// Each builds an image twice, from packages that are fetched twice.
const LIMIT_MS = 1_800_000
const note = reason() === undefined ? '' : ` (skipped: ${reason() ?? ''})`

t.setTimeout(LIMIT_MS)

function reason(): string | undefined {
  if (process.env['INGOT_FULL'] !== '1') return 'minutes long: npm run test:full'
  return process.getuid?.() === 0 ? undefined : 'not root'
}

async function builtTwice(
  t: Test,
  name: string,
): Promise<{ dir: string; first: BuiltDisk; second: BuiltDisk }> {
  const dir = await mkdtemp(join(CACHE_DIR, 'twice-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const first = await buildImage(name, { cacheDir: join(dir, 'first') })
  return { dir, first, second: await buildImage(name, { cacheDir: join(dir, 'second') }) }
}

void t.test(`two builds of tiny are the same bytes${note}`, { skip: reason() !== undefined }, async (t) => {
  const { first, second } = await builtTwice(t, 'tiny')
  t.ok((await readFile(first.path)).equals(await readFile(second.path)))
})

void t.test(
  `two builds of debian-12 differ in the files that its recipe lists, and in no other${note}`,
  { skip: reason() !== undefined },
  async (t) => {
    const { varies } = await loadRecipe('debian-12')
    const patterns = varies.map((pattern) => new RegExp(`^${pattern}$`))
    const { dir, first, second } = await builtTwice(t, 'debian-12')
    const found = await differingFiles(first, second, dir)
    for (const path of found) t.comment(path)
    t.same(
      found.filter((path) => !patterns.some((pattern) => pattern.test(path))),
      [],
    )
  },
)

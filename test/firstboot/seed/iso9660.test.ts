import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { writeIso9660 } from '../../../src/firstboot/seed/iso9660.js'
import { renderSeed } from '../../../src/firstboot/seed/seed.js'
import { findTool, needs, outputOf } from './debian-tool.js'
import { readIso9660, readPathTable } from './iso-reader.js'
import { FULL_SEED, SMALL_SEED } from './sample-seed.js'

const AT_MS = Date.UTC(2026, 10, 23, 11, 34, 56, 780)

interface Named {
  readonly path: string
  readonly bytes: Uint8Array
}

function byPath(files: readonly Named[]): Record<string, string> {
  const entries = files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString('base64')] as const)
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

const part = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/),
  fc.constantFrom('a_b', 'a-b', 'a.b', 'A.B', 'vendor_data.json', 'vendor_data2.json'),
)

/** A few directories under a fixed name each, so that no path is both a file and a directory. */
const anyFiles = fc.uniqueArray(
  fc.record({
    path: fc
      .tuple(fc.constantFrom('', 'd/d1/', 'd/d2/', 'd/d2/d3/', 'e-long.directory/'), part)
      .map((p) => p.join('')),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.nat(5000).map((n) => new Uint8Array(n).fill(n)),
    ),
  }),
  { selector: ({ path }) => path, maxLength: 60 },
)

void t.test('any files come back with their names and bytes', (t) => {
  fc.assert(
    fc.property(
      anyFiles.filter((files) => !files.some(({ path }) => path === 'd')),
      (files) => {
        const { label, files: found } = readIso9660(writeIso9660('config-2', files, AT_MS))
        t.equal(label, 'config-2')
        t.strictSame(byPath(found), byPath(files))
      },
    ),
    { numRuns: 60 },
  )
  t.end()
})

void t.test('any user data and host name of a seed come back from both volumes', (t) => {
  const label = fc.stringMatching(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/)
  fc.assert(
    fc.property(fc.uint8Array({ size: 'medium' }), label, (userData, hostname) => {
      const seed = renderSeed({ ...SMALL_SEED, userData, hostname })
      for (const files of [seed.configDrive, seed.noCloud]) {
        const found = readIso9660(writeIso9660('x', files, AT_MS)).files
        t.strictSame(byPath(found), byPath(files))
      }
    }),
    { numRuns: 25 },
  )
  t.end()
})

void t.test('both path tables list every directory, parents first', (t) => {
  const volume = writeIso9660('config-2', renderSeed(FULL_SEED).configDrive, AT_MS)
  const little = readPathTable(volume, 'LE')
  t.strictSame(little, readPathTable(volume, 'BE'))
  // root; ec2, ingot, openstack; two versions of ec2; nine of openstack
  t.strictSame(little.parents, [1, 1, 1, 1, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4, 4])
  t.end()
})

void t.test('a directory of more than one block keeps each record within a block', (t) => {
  const files = Array.from({ length: 80 }, (_, i) => ({
    path: `many/${'n'.repeat(60)}${String(i)}`,
    bytes: Buffer.from(String(i)),
  }))
  t.strictSame(byPath(readIso9660(writeIso9660('x', files, AT_MS)).files), byPath(files))
  t.end()
})

void t.test('equal contents are stored once', (t) => {
  const bytes = Buffer.alloc(100_000, 1)
  const one = writeIso9660('x', [{ path: 'a', bytes }], AT_MS)
  const two = writeIso9660(
    'x',
    [
      { path: 'a', bytes },
      { path: 'b', bytes: Buffer.from(bytes) },
    ],
    AT_MS,
  )
  t.equal(two.length, one.length)
  t.end()
})

void t.test('the same arguments give the same bytes', (t) => {
  const { noCloud } = renderSeed(FULL_SEED)
  t.ok(writeIso9660('cidata', noCloud, AT_MS).equals(writeIso9660('cidata', noCloud, AT_MS)))
  t.end()
})

for (const path of ['', '.', '..', '../a', '/a', 'a//b', 'a/', 'a b', 'ä', 'a\0', 'x'.repeat(101)]) {
  void t.test(`a file named ${JSON.stringify(path.slice(0, 20))} is refused`, (t) => {
    t.throws(() => writeIso9660('x', [{ path, bytes: Buffer.alloc(0) }], AT_MS), RangeError)
    t.end()
  })
}

void t.test('a path that comes twice, or is a file and a directory, is refused', (t) => {
  const bytes = Buffer.alloc(1)
  for (const [a, b] of [
    ['a', 'a'],
    ['a', 'a/b'],
    ['a/b', 'a'],
  ] as const) {
    t.throws(
      () =>
        writeIso9660(
          'x',
          [
            { path: a, bytes },
            { path: b, bytes },
          ],
          AT_MS,
        ),
      RangeError,
    )
  }
  t.end()
})

void t.test('a label that a volume cannot hold is refused', (t) => {
  for (const label of ['', 'x'.repeat(33), 'ä', 'a\n'])
    t.throws(() => writeIso9660(label, [], AT_MS), RangeError)
  t.end()
})

const isoinfo = needs('isoinfo')
void t.test(`isoinfo reads names and bytes through Rock Ridge${isoinfo.note}`, isoinfo, (t) => {
  const program = findTool('isoinfo') ?? ''
  const file = join(t.testdir(), 'seed.iso')
  const { configDrive } = renderSeed(FULL_SEED)
  writeFileSync(file, writeIso9660('config-2', configDrive, AT_MS))
  const names = outputOf(program, ['-i', file, '-R', '-f']).split('\n')
  for (const { path } of configDrive) t.ok(names.includes(`/${path}`), path)
  for (const name of ['meta_data.json', 'user_data', 'vendor_data2.json']) {
    const path = `openstack/2018-08-27/${name}`
    const bytes = configDrive.find((candidate) => candidate.path === path)?.bytes.toString()
    t.equal(outputOf(program, ['-i', file, '-R', '-x', `/${path}`]), bytes)
  }
  t.match(outputOf(program, ['-i', file, '-l', '-R']), /-r--r--r--.*Nov 23 2026.*meta_data\.json/)
  t.end()
})

// What Cloudbase-Init takes a config drive apart with.
const bsdtar = needs('bsdtar')
void t.test(`bsdtar extracts every file under its own name${bsdtar.note}`, bsdtar, (t) => {
  const folder = t.testdir({ out: {} })
  const { configDrive } = renderSeed(FULL_SEED)
  const longest = { path: `Mixed_Case/${'n'.repeat(96)}.txt`, bytes: Buffer.from('long') }
  const files = [...configDrive, longest, { path: 'empty', bytes: Buffer.alloc(0) }]
  writeFileSync(join(folder, 'seed.iso'), writeIso9660('config-2', files, AT_MS))
  outputOf(findTool('bsdtar') ?? '', ['-xf', join(folder, 'seed.iso'), '-C', join(folder, 'out')])
  const found = readdirSync(join(folder, 'out'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  t.strictSame(
    byPath(found.map((path) => ({ path: relative(join(folder, 'out'), path), bytes: readFileSync(path) }))),
    byPath(files),
  )
  t.end()
})

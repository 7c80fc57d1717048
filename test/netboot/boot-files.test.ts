import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { BootFiles, bootPath, type BootFile } from '../../src/netboot/boot-files.js'

async function text(file: BootFile | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  const bytes = await file.read(0, file.sizeBytes)
  await file.close()
  return Buffer.from(bytes).toString()
}

void t.test('the first directory of the search path wins, and a missing one is passed over', async (t) => {
  const root = t.testdir({ one: { a: 'one' }, two: { a: 'two', b: 'b' } })
  const files = new BootFiles({ directories: [join(root, 'none'), join(root, 'one'), join(root, 'two')] })
  t.equal(await text(await files.open('a')), 'one')
  t.equal(await text(await files.open('b')), 'b')
  t.equal(await files.open('c'), undefined)
})

void t.test(
  'a name is another one in a directory that has it, but never in one that comes later',
  async (t) => {
    const root = t.testdir({ own: { x: 'own x' }, debian: { x: 'unsigned x', 'x.signed': 'signed x' } })
    const aliases = new Map([['x', 'x.signed']])
    const [own, debian] = [join(root, 'own'), join(root, 'debian')]
    t.equal(await text(await new BootFiles({ directories: [debian], aliases }).open('x')), 'signed x')
    t.equal(await text(await new BootFiles({ directories: [own, debian], aliases }).open('x')), 'own x')
  },
)

void t.test('a changed file is read again', async (t) => {
  const root = t.testdir({ a: 'old' })
  const files = new BootFiles({ directories: [root] })
  t.equal(await text(await files.open('a')), 'old')
  writeFileSync(join(root, 'b'), 'new')
  utimesSync(join(root, 'b'), 1, 1)
  renameSync(join(root, 'b'), join(root, 'a'))
  t.equal(await text(await files.open('a')), 'new')
})

void t.test('links out of the directory, directories and pipes are no files', async (t) => {
  const root = t.testdir({ dir: {}, beside: {} })
  const inside = join(root, 'in')
  mkdirSync(inside)
  mkdirSync(join(root, 'in-other'))
  writeFileSync(join(root, 'in-other', 'x'), 'secret')
  symlinkSync(join(root, 'in-other', 'x'), join(inside, 'neighbour'))
  symlinkSync('/etc/passwd', join(inside, 'passwd'))
  symlinkSync('loop', join(inside, 'loop'))
  execFileSync('mkfifo', [join(inside, 'pipe')])
  const files = new BootFiles({ directories: [inside] })
  for (const name of ['neighbour', 'passwd', 'loop', 'pipe', '.', '../in-other/x', 'x'.repeat(300)]) {
    t.equal(await files.open(name), undefined, name)
  }
})

void t.test('a file above the cache limit is read in pieces, in any order', async (t) => {
  const bytes = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7) & 0xff))
  const root = t.testdir({ big: bytes })
  const file = await new BootFiles({ directories: [root], cachedFileBytes: 1000 }).open('big')
  t.equal(file?.sizeBytes, bytes.length)
  for (const [offset, length] of [
    [0, 512],
    [512, 512],
    [65_000, 1468],
    [100, 50],
    [199_999, 512],
    [0, 200_000],
  ] as const) {
    const read = await file?.read(offset, length)
    t.ok(
      read !== undefined && bytes.subarray(offset, offset + length).equals(read),
      `${String(length)} at ${String(offset)}`,
    )
  }
  await file?.close()
})

void t.test('more files than fit the cache are all served', async (t) => {
  const root = t.testdir(Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, name.repeat(600)])))
  const files = new BootFiles({ directories: [root], cacheBytes: 1500, cachedFileBytes: 1000 })
  for (const name of ['a', 'b', 'c', 'd', 'a', 'b', 'd', 'd']) {
    t.equal(await text(await files.open(name)), name.repeat(600))
  }
})

void t.test('names are UTF-8 bytes, backslashes are slashes, leading slashes go', (t) => {
  t.equal(bootPath('/EFI\\BOOT/x.efi'), 'EFI/BOOT/x.efi')
  t.equal(bootPath(Buffer.from('grün.efi').toString('latin1')), 'grün.efi')
  t.equal(bootPath('a/../../b'), undefined)
  t.equal(bootPath('\xff'), undefined)
  t.end()
})

void t.test('no name at all leads out of a directory', (t) => {
  const piece = fc.constantFrom('..', '.', '/', '\\', 'a', '%2e', '\0', 'é', '\n', '~')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const path = bootPath(pieces.join(''))
      return (
        path === undefined || !join('/root/x', path).split('/').slice(0, 3).join('/').localeCompare('/root/x')
      )
    }),
    { numRuns: 1000 },
  )
  t.end()
})

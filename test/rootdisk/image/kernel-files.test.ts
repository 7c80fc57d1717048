import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { grubConfig } from '../../../src/rootdisk/image/grub-config.js'
import { firstGrubEntry } from '../../../src/rootdisk/image/grub-entry.js'
import { copyKernelFiles, type BuiltDisk } from '../../../src/rootdisk/image/kernel-files.js'

const CONFIG = grubConfig({ title: 'Debian', rootLabel: 'ROOT', kernelArguments: 'console=ttyS0,115200' })
const OFFSET = 3 << 20

const hasTools = ['mkfs.ext4', 'debugfs'].every((tool) => spawnSync(tool, ['-V']).error === undefined)
const note = hasTools ? '' : ' (skipped: no e2fsprogs)'

function disk(t: Test, config: string, kernel = 'a kernel'): BuiltDisk & { directory: string } {
  const dir = t.testdir({
    root: { boot: { grub: { 'grub.cfg': config }, 'vmlinuz-6.1': kernel } },
    layer: {},
  })
  mkdirSync(join(dir, 'root', 'boot', 'sub'))
  writeFileSync(join(dir, 'root', 'boot', 'initrd.img-6.1'), Buffer.alloc(100_000, 7))
  symlinkSync('boot/vmlinuz-6.1', join(dir, 'root', 'vmlinuz'))
  symlinkSync('boot/initrd.img-6.1', join(dir, 'root', 'initrd.img'))
  const path = join(dir, 'disk.raw')
  const argv = ['-q', '-F', '-E', `offset=${OFFSET}`, '-d', join(dir, 'root'), path, '4096k']
  writeFileSync(path, '')
  const made = spawnSync('mkfs.ext4', argv, { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(made.stderr)
  return { path, rootOffsetBytes: OFFSET, directory: join(dir, 'layer') }
}

void t.test(
  `a built disk's kernel and initrd are copied, links followed${note}`,
  { skip: !hasTools },
  async (t) => {
    const built = disk(t, CONFIG)
    const kept = await copyKernelFiles(built, built.directory)
    t.equal(kept, 'root=LABEL=ROOT ro console=ttyS0,115200')
    t.equal(readFileSync(join(built.directory, 'kernel'), 'utf8'), 'a kernel')
    t.same(readFileSync(join(built.directory, 'initrd')), Buffer.alloc(100_000, 7))
  },
)

void t.test(`a disk without a GRUB entry leaves nothing${note}`, { skip: !hasTools }, async (t) => {
  const built = disk(t, 'set timeout=0\n')
  t.equal(await copyKernelFiles(built, built.directory), undefined)
  t.same(readdirSync(built.directory), [])
})

void t.test(`an entry whose kernel is not there fails${note}`, { skip: !hasTools }, async (t) => {
  const built = disk(t, 'linux /none ro\ninitrd /initrd.img\n')
  await t.rejects(copyKernelFiles(built, built.directory))
})

void t.test('an argument that could be syntax in a boot script is not taken', (t) => {
  for (const bad of ["a'b", '$x', 'a;b', 'a"b', '`x`', 'a\\b', '{', 'x|y', 'a*b']) {
    t.equal(firstGrubEntry(`linux /vmlinuz ro ${bad}\ninitrd /initrd\n`), undefined, bad)
  }
  t.equal(firstGrubEntry('linux /vmlinuz ro\n'), undefined, 'no initrd')
  t.equal(firstGrubEntry('linux /vmlinuz\ninitrd /a /b\n'), undefined, 'two initrds')
  t.end()
})

void t.test('whatever a grub.cfg holds, its arguments are plain words', (t) => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom('linux /vmlinuz ro', 'initrd /initrd', 'linux', "linux /v '"),
  )
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const entry = firstGrubEntry(lines.join('\n'))
      return entry === undefined || /^[A-Za-z0-9._:,=/@%+ -]*$/.test(entry.arguments)
    }),
  )
  t.end()
})

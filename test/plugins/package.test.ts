import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const NAMES = readdirSync('plugins', { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
const reason = spawnSync('dpkg-deb', ['--version']).status === 0 ? undefined : 'no dpkg-deb'
const note = reason === undefined ? '' : ` (skipped: ${reason})`

function run(program: string, argv: readonly string[], env: Record<string, string> = {}): string {
  const { status, stdout, stderr } = spawnSync(program, argv, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  if (status !== 0) throw new Error(`${program} ${argv.join(' ')}: ${stderr}`)
  return stdout
}

function version(name: string): string {
  return readFileSync(join('plugins', name, 'VERSION'), 'utf8').trim()
}

void t.test(
  `packages have the same bytes whenever, wherever and with whatever umask they are made${note}`,
  { skip: reason !== undefined },
  (t) => {
    const dir = t.testdir({})
    const [first, second] = [join(dir, 'first'), join(dir, 'second')]
    run('sh', ['plugins/package.sh', first])
    cpSync('plugins', join(dir, 'elsewhere'), { recursive: true })
    run('sh', [
      '-c',
      'umask 077; find "$0" -exec touch -d 2001-02-03 {} +; exec sh "$0/package.sh" "$1"',
      join(dir, 'elsewhere'),
      second,
    ])
    t.strictSame(readdirSync(first), readdirSync(second))
    t.equal(readdirSync(first).length, NAMES.length + 1, 'a package for each plug-in, and the index')
    for (const file of readdirSync(first))
      t.ok(readFileSync(join(first, file)).equals(readFileSync(join(second, file))), file)
    t.end()
  },
)

void t.test(
  `every package says its version, and belongs to root${note}`,
  { skip: reason !== undefined },
  (t) => {
    const dir = t.testdir({})
    for (const name of NAMES) {
      run('sh', ['plugins/package.sh', dir, name])
      const deb = join(dir, `ingot-${name}_${version(name)}_all.deb`)
      t.equal(
        run('dpkg-deb', ['-f', deb, 'Package', 'Version']),
        `Package: ingot-${name}\nVersion: ${version(name)}\n`,
      )
      const files = run('dpkg-deb', ['-c', deb]).trim().split('\n')
      t.ok(
        files.every((line) => line.includes(' root/root ')),
        `${name}: owners`,
      )
      t.ok(
        files.some((line) => line.endsWith(` ./usr/lib/ingot/plugins/${name}`)),
        `${name}: version file`,
      )
    }
    t.end()
  },
)

void t.test('install.sh puts in what uninstall.sh takes away, and nothing of others', (t) => {
  for (const name of NAMES) {
    const root = t.testdir({ etc: { mine: 'mine' }, usr: { lib: { 'os-release': 'ID=debian\n' } } })
    const before = readdirSync(root, { recursive: true }).sort()
    run('sh', [join('plugins', name, 'install.sh'), '--files'], { DESTDIR: root })
    const installed = readFileSync(join(root, 'usr/lib/ingot/plugins', name), 'utf8')
    t.equal(installed.trim(), version(name), `${name}: its version is told`)
    run('sh', [join('plugins', name, 'uninstall.sh')], { DESTDIR: root })
    t.strictSame(
      readdirSync(root, { recursive: true })
        .sort()
        .filter((path) => path !== 'usr/lib/ingot/plugins'),
      before.concat('usr/lib/ingot').sort(),
      `${name}: only its folder is left`,
    )
  }
  t.end()
})

void t.test('every shell script of the plug-ins is sound for sh', (t) => {
  const scripts = readdirSync('plugins', { recursive: true, encoding: 'utf8' })
    .map((file) => join('plugins', file))
    .filter((file) =>
      /\/[^/]+\.sh$|\/(postinst|prerm|postrm|keep-root)$|\/(sbin|hooks|scripts\/.*)\/[^/.]+$/.test(file),
    )
    .filter((file) => readFileSync(file, { flag: 'r' }).subarray(0, 9).toString() === '#!/bin/sh')
  t.ok(scripts.length >= 8)
  for (const script of scripts) t.equal(run('sh', ['-n', script]), '', script)
  t.end()
})

import path from 'node:path'
import t from 'tap'
import { fromDeb822, fromOneLine, hostSources } from '../../../src/rootdisk/image/host-sources.js'

const DEB822 = `
Types: deb deb-src
# an older snapshot
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
 bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://third.example/apt
Suites: bookworm-pgdg
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
`

void t.test('stanzas give one line for each address and suite that belongs to the release', (t) => {
  const keyring = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
  t.same(fromDeb822(DEB822, 'bookworm'), [
    `deb ${keyring} http://mirror.example/debian bookworm main`,
    `deb ${keyring} http://mirror.example/debian bookworm-updates main`,
  ])
  t.same(fromDeb822(DEB822, 'trixie'), [])
  t.end()
})

void t.test('one-line entries are taken when they serve main of the release', (t) => {
  const text = [
    '# deb http://old.example/debian bookworm main',
    'deb [arch=amd64] http://mirror.example/debian bookworm main # ours',
    'deb-src http://mirror.example/debian bookworm main',
    'deb http://third.example/apt cloud-bookworm main',
    'deb http://mirror.example/debian bookworm contrib',
  ]
  const expected = ['deb [arch=amd64] http://mirror.example/debian bookworm main']
  t.same(fromOneLine(text.join('\n'), 'bookworm'), expected)
  t.end()
})

void t.test('files of both kinds are read, repeats and other files left out', async (t) => {
  const line = 'deb http://mirror.example/debian bookworm main'
  const dir = t.testdir({
    'sources.list': `${line}\n`,
    'sources.list.d': {
      'a.list': `${line}\n`,
      'b.sources': DEB822,
      'c.list.bak': 'deb http://x bookworm main',
    },
  })
  const found = await hostSources('bookworm', dir)
  t.equal(found.length, 3)
  t.equal(found[0], line)
  t.same(await hostSources('bookworm', path.join(dir, 'missing')), [])
})

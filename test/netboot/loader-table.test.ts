import { readFileSync } from 'node:fs'
import t from 'tap'
import { parseLoaderTable } from '../../src/netboot/loader-table.js'

void t.test('the table we ship is valid and has the loaders of Debian for BIOS and x64', (t) => {
  const table = parseLoaderTable(readFileSync('boot/loaders.json', 'utf8'))
  t.equal(table.get(0)?.file, 'undionly.kpxe')
  t.equal(table.get(7)?.file, 'snponly.efi')
  t.equal(table.get(9)?.file, table.get(7)?.file)
  t.end()
})

const row = (more: object): string =>
  JSON.stringify([{ arch: 0, name: 'x', by: 'tftp', file: 'a.efi', ...more }])
void t.test('the table names every code of the registry once, with a file or a reason', (t) => {
  const table = parseLoaderTable(readFileSync('boot/loaders.json', 'utf8'))
  t.same(
    [...table.keys()],
    Array.from({ length: 42 }, (_, code) => code),
  )
  for (const { file, none } of table.values()) t.ok((file === undefined) !== (none === undefined))
  t.end()
})

for (const [name, json, message] of [
  ['text that is no JSON', '{', /not JSON/],
  ['an object', '{}', /array/],
  ['a row that is no object', '[1]', /row 0/],
  ['an arch that is no 16-bit number', row({ arch: 65536 }), /row 0/],
  ['a file with a path', row({ file: '../x' }), /row 0/],
  ['a file with blanks', row({ file: 'a b' }), /row 0/],
  ['a missing name', row({ name: 1 }), /row 0/],
  ['a way that is neither TFTP nor HTTP', row({ by: 'nfs' }), /row 0/],
  ['a row with neither a file nor a reason', row({ file: undefined }), /row 0/],
  ['a row with both', row({ none: 'why' }), /row 0/],
  ['a file that is no text', row({ file: null }), /row 0/],
  ['an arch twice', `[${row({}).slice(1, -1)},${row({}).slice(1, -1)}]`, /twice/],
] as const) {
  void t.test(`${name} is refused`, (t) => {
    t.throws(() => parseLoaderTable(json), { code: 'CONFIG_INVALID', message })
    t.end()
  })
}

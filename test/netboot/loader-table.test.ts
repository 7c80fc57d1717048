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

const row = (more: object): string => JSON.stringify([{ arch: 0, name: 'x', file: 'a.efi', ...more }])
for (const [name, json, message] of [
  ['text that is no JSON', '{', /not JSON/],
  ['an object', '{}', /array/],
  ['a row that is no object', '[1]', /row 0/],
  ['an arch that is no 16-bit number', row({ arch: 65536 }), /row 0/],
  ['a file with a path', row({ file: '../x' }), /row 0/],
  ['a file with blanks', row({ file: 'a b' }), /row 0/],
  ['a missing name', row({ name: 1 }), /row 0/],
  ['an arch twice', '[{"arch":1,"name":"","file":"a"},{"arch":1,"name":"","file":"b"}]', /twice/],
] as const) {
  void t.test(`${name} is refused`, (t) => {
    t.throws(() => parseLoaderTable(json), { code: 'CONFIG_INVALID', message })
    t.end()
  })
}

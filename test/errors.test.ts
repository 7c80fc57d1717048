import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DaemonError, ERROR, systemCode } from '../src/errors.js'

const PAGE = join(import.meta.dirname, '../docs/errors.md')
const ROW = /^\| `([A-Z_]+)` \| (\d{3}) \| (.+?) \| (.+) \|$/gm

void t.test('docs/errors.md has every code with its status and rule, and no other', (t) => {
  const rows = [...readFileSync(PAGE, 'utf8').matchAll(ROW)]
  const documented = rows.map(([, code = '', status, rule]) => [code, { status: Number(status), rule }])
  t.same(Object.fromEntries(documented), ERROR)
  t.equal(rows.length, Object.keys(ERROR).length, 'no code stands twice')
  t.end()
})

void t.test('a refusal has its code, its status and its cause', (t) => {
  const cause = new Error('below')
  const err = new DaemonError('IN_USE', 'image debian is used by server web-1', { cause })
  t.match(err, { name: 'DaemonError', code: 'IN_USE', status: 409, cause })
  t.end()
})

void t.test('only a text in `code` is a system code', (t) => {
  t.equal(systemCode(Object.assign(new Error(), { code: 'ENOSPC' })), 'ENOSPC')
  t.equal(systemCode(Object.assign(new Error(), { code: 5 })), undefined)
  t.equal(systemCode({ code: 'ENOSPC' }), undefined)
  t.end()
})

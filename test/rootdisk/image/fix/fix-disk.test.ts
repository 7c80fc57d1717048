import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fixDisk } from '../../../../src/rootdisk/image/fix/fix-disk.js'
import { inspectDisk } from '../../../../src/rootdisk/image/inspect/inspect-disk.js'
import { judge, type Inspection } from '../../../../src/rootdisk/image/inspect/inspection.js'
import { FILES, makeDisk, missingTools, PLACE, run, writeAt } from '../inspect/synthetic-disk.js'

const MISSING = missingTools()
const SKIP = { skip: MISSING !== '' }
const MIB = 1 << 20
const MENU = FILES['boot/grub/grub.cfg'] as string
const LOST = 'UUID=0e0e0e0e-1111-2222-3333-444444444444'

async function inspect(path: string): Promise<Inspection> {
  return judge(await inspectDisk({ path, sizeBytes: statSync(path).size, scratchDir: join(path, '..') }))
}

function fix(path: string, rules?: readonly string[]): Promise<readonly string[]> {
  const options = { path, rules, sizeBytes: statSync(path).size, scratchDir: join(path, '..') }
  return fixDisk({ ...options, onProgress: () => undefined })
}

function brokenIn(found: Inspection): string[] {
  return found.findings.map(({ rule }) => rule)
}

void t.test(`all that is broken offline is repaired, and the disk is sound${MISSING}`, SKIP, async (t) => {
  const path = makeDisk(t.testdir(), {
    loaders: ['debian/grubx64.efi'],
    files: {
      'boot/grub/grub.cfg': MENU.replace('root=LABEL=ROOT', `root=${LOST}`),
      'etc/fstab': `# ours\n/dev/sda3 / ext4 defaults 0 1\n${LOST} /srv ext4 defaults 0 2\n/dev/vda2 /boot/efi vfat\n`,
      'etc/cloud/cloud.cfg.d/91.cfg': 'datasource_list: [ OpenStack ]\n',
      'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
      'var/lib/dbus/machine-id': '0123456789abcdef0123456789abcdef\n',
      'etc/ssh/ssh_host_rsa_key': 'secret',
      'etc/ssh/ssh_host_rsa_key.pub': 'public',
      'etc/iscsi/initiatorname.iscsi': 'InitiatorName=iqn.1993-08.org.debian:01:abc\n',
    },
  })
  writeAt(path, PLACE.disk * MIB - 512, new Uint8Array(512))
  const rules = [
    ...['backup-gpt', 'fallback-loader', 'kernel-root', 'fstab', 'datasource'],
    ...['machine-id', 'host-keys', 'initiator-name'],
  ]
  t.same(brokenIn(await inspect(path)), rules)
  t.same(await fix(path), rules)
  const found = await inspect(path)
  t.same(found.findings, [])
  t.equal(found.verdict, 'inic')
  t.match(found.facts['fstab'], /^\/ on UUID=[0-9a-f-]{36}, \/boot\/efi on UUID=[0-9A-F-]{9}$/)
  run('e2fsck', ['-f', '-n', `${path}?offset=${PLACE.root * MIB}`])
  run('sgdisk', ['-v', path])
  t.notMatch(readdirSync(join(path, '..')).join(' '), 'convert', 'no scratch folder is left')
})

void t.test(`only the rules that are asked for are seen to${MISSING}`, SKIP, async (t) => {
  const files = {
    'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
    'etc/ssh/ssh_host_rsa_key': 'secret',
  }
  const path = makeDisk(t.testdir(), { files })
  t.same(await fix(path, ['host-keys']), ['host-keys'])
  t.same(brokenIn(await inspect(path)), ['machine-id'])
})

void t.test(`a root without the label that all look for gets it${MISSING}`, SKIP, async (t) => {
  const path = makeDisk(t.testdir(), { rootLabel: 'OTHER' })
  t.same(brokenIn(await inspect(path)), ['grub-root', 'kernel-root', 'fstab'])
  await fix(path, ['grub-root'])
  t.same(brokenIn(await inspect(path)), [])
})

void t.test(
  `a superblock comes back from its copy, and what it hid is seen to${MISSING}`,
  SKIP,
  async (t) => {
    const path = makeDisk(t.testdir(), { files: { 'etc/machine-id': '0123456789abcdef0123456789abcdef\n' } })
    writeAt(path, PLACE.root * MIB + 1024, new Uint8Array(1024).fill(0xa5))
    t.same(await fix(path), ['superblock', 'machine-id'])
    t.same((await inspect(path)).findings, [])
  },
)

void t.test(`without a vendor's loader one is made that goes to the menu${MISSING}`, SKIP, async (t) => {
  const path = makeDisk(t.testdir(), { loaders: [] })
  t.same(brokenIn(await inspect(path)), ['fallback-loader'])
  t.same(await fix(path), ['fallback-loader'])
  t.match(await inspect(path), { verdict: 'inic', facts: { efi_loaders: /bootx64.efi/i } })
})

void t.test(`a rule without a remedy, and a disk without a fault, are refused${MISSING}`, SKIP, async (t) => {
  const path = makeDisk(t.testdir())
  const before = readFileSync(path)
  await t.rejects(fix(path, ['kernel-flavour']), { code: 'INVALID_INPUT' })
  await t.rejects(fix(path), { code: 'WRONG_STATE' })
  t.ok(before.equals(readFileSync(path)), 'the disk is as it was')
})

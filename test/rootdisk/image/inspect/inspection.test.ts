import { execFileSync } from 'node:child_process'
import { existsSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { inspectDisk } from '../../../../src/rootdisk/image/inspect/inspect-disk.js'
import { judge, type Inspection } from '../../../../src/rootdisk/image/inspect/inspection.js'
import {
  FILES,
  makeDisk,
  missingTools,
  PLACE,
  run,
  sized,
  writeAt,
  type SyntheticDisk,
} from './synthetic-disk.js'

const MISSING = missingTools()
const SKIP = { skip: MISSING !== '' }
const MIB = 1 << 20
/** Thirty disks, each made by a dozen tools and read by sixty: seconds by themselves, minutes beside guests. */
const LIMIT_MS = 600_000

t.setTimeout(LIMIT_MS)

async function inspect(path: string): Promise<Inspection> {
  const facts = await inspectDisk({ path, sizeBytes: statSync(path).size, scratchDir: join(path, '..') })
  return judge(facts)
}

void t.test(`a good image boots over iNIC, and is described${MISSING}`, SKIP, async (t) => {
  const dir = t.testdir()
  const { verdict, findings, properties, facts } = await inspect(makeDisk(dir))
  t.same(findings, [])
  t.equal(verdict, 'inic')
  t.match(properties, {
    hw_firmware_type: 'both',
    os_distro: 'debian',
    os_version: '12',
    boot: 'inic',
    plugins: 'sdi-inic 1.2.0',
  })
  t.match(facts, {
    root: 'partition 3',
    kernel: '6.1.0-9-amd64',
    cloud_init: '22.4.2-1 reads NoCloud, ConfigDrive',
    grub_searches: 'LABEL=ROOT',
  })
})

interface Case {
  readonly name: string
  readonly disk?: SyntheticDisk
  readonly damage?: (path: string) => void
  readonly rules: readonly string[]
  readonly verdict: Inspection['verdict']
  readonly seen?: RegExp
}

const MENU = FILES['boot/grub/grub.cfg'] as string
const LAST = PLACE.disk * MIB - 512

const CASES: readonly Case[] = [
  {
    name: 'without a fallback loader',
    disk: { loaders: ['debian/grubx64.efi'] },
    rules: ['fallback-loader'],
    verdict: 'local',
    seen: /there: \/EFI\/debian\/grubx64.efi/,
  },
  {
    name: 'without iSCSI in the initramfs',
    disk: { initramfs: { 'usr/sbin/iscsistart': undefined, 'scripts/local-top/iscsi': undefined } },
    rules: ['initramfs-iscsi'],
    verdict: 'local',
    seen: /lacks iscsistart/,
  },
  {
    name: 'whose initramfs does not log in by itself',
    disk: { initramfs: { 'etc/iscsi.initramfs': '# ISCSI_AUTO=true\n' } },
    rules: ['initramfs-iscsi'],
    verdict: 'local',
    seen: /does not log in/,
  },
  {
    name: "with a cloud's kernel only",
    disk: {
      files: { 'usr/lib/modules/6.1.0-9-amd64/modules.dep': 'kernel/drivers/net/virtio_net.ko.xz:\n' },
    },
    rules: ['kernel-flavour'],
    verdict: 'local',
  },
  {
    name: 'whose kernel is given a root that is not there',
    disk: {
      files: {
        'boot/grub/grub.cfg': MENU.replace(
          'root=LABEL=ROOT',
          'root=UUID=0e0e0e0e-1111-2222-3333-444444444444',
        ),
      },
    },
    rules: ['kernel-root'],
    verdict: 'none',
  },
  {
    name: 'whose root is /dev/sda1',
    disk: {
      files: {
        'boot/grub/grub.cfg': MENU.replace('root=LABEL=ROOT', 'root=/dev/sda1'),
        'etc/fstab': '/dev/sda1 / ext4\n',
      },
    },
    rules: ['kernel-root', 'fstab'],
    verdict: 'none',
  },
  {
    name: 'whose root has another label than GRUB looks for',
    disk: { rootLabel: 'OTHER' },
    rules: ['grub-root', 'kernel-root', 'fstab'],
    verdict: 'none',
  },
  {
    name: 'whose cloud-init reads neither ConfigDrive nor NoCloud',
    disk: { files: { 'etc/cloud/cloud.cfg.d/91.cfg': 'datasource_list:\n  - OpenStack\n  - None\n' } },
    rules: ['datasource'],
    verdict: 'local',
    seen: /reads OpenStack, None,/,
  },
  {
    name: 'with an identity of its own',
    disk: {
      files: {
        'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
        'etc/ssh/ssh_host_ed25519_key': 'secret',
        'etc/iscsi/initiatorname.iscsi': 'InitiatorName=iqn.1993-08.org.debian:01:abc\n',
      },
    },
    rules: ['machine-id', 'host-keys', 'initiator-name'],
    verdict: 'local',
  },
  {
    name: 'that was cut off',
    damage: (path) => truncateSync(path, 30 * MIB),
    rules: ['truncated', 'backup-gpt', 'system'],
    verdict: 'none',
    seen: /partition 3 is bytes 8388608 to 49283072 of a disk of 31457280/,
  },
  {
    name: 'without the backup of its GPT',
    damage: (path) => writeAt(path, LAST, new Uint8Array(512)),
    rules: ['backup-gpt'],
    verdict: 'local',
    seen: /LBA 98303/,
  },
  {
    name: 'that was made larger, and its backup GPT left where it was',
    damage: (path) => truncateSync(path, 64 * MIB),
    rules: ['backup-gpt'],
    verdict: 'local',
    seen: /says the backup is in LBA 98303, the disk ends with 131071/,
  },
  {
    name: 'with file names that are made to harm',
    disk: { files: { 'etc/cloud/cloud.cfg.d/\x1b[2J\n$(reboot).cfg': 'x' } },
    rules: ['hostile-name'],
    verdict: 'local',
    seen: /"\\x1b\[2J\\x0a\$\(reboot\).cfg"/,
  },
  {
    name: 'with links that lead back to themselves',
    disk: {
      files: {
        'etc/machine-id': { link: 'machine-id' },
        vmlinuz: { link: 'boot/a/../../vmlinuz' },
        'boot/a/b': '',
      },
    },
    rules: ['link-loop', 'menu'],
    verdict: 'none',
    seen: /\/vmlinuz is a link that leads back to itself/,
  },
  {
    name: 'with a link that leads out of the image',
    disk: { files: { 'usr/lib/os-release': { link: '../../../../../../../etc/hostname' } } },
    rules: ['system'],
    verdict: 'none',
  },
  {
    name: 'whose superblock is damaged',
    damage: (path) => writeAt(path, PLACE.root * MIB + 1024, new Uint8Array(1024).fill(0xa5)),
    rules: ['superblock', 'system'],
    verdict: 'none',
    seen: /block 8193 has a copy/,
  },
  {
    name: 'whose root has a table of its own',
    damage: (path) => {
      const nested = join(path, '..', 'nested.raw')
      sized(nested, PLACE.end - PLACE.root)
      run('sgdisk', ['-n', '1:1M:+8M', '-t', '1:8300', nested])
      run('dd', [`if=${nested}`, `of=${path}`, 'bs=1M', `seek=${PLACE.root}`, 'conv=notrunc'])
    },
    rules: ['nested-table', 'system'],
    verdict: 'none',
    seen: /partition 3 holds a partition table of its own \(gpt\)/,
  },
  {
    name: 'with inodes that are garbage',
    damage: (path) => writeAt(path, PLACE.root * MIB + 260 * 1024, new Uint8Array(64 * 1024).fill(0x5a)),
    rules: ['file-system', 'system'],
    verdict: 'none',
  },
  {
    name: 'whose initramfs is no archive',
    disk: { files: { 'boot/initrd.img-6.1.0-9-amd64': 'BZhnot bzip2 at all' } },
    rules: ['initramfs'],
    verdict: 'none',
  },
]

for (const { name, disk, damage, rules, verdict, seen } of CASES) {
  void t.test(`an image ${name} is refused for that${MISSING}`, SKIP, async (t) => {
    const path = makeDisk(t.testdir(), disk)
    damage?.(path)
    const found = await inspect(path)
    t.same(
      found.findings.map(({ rule }) => rule),
      rules,
    )
    t.equal(found.verdict, verdict)
    const words = found.findings.map((finding) => finding.seen).join('\n')
    if (seen !== undefined) t.match(words, seen)
    t.notMatch(JSON.stringify(found), /[\x00-\x1f\x7f]/, 'what is told has no control character')
    for (const { remedy } of found.findings) t.not(remedy, '')
  })
}

void t.test(`the host's files are out of reach of an image's links${MISSING}`, SKIP, async (t) => {
  const files = { 'etc/machine-id': { link: '/../../proc/self/environ' }, 'etc/hostname': '' }
  const { machine_id: machineId } = await inspect(makeDisk(t.testdir(), { files }))
  t.equal(machineId, null)
})

void t.test(`nothing stays in the scratch folder${MISSING}`, SKIP, async (t) => {
  const dir = t.testdir({ scratch: {} })
  const path = makeDisk(dir)
  await inspectDisk({ path, sizeBytes: statSync(path).size, scratchDir: join(dir, 'scratch') })
  t.same(execFileSync('ls', ['-A', join(dir, 'scratch')]).toString(), '')
  t.ok(existsSync(path))
})

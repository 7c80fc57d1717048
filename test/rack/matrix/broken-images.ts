// What breaks an image, done to a copy of a good one without mounting it: acceptance f's twelve, and how each is seen.
import { mkdir, open, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../../src/command.js'
import type { RigFirmware } from '../../../src/rig/plan.js'

/** A copy of a built Debian that may be broken. */
export interface Copy {
  readonly path: string
  /** Where its partitions begin. */
  readonly espOffset: number
  readonly rootOffset: number
  /** A folder for what is made on the way. */
  readonly scratch: string
}

/** One way to break an image. */
export interface Variant {
  readonly name: string
  /** Rules that an inspection must name, all of them and no other. */
  readonly rules: readonly string[]
  /** Words that the findings must have. */
  readonly seen: RegExp
  readonly verdict: 'local' | 'none'
  readonly damage: (copy: Copy) => Promise<void>
  /** Set when `fix` has a remedy: the firmware that boots what it makes. */
  readonly boots?: RigFirmware
}

const STEP_TIMEOUT_MS = 300_000
const MIB = 1 << 20
const MACHINE_ID = '0123456789abcdef0123456789abcdef'

/** The twelve. */
export const VARIANTS: readonly Variant[] = [
  {
    name: 'no-fallback-loader',
    rules: ['fallback-loader'],
    seen: /BOOTX64\.EFI is missing/,
    verdict: 'local',
    damage: ({ path, espOffset }) => run('mdel', ['-i', `${path}@@${espOffset}`, '::/EFI/BOOT/BOOTX64.EFI']),
    boots: 'uefi',
  },
  {
    name: 'no-iscsi-in-initramfs',
    rules: ['initramfs-iscsi'],
    seen: /lacks iscsi_tcp, iscsi_ibft, iscsistart/,
    verdict: 'local',
    damage: withoutIscsi,
    boots: 'bios',
  },
  {
    name: 'cloud-kernel',
    rules: ['kernel-flavour'],
    seen: /no driver for any physical NIC/,
    verdict: 'local',
    damage: async (copy) => {
      const [version = ''] = (await list(copy, '/usr/lib/modules')).slice(-1)
      await put(copy, `/usr/lib/modules/${version}`, 'modules.dep', 'kernel/drivers/net/virtio_net.ko:\n')
    },
  },
  {
    name: 'wrong-root',
    rules: ['kernel-root'],
    seen: /root=LABEL=NOWHERE is not on the disk/,
    verdict: 'none',
    damage: async (copy) => {
      const menu = await cat(copy, '/boot/grub/grub.cfg')
      await put(copy, '/boot/grub', 'grub.cfg', menu.replaceAll(/root=\S+/g, 'root=LABEL=NOWHERE'))
    },
    boots: 'bios',
  },
  {
    name: 'config-drive-disabled',
    rules: ['datasource'],
    seen: /neither ConfigDrive nor NoCloud/,
    verdict: 'local',
    damage: (copy) =>
      put(copy, '/etc/cloud/cloud.cfg.d', '95-x.cfg', 'datasource_list: [ OpenStack, None ]\n'),
    boots: 'bios',
  },
  {
    name: 'duplicate-machine-id',
    rules: ['machine-id'],
    seen: new RegExp(`machine-id ${MACHINE_ID}, as have those of twin`),
    verdict: 'local',
    damage: (copy) => put(copy, '/etc', 'machine-id', `${MACHINE_ID}\n`),
    boots: 'bios',
  },
  {
    name: 'truncated-disk',
    rules: ['truncated', 'backup-gpt', 'system'],
    seen: /of a disk of 1073741824/,
    verdict: 'none',
    damage: ({ path }) => truncate(path, 1024 * MIB),
  },
  {
    name: 'no-backup-gpt',
    rules: ['backup-gpt'],
    seen: /has no signature/,
    verdict: 'local',
    damage: ({ path }) => zero(path, -33 * 512, 33 * 512),
    boots: 'bios',
  },
  {
    name: 'hostile-file-names',
    rules: ['hostile-name'],
    seen: /\\x1b\[2J\$\(reboot\)/,
    verdict: 'local',
    damage: (copy) => put(copy, '/etc/cloud/cloud.cfg.d', 'a\x1b[2J$(reboot).cfg', 'x'),
  },
  {
    name: 'symlink-loops',
    rules: ['link-loop', 'menu'],
    seen: /\/vmlinuz is a link that leads back to itself/,
    verdict: 'none',
    damage: (copy) => debugfs(copy, 'rm /vmlinuz', 'symlink /vmlinuz ../../vmlinuz'),
  },
  {
    name: 'corrupt-superblock',
    rules: ['superblock', 'system'],
    seen: /block 32768 has a copy/,
    verdict: 'none',
    damage: ({ path, rootOffset }) => zero(path, rootOffset + 1024, 1024),
    boots: 'bios',
  },
  {
    name: 'nested-partitions',
    rules: ['nested-table', 'system', 'loader'],
    seen: /partition 1 holds a partition table of its own \(gpt\)/,
    verdict: 'none',
    damage: nested,
  },
]

/** The whole disk becomes the first partition of another one. */
async function nested({ path, scratch }: Copy): Promise<void> {
  const outer = join(scratch, 'outer.raw')
  await writeFile(outer, '')
  await truncate(outer, 4100 * MIB)
  await run('sgdisk', ['-n', '1:1M:+4096M', '-t', '1:8300', outer])
  await run('dd', [`if=${path}`, `of=${outer}`, 'bs=1M', 'seek=1', 'conv=notrunc,sparse'])
  await run('mv', [outer, path])
}

/** An initramfs as an image has it that was made for a local disk. */
async function withoutIscsi(copy: Copy): Promise<void> {
  const tree = join(copy.scratch, 'initramfs')
  await mkdir(tree)
  const [name = ''] = (await list(copy, '/boot')).filter((file) => file.startsWith('initrd.img-')).slice(-1)
  const packed = join(copy.scratch, 'initrd')
  await debugfs(copy, `dump /boot/${name} ${packed}`)
  await shell('cd "$1" && zstd -dc "$2" | cpio -i --quiet', tree, packed)
  await shell(
    `cd "$1" && find . '(' -name 'iscsi*' -o -name '*iscsi' -o -name 'libiscsi*' -o -name 'iscsid*' ')' -prune -exec rm -r {} +
     find . -print0 | sort -z | cpio -o -0 -H newc --quiet -R 0:0 | zstd -q -f -o "$2"`,
    tree,
    packed,
  )
  await debugfs(
    copy,
    'cd /boot',
    `rm ${name}`,
    `write ${packed} ${name}`,
    'cd /etc/iscsi',
    'rm iscsi.initramfs',
  )
  await debugfs(
    copy,
    'cd /usr/share/initramfs-tools/hooks',
    'rm ingot-sdi-inic',
    'cd /usr/share/initramfs-tools/modules.d',
    'rm ingot',
  )
  await rm(tree, { recursive: true, force: true })
}

async function put(copy: Copy, folder: string, name: string, content: string): Promise<void> {
  const file = join(copy.scratch, 'content')
  await writeFile(file, content)
  await debugfs(copy, `cd ${folder}`, `rm ${name}`, `write ${file} ${name}`)
}

async function cat(copy: Copy, path: string): Promise<string> {
  const { stdout } = await runCommand('debugfs', ['-R', `cat ${path}`, device(copy)], {
    timeoutMs: STEP_TIMEOUT_MS,
  })
  return stdout
}

async function list(copy: Copy, folder: string): Promise<string[]> {
  const { stdout } = await runCommand('debugfs', ['-R', `ls -p ${folder}`, device(copy)], {
    timeoutMs: STEP_TIMEOUT_MS,
  })
  return stdout
    .split('\n')
    .flatMap((line) => line.split('/')[5] ?? [])
    .filter((name) => !/^\.*$/.test(name))
}

function debugfs(copy: Copy, ...requests: string[]): Promise<void> {
  return run('debugfs', ['-w', '-f', '-', device(copy)], requests.map((line) => `${line}\n`).join(''))
}

function device({ path, rootOffset }: Copy): string {
  return `${path}?offset=${rootOffset}`
}

/** @param offset from the end when negative */
async function zero(path: string, offset: number, length: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { size } = await file.stat()
    await file.write(new Uint8Array(length), 0, length, offset < 0 ? size + offset : offset)
  } finally {
    await file.close()
  }
}

function shell(script: string, ...args: string[]): Promise<void> {
  return run('sh', ['-euc', script, 'sh', ...args])
}

async function run(program: string, args: readonly string[], stdin = ''): Promise<void> {
  await runCommand(program, args, { timeoutMs: STEP_TIMEOUT_MS, stdin, env: { MTOOLS_SKIP_CHECK: '1' } })
}

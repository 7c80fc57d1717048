import { constants } from 'node:fs'
import { access, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandFailed, runCommand } from '../../../command.js'
import { DaemonError } from '../../../errors.js'
import { harmless } from '../inspect/file-tree.js'

/** A guest that repairs its own disk: nothing of the image runs anywhere else. */
export interface RepairGuest {
  /** The disk to repair, raw. */
  readonly path: string
  /** The image's own kernel, its initramfs and the words of its menu. */
  readonly kernel: Uint8Array
  readonly initrd: Uint8Array
  readonly arguments: readonly string[]
  /** Packages to install. */
  readonly packages: readonly string[]
  readonly scratchDir: string
  readonly signal?: AbortSignal | undefined
}

/** Under TCG a Debian's initramfs takes 6 minutes, twenty on a busy host. */
const GUEST_LIMIT_MS = 1_800_000
const GUEST_MIB = 1024
const STEP_TIMEOUT_MS = 60_000
const TOOLS_AT = 1 << 20
/** Programs at the same addresses each time: TCG then finds again what it has translated for the one before. */
const ADDED_WORDS = ['rw', 'console=ttyS0', 'panic=-1', 'norandmaps'] as const
const DONE = 'INGOT-REPAIR-DONE'

/** The shell reads its script from the second disk, so that nothing has to be put onto the first one. */
const SCRIPT = `#!/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH DEBIAN_FRONTEND=noninteractive
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mount -o remount,rw / || echo 'the root cannot be written'
mount -t tmpfs -o mode=0755 tmpfs /tmp
mkdir /tmp/ingot
dd if=/dev/vdb bs=1M skip=1 2>/dev/null | tar -x -C /tmp/ingot
repair() {
  set -e
  if command -v dpkg >/dev/null; then dpkg --install --force-confold /tmp/ingot/*.deb # its postinst makes the initramfs
  elif command -v dracut >/dev/null; then dracut --force --regenerate-all --no-hostonly
  else echo 'neither dpkg nor dracut is there'; false; fi
}
(repair) 2>&1 && echo ${DONE}
umount /tmp
sync
mount -o remount,ro / || { echo s >/proc/sysrq-trigger; sleep 2; }
echo o >/proc/sysrq-trigger
sleep 60
exit
`

/**
 * Starts the image's own system on its disk, without a network, to install packages and make its initramfs anew.
 * @throws DaemonError WRONG_STATE with the guest's last words, TIMED_OUT; the signal's reason
 */
export async function repairInGuest(guest: RepairGuest): Promise<void> {
  const { scratchDir } = guest
  const [kernel, initrd] = [join(scratchDir, 'kernel'), join(scratchDir, 'initrd')]
  await writeFile(kernel, guest.kernel)
  await writeFile(initrd, guest.initrd)
  const tools = await toolsDisk(guest)
  const console = await runGuest(guest, [
    '-kernel',
    kernel,
    '-initrd',
    initrd,
    ...drive(guest.path),
    ...drive(tools, true),
  ])
  if (console.includes(DONE)) return
  const said = console
    .split(/\r?\n/)
    .filter((line) => line !== '')
    .slice(-5)
    .map(harmless)
    .join(' / ')
  throw new DaemonError('WRONG_STATE', `the image's own system could not repair it (${said})`)
}

async function runGuest(
  { arguments: words, signal }: RepairGuest,
  disks: readonly string[],
): Promise<string> {
  const kept = words.filter((word) => !/^(console=|quiet$|splash$|ro$|loglevel=|init=)/.test(word))
  const append = [...kept, ...ADDED_WORDS, 'init=/bin/sh', '--', '/dev/vdb'].join(' ')
  const machine = ['-append', append, ...disks]
  try {
    return (await runUnderKvm(machine, signal)) ?? (await runQemu('tcg,thread=multi', machine, signal))
  } catch (err) {
    signal?.throwIfAborted()
    if (!(err instanceof CommandFailed)) throw err
    const isLate = err.message.includes('SIGKILL')
    const why = isLate
      ? 'the repair in a guest did not finish in its time'
      : `no guest can be started (${err.message})`
    throw new DaemonError(isLate ? 'TIMED_OUT' : 'WRONG_STATE', why, { cause: err })
  }
}

/** Undefined when no guest began: a host may show a KVM that does not work, as one inside another may be. */
async function runUnderKvm(machine: readonly string[], signal?: AbortSignal): Promise<string | undefined> {
  if (!(await hasKvm())) return undefined
  try {
    return await runQemu('kvm', machine, signal)
  } catch (err) {
    const hasBegun = !(err instanceof CommandFailed) || err.result.stdout !== ''
    if (hasBegun || signal?.aborted === true || err.message.includes('SIGKILL')) throw err
    return undefined
  }
}

/** What the guest says on its console until it powers off. @throws CommandFailed */
async function runQemu(
  accelerator: string,
  machine: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  const args = [
    ...['-machine', 'q35', '-accel', accelerator, '-smp', '2', '-m', `${GUEST_MIB}`, '-cpu', 'max'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-nic', 'none'],
    ...['-serial', 'stdio', '-no-reboot'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...machine,
  ]
  const options = { timeoutMs: GUEST_LIMIT_MS, ...(signal === undefined ? {} : { signal }) }
  return (await runCommand('qemu-system-x86_64', args, options)).stdout
}

/** Preferred to TCG, which QEMU's authors do not call a border that holds. */
async function hasKvm(): Promise<boolean> {
  return access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  )
}

function drive(path: string, isReadOnly = false): string[] {
  return [
    '-drive',
    `file=${path.replaceAll(',', ',,')},format=raw,if=virtio,cache=unsafe,read-only=${isReadOnly ? 'on' : 'off'}`,
  ]
}

/** The script, and from the first MiB on a tar of the packages. */
async function toolsDisk({ scratchDir, packages }: RepairGuest): Promise<string> {
  const path = join(scratchDir, 'tools')
  await writeFile(path, SCRIPT.padEnd(TOOLS_AT, '\n'))
  const file = await open(path, 'a')
  try {
    const names = packages.map((deb) => deb.replace(/^.*\//, ''))
    const folder = packages[0]?.replace(/\/[^/]*$/, '') ?? scratchDir
    const list = names.length > 0 ? ['--', ...names] : ['-T', '/dev/null']
    await runCommand('tar', ['-c', '-C', folder, ...list], { timeoutMs: STEP_TIMEOUT_MS, stdoutFd: file.fd })
  } finally {
    await file.close()
  }
  return path
}

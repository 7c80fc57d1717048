import { nicArguments } from './nic-plan.js'
import { machinePaths, type MachinePaths, type RigFirmware, type RigMachinePlan } from './plan.js'

/** QEMU for every rig machine. */
export const QEMU = 'qemu-system-x86_64'

/** Debian's OVMF builds: code is read-only, variables are copied per machine; `.ms` have Microsoft's keys. */
export function ovmfOf(kind: RigFirmware): { readonly code: string; readonly vars: string } {
  const keys = kind === 'uefi-secure' ? '.ms' : ''
  return { code: `/usr/share/OVMF/OVMF_CODE_4M${keys}.fd`, vars: `/usr/share/OVMF/OVMF_VARS_4M${keys}.fd` }
}

/** Requests wait that long for a disk server that went away before the guest is told of an error. */
const CARD_PATIENCE_SECONDS = 86_400

/** What decides a machine's command line at one power-on. */
export interface QemuBoot {
  readonly machine: RigMachinePlan
  readonly rigDir: string
  /** False when the boot override says disk first. */
  readonly isNetworkFirst: boolean
}

/**
 * QEMU's arguments for a diskless machine that boots from its NIC, or from the disk of its iNIC card. TCG, because firmware does not run under every
 * KVM; no QEMU defaults, so that the machine has exactly what stands here.
 */
export function qemuArguments({ machine, rigDir, isNetworkFirst }: QemuBoot): string[] {
  const paths = machinePaths(rigDir, machine.name)
  const isSecure = machine.firmware === 'uefi-secure'
  return [
    ...['-name', `ingot-rig-${machine.name}`, '-no-user-config', '-nodefaults', '-display', 'none'],
    // graphics=off makes SeaBIOS talk on the serial port
    ...['-machine', `q35,graphics=off${isSecure ? ',smm=on' : ''}`, '-accel', 'tcg,thread=multi'],
    // only code in system management mode may change what is trusted
    ...(isSecure ? ['-global', 'driver=cfi.pflash01,property=secure,value=on'] : []),
    ...['-smp', String(machine.cpus), '-m', String(machine.memoryMib), '-uuid', machine.uuid],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-chardev', `file,id=console,path=${quoted(paths.console)},append=on`, '-serial', 'chardev:console'],
    ...['-chardev', `socket,id=qmp,path=${quoted(paths.qmp)},server=on,wait=off`],
    ...['-mon', 'chardev=qmp,mode=control', '-pidfile', paths.pid],
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng0'],
    ...nics(machine, isNetworkFirst && machine.cardSocket === undefined),
    ...card(machine),
    ...localDisk(machine),
    ...firmware(machine.firmware, paths.vars),
  ]
}

/** What only this machine's QEMU has in /proc/PID/cmdline, where arguments stand NUL-ended. */
export function qemuMarker(paths: MachinePaths): string {
  return `-pidfile\0${paths.pid}\0`
}

function nics(machine: RigMachinePlan, isNetworkFirst: boolean): string[] {
  // QEMU's default ROM, efi-virtio.rom, holds a BIOS image too. Debian 12's pxe-virtio.rom is not started by SeaBIOS
  // on a q35 root bus (QEMU 7.2: "No bootable device").
  const hasRom = machine.firmware === 'bios' || machine.firmware === 'uefi'
  return machine.nics.flatMap((nic, index) => {
    const isBootNic = index === 0 && isNetworkFirst
    // without a ROM firmware does not boot from it; OVMF's own client goes by the boot index
    const noRom = index === 0 && hasRom && machine.cardSocket === undefined ? [] : ['romfile=']
    return nicArguments(nic, index, [...(isBootNic ? ['bootindex=1'] : []), ...noRom])
  })
}

/**
 * What an iNIC card shows to its host: a local disk to boot from and the seed, whose bytes come over a network that
 * the guest never sees. A server that goes away is waited for and asked again, as a card would.
 */
function card({ name, cardSocket }: RigMachinePlan): string[] {
  if (cardSocket === undefined) return []
  const server = `server.type=unix,server.path=${quoted(cardSocket)}`
  const disk = (node: string, exported: string, more: string): string =>
    `driver=nbd,node-name=${node},${server},export=${exported},reconnect-delay=${CARD_PATIENCE_SECONDS}${more}`
  return [
    ...['-blockdev', disk('root', `machine/${name}`, ',discard=unmap')],
    ...['-device', 'virtio-blk-pci,drive=root,bootindex=1'],
    ...['-blockdev', disk('seed', `machine/${name}/seed`, ',read-only=on')],
    ...['-device', 'virtio-blk-pci,drive=seed'],
  ]
}

function localDisk({ diskFile }: RigMachinePlan): string[] {
  if (diskFile === undefined) return []
  return [
    ...['-blockdev', `driver=file,node-name=local-file,filename=${quoted(diskFile)}`],
    ...['-blockdev', 'driver=raw,node-name=local,file=local-file'],
    ...['-device', 'virtio-blk-pci,drive=local,bootindex=2'],
  ]
}

function firmware(kind: RigFirmware, vars: string): string[] {
  if (kind === 'bios') return []
  const flash = [
    ...['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${ovmfOf(kind).code}`],
    ...['-drive', `if=pflash,unit=1,format=raw,file=${quoted(vars)}`],
  ]
  if (kind === 'uefi') return flash
  // OVMF 2022.11 tries IPv6 first and waits for more than a minute; HTTP boot comes after PXE
  const without = kind === 'uefi-http' ? ['IPv6', 'IPv4'] : ['IPv6']
  const pxe = without.flatMap((ip) => ['-fw_cfg', `name=opt/org.tianocore/${ip}PXESupport,string=n`])
  return [...flash, ...pxe]
}

/** A comma inside a QEMU option value is written twice. */
function quoted(value: string): string {
  return value.replaceAll(',', ',,')
}

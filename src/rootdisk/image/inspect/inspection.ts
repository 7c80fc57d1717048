import type { CloudInitFacts, ImageFacts, InitramfsFacts, SystemFacts } from './facts.js'
import { DISK_RULES } from './disk-rules.js'
import type { Breaks } from './rule.js'
import { SYSTEM_RULES } from './system-rules.js'

/** What an image is good for: a server over iNIC (and all the rest), a local disk, nothing. */
export type Verdict = 'inic' | 'local' | 'none'

/** A rule that an image breaks. */
export interface Finding {
  readonly rule: string
  readonly breaks: Breaks
  readonly seen: string
  readonly remedy: string
  readonly is_fixable: boolean
}

/** What is kept of an inspection and shown to people: plain JSON. */
export interface Inspection {
  readonly verdict: Verdict
  readonly findings: readonly Finding[]
  /** Image properties that follow from it: `os_distro`, `hw_firmware_type`, `boot`, `plugins`... */
  readonly properties: Readonly<Record<string, string>>
  /** What was seen, in words, in the order of a boot. */
  readonly facts: Readonly<Record<string, string>>
  /** The machine-id that is in the image, to be compared with other images'. */
  readonly machine_id: string | null
}

/** Judges facts by every rule. */
export function judge(facts: ImageFacts): Inspection {
  const findings = [...DISK_RULES, ...SYSTEM_RULES].flatMap(
    ({ id, breaks, check, remedy, isFixable }): Finding[] => {
      const seen = check(facts)
      return seen === undefined ? [] : [{ rule: id, breaks, seen, remedy, is_fixable: isFixable }]
    },
  )
  const verdict = verdictOf(findings)
  return {
    verdict,
    findings,
    properties: propertiesOf(facts, verdict),
    facts: summary(facts),
    machine_id: facts.system?.identity.machineId ?? null,
  }
}

function verdictOf(findings: readonly Finding[]): Verdict {
  if (findings.some(({ breaks }) => breaks === 'boot')) return 'none'
  return findings.some(({ breaks }) => breaks === 'inic') ? 'local' : 'inic'
}

function propertiesOf({ firmware, system }: ImageFacts, verdict: Verdict): Record<string, string> {
  const firmwareType = firmware.hasBiosLoader ? 'bios' : 'uefi'
  return present({
    hw_firmware_type: firmware.hasBiosLoader && firmware.hasFallback ? 'both' : firmwareType,
    os_distro: system?.os.id,
    os_version: system?.os.version,
    boot: verdict,
    plugins: system && pluginWords(system),
    efi_loader: firmware.loaders.find((path) => path.toLowerCase().endsWith('/bootx64.efi')),
  })
}

function summary(facts: ImageFacts): Record<string, string> {
  const { table, fileSystems, firmware, system } = facts
  const described = fileSystems.map(({ where, type = 'nothing known', label, uuid }) =>
    [where, type, label, uuid].filter(Boolean).join(' '),
  )
  return present({
    size_bytes: `${facts.sizeBytes}`,
    partition_table: table.kind,
    file_systems: described.join(', '),
    bios_loader: firmware.hasBiosLoader ? 'yes' : 'no',
    efi_loaders: firmware.loaders.join(', '),
    ...(system === undefined ? {} : systemSummary(system)),
  })
}

function systemSummary(system: SystemFacts): Record<string, string | undefined> {
  const { menu, kernel, initramfs, cloudInit } = system
  return {
    os: system.os.name,
    root: system.where,
    grub_searches: menu?.searches.join(', '),
    kernel: kernel?.version,
    kernel_arguments: menu?.arguments.join(' '),
    kernel_drivers: kernel?.drivers.join(' '),
    initramfs: initramfs && initramfsWords(initramfs),
    cloud_init: cloudInit && cloudInitWords(cloudInit),
    plugins: pluginWords(system),
    fstab: system.fstab.map(({ source, path }) => `${path} on ${source}`).join(', '),
  }
}

function cloudInitWords({ version, datasources }: CloudInitFacts): string {
  return `${version} reads ${datasources?.join(', ') ?? 'everything'}`
}

function pluginWords({ plugins }: SystemFacts): string {
  return plugins.map(({ name, version }) => `${name} ${version}`).join(', ')
}

function initramfsWords(initramfs: InitramfsFacts): string {
  if (initramfs.damage !== undefined) return `damaged: ${initramfs.damage}`
  const { maker, drivers, hasIscsistart, startsIscsi } = initramfs
  const iscsi = startsIscsi ? 'logs in from the iBFT' : 'does not log in from the iBFT'
  return `${maker}, ${hasIscsistart ? 'iscsistart' : 'no iscsistart'}, ${iscsi}, has ${drivers.join(' ')}`
}

function present(fields: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(fields).filter((entry): entry is [string, string] => Boolean(entry[1]))
  return Object.fromEntries(entries)
}

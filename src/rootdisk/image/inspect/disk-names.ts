import type { FileSystem } from './file-systems.js'

/** What a source like `LABEL=ROOT` is looked for among. */
export type NamedDisk = Pick<FileSystem, 'where' | 'label' | 'uuid' | 'partition'>

/** How a source names a disk; udev's links say the same. */
const NAMED = /^(?:\/dev\/disk\/by-)?(label|uuid|partuuid|partlabel)[=/](.+)$/i
const VOLUME = /^\/dev\/mapper\/([^/]+)$/
const VOLUME_LINK = /^\/dev\/([^/]+)\/([^/]+)$/

/**
 * Whether `root=` or fstab's `source` names one of `disks`; undefined where nothing can be said of it
 * (`/dev/sda1`, `tmpfs`, `server:/share`).
 */
export function isAmong(source: string, disks: readonly NamedDisk[]): boolean | undefined {
  const text = source.replaceAll('"', '')
  const [, kind, value = ''] = NAMED.exec(text) ?? []
  if (kind !== undefined)
    return disks.some((disk) => valueOf(disk, kind.toLowerCase()) === normal(kind, value))
  const volume = VOLUME.exec(text)?.[1] ?? VOLUME_LINK.exec(text)?.slice(1).map(escaped).join('-')
  const volumes = disks.filter(({ where }) => where.startsWith('volume '))
  if (volume === undefined || volumes.length === 0) return undefined
  return volumes.some(({ where }) => where === `volume ${volume}`)
}

/** Whether a source is a name that another machine gives to another disk (`/dev/sda1`). */
export function isUnstable(source: string): boolean {
  return /^\/dev\/(sd|hd|vd|xvd|nvme|mmcblk)/.test(source)
}

function valueOf(disk: NamedDisk, kind: string): string | undefined {
  if (kind === 'label') return disk.label
  if (kind === 'uuid') return disk.uuid?.toLowerCase()
  return kind === 'partuuid' ? disk.partition?.guid : disk.partition?.name
}

function normal(kind: string, value: string): string {
  return kind.toLowerCase().endsWith('uuid') ? value.toLowerCase() : value
}

/** The device mapper doubles the blanks' stand-in: volume `a-b` of `vg` is `vg-a--b`. */
function escaped(name: string): string {
  return name.replaceAll('-', '--')
}

import { readIso9660 } from '../seed/iso-reader.js'

// How Cloudbase-Init looks for a config drive on Windows ("OpenStack (configuration drive)" in its documentation, and
// docs/windows.md), written anew from that: nothing here is shared with what writes the disk.

/** A disk as Windows shows it. */
export interface PhysicalDisk {
  readonly bytes: Buffer
  /** Its geometry says fixed media, not removable. */
  readonly isFixed: boolean
}

/** What is copied off a config drive, by path. */
export type FolderCopy = ReadonlyMap<string, Buffer>

interface Device {
  readonly bytes: Buffer
  readonly isFixed: boolean
}

const BOOT_RECORD = 0x8000
const READ_BYTES = 4096

/**
 * Whole disks first, then their partitions, disk by disk: the first raw ISO 9660 is taken, whatever its label. Then
 * comes what Windows mounted with a drive letter, by label; none of it is read here, since Windows mounts no ISO 9660
 * of a fixed disk.
 */
export function findConfigDrive(disks: readonly PhysicalDisk[]): FolderCopy | undefined {
  const byDisk = disks.map((disk) => partitionsOf(disk))
  return [disks, ...byDisk].map((devices) => firstIso(devices)).find((found) => found !== undefined)
}

/** A mounted volume counts by its label, in any case, and by the file that it must have. */
export function isConfigVolume(label: string, paths: readonly string[]): boolean {
  return label.toLowerCase() === 'config-2' && paths.includes('openstack/latest/meta_data.json')
}

function firstIso(devices: readonly Device[]): FolderCopy | undefined {
  for (const device of devices) {
    const size = isoBytes(device)
    if (size > 0) return extract(copyOf(device, size))
  }
  return undefined
}

/** The size as two little-endian numbers of 16 bits say it: 128 MiB and more are cut. */
function isoBytes({ bytes, isFixed }: Device): number {
  if (!isFixed || bytes.length <= BOOT_RECORD + 130) return 0
  if (bytes.toString('latin1', BOOT_RECORD + 1, BOOT_RECORD + 6) !== 'CD001') return 0
  return bytes.readUInt16LE(BOOT_RECORD + 80) * bytes.readUInt16LE(BOOT_RECORD + 128)
}

function copyOf({ bytes }: Device, size: number): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < size; at += READ_BYTES)
    pieces.push(bytes.subarray(at, Math.min(at + READ_BYTES, size)))
  return Buffer.concat(pieces)
}

/** As bsdtar does: by Rock Ridge names. */
function extract(volume: Buffer): FolderCopy {
  return new Map(readIso9660(volume).files.map(({ path, bytes }) => [path, bytes]))
}

/** The used entries of an MBR, each as a device of its own. */
function partitionsOf({ bytes, isFixed }: PhysicalDisk): Device[] {
  if (bytes.readUInt16LE(510) !== 0xaa55) return []
  return [446, 462, 478, 494]
    .filter((at) => bytes[at + 4] !== 0)
    .map((at) => {
      const start = bytes.readUInt32LE(at + 8) * 512
      return { bytes: bytes.subarray(start, start + bytes.readUInt32LE(at + 12) * 512), isFixed }
    })
}

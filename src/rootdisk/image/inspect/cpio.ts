import { MalformedPacket } from '../../../wire/malformed-packet.js'

/** A file in an archive; `start` and `sizeBytes` say where its bytes are. */
export interface CpioEntry {
  /** Without a leading `./` or `/`. */
  readonly name: string
  readonly start: number
  readonly sizeBytes: number
}

/** What {@link readCpio} found. */
export interface CpioListing {
  readonly entries: readonly CpioEntry[]
  /** Where the archive ends, after the zeros that fill up behind it. */
  readonly end: number
}

/**
 * The "new ASCII" format that kernels unpack (Documentation/driver-api/early-userspace/buffer-format.rst): a magic,
 * 13 fields of 8 hex digits (ino mode uid gid nlink mtime filesize maj min rmaj rmin namesize check), the name with a
 * NUL, the file; name and file are filled up to 4 bytes. `TRAILER!!!` ends it.
 */
const MAGICS = ['070701', '070702']
const HEADER_BYTES = 110
const SIZE_FIELD = 6
const NAME_FIELD = 11
const MAX_NAME_BYTES = 4096
const MAX_ENTRIES = 100_000
const TRAILER = 'TRAILER!!!'

/** Whether an archive begins at `at`. */
export function isCpio(bytes: Uint8Array, at: number): boolean {
  return MAGICS.includes(text(bytes, at, 6))
}

/**
 * Lists the archive that begins at `at`.
 * @throws MalformedPacket on anything else, and nothing but that
 */
export function readCpio(bytes: Uint8Array, at: number): CpioListing {
  const entries: CpioEntry[] = []
  for (let here = at; entries.length < MAX_ENTRIES;) {
    if (!isCpio(bytes, here)) throw new MalformedPacket('cpio archive', here, 'has no header')
    const sizeBytes = field(bytes, here, SIZE_FIELD)
    const nameBytes = field(bytes, here, NAME_FIELD)
    if (nameBytes < 1 || nameBytes > MAX_NAME_BYTES)
      throw new MalformedPacket('cpio archive', here, `${nameBytes} is no length of a name`)
    const name = text(bytes, here + HEADER_BYTES, nameBytes - 1)
    const start = aligned(here + HEADER_BYTES + nameBytes)
    const end = start + sizeBytes
    if (end > bytes.length) throw new MalformedPacket('cpio archive', here, 'ends within a file')
    if (name === TRAILER) return { entries, end: afterZeros(bytes, end) }
    entries.push({ name: name.replace(/^(\.?\/)+/, ''), start, sizeBytes })
    here = aligned(end)
  }
  throw new MalformedPacket('cpio archive', at, `has more than ${MAX_ENTRIES} files`)
}

function field(bytes: Uint8Array, at: number, index: number): number {
  const digits = text(bytes, at + 6 + index * 8, 8)
  if (!/^[0-9A-Fa-f]{8}$/.test(digits)) throw new MalformedPacket('cpio header', index, 'is no number')
  return Number.parseInt(digits, 16)
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.subarray(at, at + length)).toString('latin1')
}

function aligned(at: number): number {
  return Math.ceil(at / 4) * 4
}

function afterZeros(bytes: Uint8Array, at: number): number {
  let end = at
  while (end < bytes.length && bytes[end] === 0) end++
  return end
}

// A reader of ISO 9660 with Rock Ridge, written from ECMA-119 and IEEE P1282 apart from the writer under test.

const BLOCK = 2048

/** A file found on a volume. */
export interface FoundFile {
  readonly path: string
  readonly bytes: Buffer
}

/** The volume label and every file, by Rock Ridge name, in the order of the directory records. */
export function readIso9660(volume: Buffer): { label: string; files: FoundFile[] } {
  const descriptor = volume.subarray(16 * BLOCK, 17 * BLOCK)
  if (descriptor.toString('latin1', 0, 7) !== '\x01CD001\x01') throw new Error('no primary volume descriptor')
  if (volume.toString('latin1', 17 * BLOCK, 17 * BLOCK + 7) !== '\xffCD001\x01')
    throw new Error('no terminator')
  if (both32(descriptor, 80) * BLOCK !== volume.length) throw new Error('volume space size is wrong')
  const files: FoundFile[] = []
  walk(volume, descriptor.subarray(156, 190), '', files)
  return { label: descriptor.toString('latin1', 40, 72).trimEnd(), files }
}

/** The directories of a path table as their extents; `parents` are 1-based. */
export function readPathTable(volume: Buffer, order: 'LE' | 'BE'): { extents: number[]; parents: number[] } {
  const descriptor = volume.subarray(16 * BLOCK, 17 * BLOCK)
  const start = (order === 'LE' ? descriptor.readUInt32LE(140) : descriptor.readUInt32BE(148)) * BLOCK
  const end = start + both32(descriptor, 132)
  const table = { extents: [] as number[], parents: [] as number[] }
  for (let at = start; at < end;) {
    const length = volume.readUInt8(at)
    table.extents.push(order === 'LE' ? volume.readUInt32LE(at + 2) : volume.readUInt32BE(at + 2))
    table.parents.push(order === 'LE' ? volume.readUInt16LE(at + 6) : volume.readUInt16BE(at + 6))
    at += 8 + length + (length % 2)
  }
  return table
}

function walk(volume: Buffer, directory: Buffer, path: string, files: FoundFile[]): void {
  const content = extentOf(volume, directory)
  if (content.length % BLOCK !== 0) throw new Error(`${path}: directory of half a block`)
  let previous = ''
  for (const record of recordsOf(content)) {
    const identifier = record.toString('latin1', 33, 33 + record.readUInt8(32))
    if (identifier <= previous) throw new Error(`${path}: records out of order`)
    previous = identifier
    if (identifier === '\0' || identifier === '\x01') continue
    const isDirectory = (record.readUInt8(25) & 2) !== 0
    if (!(isDirectory ? /^[A-Z0-9_]{1,8}$/ : /^[A-Z0-9_]{0,8}\.[A-Z0-9_]{0,3};1$/).test(identifier)) {
      throw new Error(`${identifier} is not level 1`)
    }
    const name = path + rockRidgeName(record)
    if (isDirectory) walk(volume, record, `${name}/`, files)
    else files.push({ path: name, bytes: extentOf(volume, record) })
  }
}

function* recordsOf(content: Buffer): Generator<Buffer> {
  for (let at = 0; at < content.length;) {
    const length = content.readUInt8(at)
    if (length === 0) {
      at = (Math.floor(at / BLOCK) + 1) * BLOCK
      continue
    }
    if ((at % BLOCK) + length > BLOCK) throw new Error('a record crosses a block')
    yield content.subarray(at, at + length)
    at += length
  }
}

function rockRidgeName(record: Buffer): string {
  const identifierLength = record.readUInt8(32)
  let at = 33 + identifierLength + ((identifierLength + 1) % 2)
  while (at + 4 <= record.length) {
    const length = record.readUInt8(at + 2)
    if (record.toString('latin1', at, at + 2) === 'NM') return record.toString('latin1', at + 5, at + length)
    at += length
  }
  throw new Error('a record without a name')
}

function extentOf(volume: Buffer, record: Buffer): Buffer {
  const start = both32(record, 2) * BLOCK
  const size = both32(record, 10)
  if (start + size > volume.length) throw new Error('an extent passes the end of the volume')
  return volume.subarray(start, start + size)
}

function both32(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32LE(at)
  if (bytes.readUInt32BE(at + 4) !== value) throw new Error(`byte orders differ at ${String(at)}`)
  return value
}

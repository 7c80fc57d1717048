/** Where a node lies on the volume. */
export interface Extent {
  /** In logical blocks of 2048 bytes. */
  readonly block: number
  readonly sizeBytes: number
}

/** What one directory record says. */
export interface RecordEntry {
  /** `\0` for the directory itself, `\x01` for its parent, else the level 1 identifier. */
  readonly identifier: string
  readonly isDirectory: boolean
  readonly extent: Extent
  /** Rock Ridge entries, see {@link rockRidge}. */
  readonly systemUse: Buffer
}

/** A 16-bit number in both byte orders (ECMA-119 §7.2.3). */
export function bothEndian16(into: Buffer, offset: number, value: number): void {
  into.writeUInt16LE(value, offset)
  into.writeUInt16BE(value, offset + 2)
}

/** A 32-bit number in both byte orders (ECMA-119 §7.3.3). */
export function bothEndian32(into: Buffer, offset: number, value: number): void {
  into.writeUInt32LE(value, offset)
  into.writeUInt32BE(value, offset + 4)
}

/** A directory record (ECMA-119 §9.1), its length even and at most 255 bytes. */
export function directoryRecord(entry: RecordEntry, timestampMs: number): Buffer {
  const identifier = Buffer.from(entry.identifier, 'latin1')
  const systemUseAt = 33 + identifier.length + ((identifier.length + 1) % 2)
  const length = systemUseAt + entry.systemUse.length
  const record = Buffer.alloc(length + (length % 2))
  record[0] = record.length
  bothEndian32(record, 2, entry.extent.block)
  bothEndian32(record, 10, entry.extent.sizeBytes)
  record.set(recordingDate(timestampMs), 18)
  record[25] = entry.isDirectory ? 0x02 : 0x00
  bothEndian16(record, 28, 1) // volume sequence number
  record[32] = identifier.length
  record.set(identifier, 33)
  record.set(entry.systemUse, systemUseAt)
  return record
}

/** What Rock Ridge says of a node. */
export interface RockRidgeNode {
  /** Its true name; undefined for the records of a directory itself and of its parent. */
  readonly name: string | undefined
  readonly isDirectory: boolean
  readonly linkCount: number
  /** Only on the root's own record: announces SUSP and Rock Ridge. */
  readonly isVolumeRoot: boolean
}

const DIRECTORY_MODE = 0o040555
const FILE_MODE = 0o100444

/**
 * The Rock Ridge entries of a node (IEEE P1282 RRIP 1.09, over IEEE P1281 SUSP 1.10): read-only for
 * everybody, owned by root.
 */
export function rockRidge(node: RockRidgeNode): Buffer {
  const entries: Buffer[] = []
  if (node.isVolumeRoot) entries.push(suspEntry('SP', [0xbe, 0xef, 0])) // SUSP §5.3
  const attributes = Buffer.alloc(32)
  bothEndian32(attributes, 0, node.isDirectory ? DIRECTORY_MODE : FILE_MODE)
  bothEndian32(attributes, 8, node.linkCount)
  entries.push(suspEntry('PX', attributes))
  if (node.name !== undefined) entries.push(suspEntry('NM', [0, ...Buffer.from(node.name, 'latin1')]))
  if (node.isVolumeRoot) entries.push(suspEntry('ER', [10, 0, 0, 1, ...Buffer.from('RRIP_1991A')]))
  return Buffer.concat(entries)
}

function suspEntry(signature: string, payload: Uint8Array | readonly number[]): Buffer {
  const header = Buffer.from([signature.charCodeAt(0), signature.charCodeAt(1), 4 + payload.length, 1])
  return Buffer.concat([header, Buffer.from(payload)])
}

/** Seven bytes of UTC (ECMA-119 §9.1.5). */
function recordingDate(timestampMs: number): Uint8Array {
  const date = new Date(timestampMs)
  const day = [date.getUTCFullYear() - 1900, date.getUTCMonth() + 1, date.getUTCDate()]
  return Uint8Array.from([...day, date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds(), 0])
}

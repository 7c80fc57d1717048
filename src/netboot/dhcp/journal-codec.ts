// A file of the lease journal: a header, then one record for each batch of leases that became durable together.
// Numbers are big-endian. What follows the last record is zeros or the torn rest of a record.
//
//   header   "INGOTLEA" (8)   version (4) = 1   CRC32C of the 12 bytes before (4)
//   record   "LEAS" (4)   bytes of the changes (4)   CRC32C of these 4 bytes and the changes (4)   changes
//   change   1 (1)   address (4)   end of the lease, ms since 1970 (6)   text (MAC)   octets (client id, or none)
//            2 (1)   address (4)                                         the address is nobody's any more
//   text, octets: length (1), then as many bytes
import type { LeaseChange, LeaseRecord } from '../../registry/records.js'
import { crc32c } from '../../wire/crc32c.js'
import { formatIpv4, parseIpv4 } from '../../wire/ipv4.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { ByteReader } from '../../wire/reader.js'

const WHAT = 'lease journal'
const MAGIC = Buffer.from('INGOTLEA', 'latin1')
const VERSION = 1
const HEADER_BYTES = 16
const MARKER = Buffer.from('LEAS', 'latin1')
const RECORD_HEADER_BYTES = 12
const GIVEN = 1
const GONE = 2
const LONGEST = 255

/** What a journal file holds. */
export interface JournalContents {
  /** In the order in which they became true. */
  readonly changes: readonly LeaseChange[]
  /** Bytes of the torn rest behind the last record; 0 after a clean end. */
  readonly tornBytes: number
}

/** The 16 bytes a journal file begins with. */
export function journalHeader(): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt32BE(VERSION, 8)
  header.writeUInt32BE(crc32c(header.subarray(0, 12)), 12)
  return header
}

/** One record; all its changes count, or none does. */
export function encodeRecord(changes: readonly LeaseChange[]): Buffer {
  let size = RECORD_HEADER_BYTES
  for (const [, lease] of changes) size += lease === undefined ? 5 : givenBytes(lease)
  const record = Buffer.allocUnsafe(size)
  let at = RECORD_HEADER_BYTES
  for (const [ip, lease] of changes) {
    record[at] = lease === undefined ? GONE : GIVEN
    at = record.writeUInt32BE(parseIpv4(ip) ?? 0, at + 1)
    if (lease !== undefined) at = putLease(record, lease, at)
  }
  MARKER.copy(record)
  record.writeUInt32BE(size - RECORD_HEADER_BYTES, 4)
  record.writeUInt32BE(recordCrc(record), 8)
  return record
}

/**
 * Reads a journal file. A file that ends before its first record (the process died while it made the file) and one
 * whose last write is torn are good: nobody was told of what was in that write. A bad record before a good one is
 * not: writes follow one another, so the bad one was whole once.
 * @throws MalformedPacket on a damaged file and on one of another version
 */
export function decodeJournal(file: Buffer): JournalContents {
  const hasHeader = file.subarray(0, HEADER_BYTES).equals(journalHeader())
  if (!hasHeader) refuseForeign(file)
  const changes: LeaseChange[] = []
  let at = hasHeader ? HEADER_BYTES : 0
  for (;;) {
    const record = hasHeader ? recordAt(file, at) : undefined
    if (record === undefined) break
    decodeChanges(record, changes)
    at += record.length
  }
  if (hasRecordAfter(file, at))
    throw new MalformedPacket(WHAT, at, 'a record is damaged and good ones follow')
  return { changes, tornBytes: lengthWithoutZeros(file) - Math.min(at, lengthWithoutZeros(file)) }
}

function givenBytes({ mac, clientId }: LeaseRecord): number {
  return 13 + Math.min(mac.length, LONGEST) + clientIdBytes(clientId)
}

// RFC 2132 §2: an option's value; longer ones come in pieces (RFC 3396), and of those the first 255 bytes are kept.
function clientIdBytes(clientId: string | undefined): number {
  return clientId === undefined ? 0 : Math.min(clientId.length >>> 1, LONGEST)
}

function putLease(record: Buffer, { mac, clientId, expiresMs }: LeaseRecord, from: number): number {
  let at = record.writeUIntBE(expiresMs, from, 6)
  const macBytes = record.write(mac, at + 1, Math.min(mac.length, LONGEST), 'latin1')
  record[at] = macBytes
  at += 1 + macBytes
  const idBytes = clientIdBytes(clientId)
  record[at] = idBytes
  if (clientId !== undefined) record.write(clientId, at + 1, idBytes, 'hex')
  return at + 1 + idBytes
}

function refuseForeign(file: Buffer): void {
  const header = file.subarray(0, HEADER_BYTES)
  if (header.length < HEADER_BYTES || !header.subarray(0, 8).equals(MAGIC)) return
  const reader = new ByteReader(header.subarray(8), WHAT)
  const version = reader.u32()
  if (version === VERSION || reader.u32() !== crc32c(header.subarray(0, 12))) return
  throw new MalformedPacket(WHAT, 8, `version ${version}, this program knows ${VERSION}`)
}

/** The whole record that begins at `at`: a view; undefined when there is none or its checksum is wrong. */
function recordAt(file: Buffer, at: number): Buffer | undefined {
  if (at + RECORD_HEADER_BYTES > file.length || !file.subarray(at, at + 4).equals(MARKER)) return undefined
  const reader = new ByteReader(file.subarray(at + 4, at + RECORD_HEADER_BYTES), WHAT)
  const [length, crc] = [reader.u32(), reader.u32()]
  const record = file.subarray(at, at + RECORD_HEADER_BYTES + length)
  return record.length === RECORD_HEADER_BYTES + length && recordCrc(record) === crc ? record : undefined
}

function recordCrc(record: Buffer): number {
  return crc32c(record.subarray(RECORD_HEADER_BYTES), crc32c(record.subarray(4, 8)))
}

function hasRecordAfter(file: Buffer, from: number): boolean {
  for (let at = file.indexOf(MARKER, from); at >= 0; at = file.indexOf(MARKER, at + 1)) {
    if (recordAt(file, at) !== undefined) return true
  }
  return false
}

function decodeChanges(record: Buffer, into: LeaseChange[]): void {
  const reader = new ByteReader(record.subarray(RECORD_HEADER_BYTES), WHAT)
  while (reader.remaining > 0) {
    const kind = reader.u8()
    const ip = formatIpv4(reader.u32())
    if (kind === GIVEN) into.push([ip, decodeLease(ip, reader)])
    else if (kind === GONE) into.push([ip, undefined])
    else throw new MalformedPacket(WHAT, reader.offset, `a change of kind ${kind}`)
  }
}

function decodeLease(ip: string, reader: ByteReader): LeaseRecord {
  const expiresMs = reader.u24() * 2 ** 24 + reader.u24()
  const mac = asBuffer(reader.take(reader.u8())).toString('latin1')
  const clientId = asBuffer(reader.take(reader.u8())).toString('hex')
  return { ip, mac, clientId: clientId === '' ? undefined : clientId, expiresMs }
}

function asBuffer(view: Uint8Array): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength)
}

function lengthWithoutZeros(file: Buffer): number {
  let end = file.length
  while (end > 0 && file[end - 1] === 0) end--
  return end
}

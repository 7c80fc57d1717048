import fc from 'fast-check'
import t from 'tap'
import { decodeJournal, encodeRecord, journalHeader } from '../../../src/netboot/dhcp/journal-codec.js'
import type { LeaseChange } from '../../../src/registry/records.js'
import { MalformedPacket } from '../../../src/wire/malformed-packet.js'
import { formatIpv4 } from '../../../src/wire/ipv4.js'

const GIVEN: LeaseChange = [
  '198.18.0.9',
  { ip: '198.18.0.9', mac: '52:54:00:00:00:01', clientId: '01525400000001', expiresMs: 1_795_000_000_123 },
]
const GONE: LeaseChange = ['255.255.255.254', undefined]

const change: fc.Arbitrary<LeaseChange> = fc
  .record({
    ip: fc.integer({ min: 0, max: 0xffffffff }).map(formatIpv4),
    mac: fc.string({ unit: 'grapheme-ascii', maxLength: 255 }),
    clientId: fc.option(
      fc.uint8Array({ minLength: 1, maxLength: 255 }).map((id) => Buffer.from(id).toString('hex')),
      { nil: undefined },
    ),
    expiresMs: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    isGiven: fc.boolean(),
  })
  .map(({ isGiven, ...lease }) => [lease.ip, isGiven ? lease : undefined])

function journal(...batches: readonly (readonly LeaseChange[])[]): Buffer {
  return Buffer.concat([journalHeader(), ...batches.map((batch) => encodeRecord(batch))])
}

void t.test('the bytes are those of docs/formats.md', (t) => {
  t.equal(journalHeader().toString('hex'), '494e474f544c4541' + '00000001' + '3a0a5ac0')
  t.equal(
    encodeRecord([GIVEN, GONE]).toString('hex'),
    ['4c454153', '0000002a', 'ef724c8c'].join('') +
      ['01', 'c6120009', '01a1ee565e7b', '11', Buffer.from('52:54:00:00:00:01').toString('hex')].join('') +
      ['07', '01525400000001', '02', 'fffffffe'].join(''),
  )
  t.end()
})

void t.test('what was written is read, in order, however long the zeros behind it', (t) => {
  fc.assert(
    fc.property(fc.array(fc.array(change)), fc.nat({ max: 5000 }), (batches, zeros) => {
      const file = Buffer.concat([journal(...batches), Buffer.alloc(zeros)])
      t.same(decodeJournal(file), { changes: batches.flat(), tornBytes: 0 })
    }),
    { numRuns: 200 },
  )
  t.end()
})

void t.test('a file cut anywhere gives the records that are whole', (t) => {
  const batches = [[GIVEN], [GONE, GIVEN], [GIVEN]]
  const file = journal(...batches)
  const ends = batches.map((_, i) => journal(...batches.slice(0, i + 1)).length)
  for (let length = 0; length <= file.length; length++) {
    const whole = ends.filter((end) => end <= length).length
    for (const zeros of [0, 4096]) {
      const { changes, tornBytes } = decodeJournal(
        Buffer.concat([file.subarray(0, length), Buffer.alloc(zeros)]),
      )
      t.same(changes, batches.slice(0, whole).flat(), `cut at ${String(length)}`)
      t.equal(tornBytes > 0, length > 0 && ![16, ...ends].includes(length) && lastIsNotZero(file, length))
    }
  }
  t.end()
})

// A torn header or record whose only bytes are zeros cannot be told from room.
function lastIsNotZero(file: Buffer, length: number): boolean {
  const start = length < 16 ? 0 : 16
  return file.subarray(start, length).some((byte) => byte !== 0)
}

void t.test('a last write of which only some sectors arrived is cut off', (t) => {
  const big = Array.from({ length: 100 }, (): LeaseChange => GIVEN)
  const file = journal([GONE], big)
  for (let at = 512; at + 512 < file.length; at += 512) {
    const torn = Buffer.from(file).fill(0, at, at + 512)
    t.same(decodeJournal(torn).changes, [GONE])
    t.ok(decodeJournal(torn).tornBytes > 0)
  }
  t.end()
})

void t.test('every flipped bit of a record is found: cut off at the end, refused in the middle', (t) => {
  const first = journal([GIVEN])
  const file = journal([GIVEN], [GONE])
  for (let at = 16; at < file.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const bad = Buffer.from(file)
      bad[at] = (bad[at] ?? 0) ^ (1 << bit)
      if (at < first.length) t.throws(() => decodeJournal(bad), MalformedPacket)
      else t.same(decodeJournal(bad).changes, [GIVEN])
    }
  }
  t.end()
})

void t.test('a damaged header before good records, and another version, are refused', (t) => {
  const bad = journal([GIVEN])
  bad[3] = 0
  t.throws(() => decodeJournal(bad), { name: 'MalformedPacket' })
  const newer = Buffer.from('494e474f544c454100000002', 'hex')
  t.same(decodeJournal(newer), { changes: [], tornBytes: 12 }, 'without its checksum it is a torn header')
  t.throws(() => decodeJournal(Buffer.concat([newer, Buffer.from('295aa934', 'hex')])), /version 2/)
  t.end()
})

void t.test('any bytes give a value or MalformedPacket', (t) => {
  const valid = journal([GIVEN], [GONE], [GIVEN, GIVEN])
  const mutated = fc.array(fc.tuple(fc.nat({ max: valid.length - 1 }), fc.nat({ max: 255 }))).map((edits) => {
    const bytes = Buffer.from(valid)
    for (const [at, value] of edits) bytes[at] = value
    return bytes
  })
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        mutated,
      ),
      (file) => {
        try {
          return decodeJournal(file).changes.length >= 0
        } catch (err) {
          return err instanceof MalformedPacket
        }
      },
    ),
    { numRuns: 2000 },
  )
  t.end()
})

import fc from 'fast-check'
import t from 'tap'
import { decodeQcow2Header } from '../../../src/rootdisk/image/qcow2-header.js'
import { MalformedPacket } from '../../../src/wire/malformed-packet.js'
import { qcow2Bytes } from './qcow2-bytes.js'

void t.test('a plain version 3 header is read in full', (t) => {
  t.same(decodeQcow2Header(qcow2Bytes({ sizeBytes: 4n << 30n, l1Entries: 8 })), {
    version: 3,
    virtualSizeBytes: 4n << 30n,
    clusterBits: 16,
    cryptMethod: 0,
    l1Entries: 8,
    l1Offset: 0x30000n,
    snapshots: 0,
    hasBackingFile: false,
    hasExternalData: false,
    isCorrupt: false,
    unknownFeatures: 0n,
  })
  t.end()
})

void t.test('what would need another file, a key or a newer reader is told', (t) => {
  t.equal(decodeQcow2Header(qcow2Bytes({ backingName: '/etc/passwd' })).hasBackingFile, true)
  t.equal(decodeQcow2Header(qcow2Bytes({ backingOffset: 1n })).hasBackingFile, true)
  t.equal(decodeQcow2Header(qcow2Bytes({ features: 4n })).hasExternalData, true)
  t.equal(decodeQcow2Header(qcow2Bytes({ extensions: [[0x44415441, '/etc/passwd']] })).hasExternalData, true)
  t.equal(decodeQcow2Header(qcow2Bytes({ cryptMethod: 2 })).cryptMethod, 2)
  t.equal(decodeQcow2Header(qcow2Bytes({ features: 2n })).isCorrupt, true)
  t.equal(decodeQcow2Header(qcow2Bytes({ features: 1n << 40n })).unknownFeatures, 1n << 40n)
  t.equal(decodeQcow2Header(qcow2Bytes({ features: 31n })).unknownFeatures, 0n)
  t.end()
})

void t.test('version 2 has no feature bits, and its extensions follow at byte 72', (t) => {
  const bytes = qcow2Bytes({ version: 2, features: 0n, headerLength: 0, refcountOrder: 0 })
  t.match(decodeQcow2Header(bytes), { version: 2, isCorrupt: false, hasExternalData: false })
  t.end()
})

void t.test('a header that breaks the format is malformed', (t) => {
  const broken = [
    { version: 1 },
    { version: 4 },
    { clusterBits: 8 },
    { clusterBits: 22 },
    { refcountOrder: 7 },
    { headerLength: 96 },
    { headerLength: 105 },
  ]
  for (const fields of broken) {
    t.throws(() => decodeQcow2Header(qcow2Bytes(fields)), MalformedPacket, JSON.stringify(fields))
  }
  const endless = Array.from({ length: 100 }, () => [1, ''] as const)
  t.throws(() => decodeQcow2Header(qcow2Bytes({ extensions: endless })), MalformedPacket)
  t.end()
})

void t.test('every prefix that ends inside the header is malformed', (t) => {
  const whole = qcow2Bytes()
  for (let length = 0; length < 112; length++) {
    if (tryDecode(whole.subarray(0, length)) !== 'malformed') t.fail(`${String(length)} bytes were enough`)
  }
  t.equal(tryDecode(whole.subarray(0, 112)), 'value')
  t.end()
})

void t.test('any bytes give a header or MalformedPacket', (t) => {
  const anyTail = fc.uint8Array({ maxLength: 400 })
  fc.assert(
    fc.property(anyTail, fc.boolean(), fc.integer({ min: 0, max: 130 }), (tail, isNear, at) => {
      const bytes = isNear ? qcow2Bytes({}, 1) : new Uint8Array(tail.length)
      bytes.set(tail, isNear ? at : 0)
      tryDecode(bytes)
    }),
    { numRuns: 2000 },
  )
  t.end()
})

function tryDecode(bytes: Uint8Array): 'value' | 'malformed' {
  try {
    decodeQcow2Header(bytes)
    return 'value'
  } catch (err) {
    if (err instanceof MalformedPacket) return 'malformed'
    throw err
  }
}

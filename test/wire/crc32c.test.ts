import fc from 'fast-check'
import assert from 'node:assert/strict'
import t from 'tap'
import { crc32c } from '../../src/wire/crc32c.js'

// RFC 7143 appendix A.4 (as sent: least significant byte first).
const VECTORS: [what: string, bytes: Buffer, digest: string][] = [
  ['32 bytes of zeros', Buffer.alloc(32), 'aa36918a'],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), '43aba862'],
  ['32 bytes counting up', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), '4e79dd46'],
  ['32 bytes counting down', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), '5cdb3f11'],
  [
    'a SCSI read command',
    Buffer.from(
      '01c00000000000000000000000000000140000000000040000000014000000182800000000000000' + '0200000000000000',
      'hex',
    ),
    '563a96d9',
  ],
]

for (const [what, bytes, digest] of VECTORS) {
  await t.test(`the digest of ${what} is that of RFC 7143 appendix A.4`, (test) => {
    const sent = Buffer.alloc(4)
    sent.writeUInt32LE(crc32c(bytes))
    test.equal(sent.toString('hex'), digest)
    test.end()
  })
}

await t.test('a sum over pieces is the sum over the whole', (test) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, place) => {
      const cut = Math.min(place, bytes.length)
      assert.equal(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut))), crc32c(bytes))
    }),
  )
  test.end()
})

import fc from 'fast-check'
import assert from 'node:assert/strict'
import t from 'tap'
import { ReplyStream, type ReplySink } from '../../../../src/rootdisk/nbd/client/reply-stream.js'
import { MalformedPacket } from '../../../../src/wire/malformed-packet.js'

/** Everything that a stream tells, fed in pieces of one size. */
function told(stream: Uint8Array, size: number): unknown[] {
  const calls: unknown[] = []
  const place = (length: number): Uint8Array => {
    const bytes = Buffer.alloc(length)
    calls.push(bytes)
    return bytes
  }
  const sink: ReplySink = {
    simple(cookie, error) {
      calls.push(['simple', cookie, error])
      return place(error === 0 ? 5 : 0)
    },
    placeFor(cookie, offset, length) {
      calls.push(['data', cookie, offset, length])
      if (length > 4096) throw new MalformedPacket('test', 0, 'nobody asked for so much')
      return place(length)
    },
    hole: (...args) => calls.push(['hole', ...args]),
    status: (cookie, descriptors) => calls.push(['status', cookie, Buffer.from(descriptors)]),
    error: (...args) => calls.push(['error', ...args]),
    done: (cookie) => calls.push(['done', cookie]),
  }
  const replies = new ReplyStream(sink)
  for (let at = 0; at < stream.length; at += size) replies.feed(stream.subarray(at, at + size))
  return calls
}

function chunk(type: number, flags: number, payload: string): Buffer {
  const header = Buffer.alloc(20)
  header.writeUInt32BE(0x668e33ef, 0)
  header.writeUInt16BE(flags, 4)
  header.writeUInt16BE(type, 6)
  header.writeBigUInt64BE(77n, 8)
  header.writeUInt32BE(payload.length / 2, 16)
  return Buffer.concat([header, Buffer.from(payload, 'hex')])
}

const SIMPLE = Buffer.from('67446698' + '00000000' + '0000000000000005' + '0102030405', 'hex')
const REPLIES = Buffer.concat([
  SIMPLE,
  Buffer.from('67446698' + '0000001c' + '0000000000000006', 'hex'),
  chunk(1, 0, '0000000000001000' + 'aabbcc'),
  chunk(2, 0, '0000000000002000' + '00000100'),
  chunk(5, 0, '00000001' + '00001000' + '00000003'),
  chunk(0x8001, 0, '00000005' + '0000'),
  chunk(0, 1, ''),
])

await t.test('replies are told in order, the same however the stream is cut', (test) => {
  const expected = [
    ['simple', 5n, 0],
    Buffer.of(1, 2, 3, 4, 5),
    ['done', 5n],
    ['simple', 6n, 28],
    Buffer.alloc(0),
    ['done', 6n],
    ['data', 77n, 0x1000, 3],
    Buffer.of(0xaa, 0xbb, 0xcc),
    ['hole', 77n, 0x2000, 256],
    ['status', 77n, Buffer.from('0000100000000003', 'hex')],
    ['error', 77n, 5],
    ['done', 77n],
  ]
  for (const size of [1, 2, 7, 19, REPLIES.length]) assert.deepEqual(told(REPLIES, size), expected)
  test.end()
})

await t.test('any bytes are replies or a MalformedPacket', (test) => {
  const mutated = fc
    .tuple(fc.nat(REPLIES.length - 1), fc.nat(255))
    .map(([at, value]) => Buffer.from(REPLIES).fill(value, at, at + 1))
  fc.assert(
    fc.property(
      fc.oneof(fc.uint8Array({ maxLength: 100 }), mutated),
      fc.integer({ min: 1, max: 50 }),
      (bytes, size) => {
        try {
          told(bytes, size)
        } catch (err) {
          if (!(err instanceof MalformedPacket)) throw err
        }
      },
    ),
    { numRuns: 2000 },
  )
  for (const bad of [
    chunk(1, 0, '00'.repeat(8)),
    chunk(2, 0, '00'),
    chunk(9, 0, ''),
    chunk(0, 0, '00'),
    Buffer.alloc(20),
  ]) {
    test.throws(() => told(bad, 100), MalformedPacket)
  }
  test.end()
})

import fc from 'fast-check'
import assert from 'node:assert/strict'
import t from 'tap'
import {
  decodeClientFlags,
  decodeOption,
  decodeOptionHeader,
  decodeOptionReply,
  encodeContextQuery,
  encodeGo,
  encodeOption,
  encodeOptionReply,
} from '../../../src/rootdisk/nbd/option-codec.js'
import { OPTION } from '../../../src/rootdisk/nbd/protocol.js'
import { RequestParser, type Request } from '../../../src/rootdisk/nbd/request-parser.js'
import { MalformedPacket } from '../../../src/wire/malformed-packet.js'

/** What `decode` gives, or undefined for a MalformedPacket; anything else that is thrown fails the test. */
function valueOf<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (err) {
    if (err instanceof MalformedPacket) return undefined
    throw err
  }
}

const bytes = fc.uint8Array({ maxLength: 200 })
const name = fc.string({ maxLength: 60, unit: 'grapheme' })

await t.test('any bytes give handshake values or a MalformedPacket', (test) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 12 }), bytes, (option, content) => {
      valueOf(() => decodeOption(option, content))
      valueOf(() => decodeOptionHeader(content))
      valueOf(() => decodeOptionReply(content))
      valueOf(() => decodeClientFlags(content))
    }),
    { numRuns: 2000 },
  )
  test.end()
})

await t.test('what is encoded is decoded to the same', (test) => {
  fc.assert(
    fc.property(
      name,
      fc.array(fc.integer({ min: 0, max: 0xffff })),
      fc.array(name),
      (text, wants, queries) => {
        const go = encodeOption(OPTION.GO, encodeGo(text, wants))
        const { option, length } = decodeOptionHeader(go.subarray(0, 16))
        assert.equal(length, go.length - 16)
        assert.deepEqual(decodeOption(option, go.subarray(16)), { kind: 'go', name: text, wants })
        const set = encodeContextQuery(text, queries)
        const decoded = decodeOption(OPTION.SET_META_CONTEXT, set)
        assert.deepEqual(decoded, { kind: 'set-contexts', name: text, queries })
        for (let end = 0; end < set.length; end++) {
          assert.equal(
            valueOf(() => decodeOption(OPTION.SET_META_CONTEXT, set.subarray(0, end))),
            undefined,
          )
        }
      },
    ),
    { numRuns: 100 },
  )
  test.same(decodeOptionReply(encodeOptionReply(7, 0x80000001, 'no').subarray(0, 20)), {
    option: 7,
    type: 0x80000001,
    length: 2,
  })
  test.end()
})

await t.test('flags without fixed newstyle, long contents and long names are refused', (test) => {
  const refused: [what: string, decode: () => unknown][] = [
    ['oldstyle', () => decodeClientFlags(Uint8Array.of(0, 0, 0, 0))],
    ['unknown flag', () => decodeClientFlags(Uint8Array.of(0, 0, 0, 5))],
    ['content of 1 MiB', () => decodeOptionHeader(encodeOption(7, new Uint8Array(1 << 20)).subarray(0, 16))],
    ['name of 4097 bytes', () => decodeOption(OPTION.EXPORT_NAME, new Uint8Array(4097))],
    ['LIST with content', () => decodeOption(OPTION.LIST, Uint8Array.of(1))],
    ['bytes behind GO', () => decodeOption(OPTION.GO, Buffer.concat([encodeGo('a', []), Buffer.of(0)]))],
  ]
  for (const [what, decode] of refused) test.throws(decode, MalformedPacket, what)
  test.same(decodeOption(OPTION.ABORT, Uint8Array.of(1)), { kind: 'abort' })
  test.same(decodeOption(99, Uint8Array.of(1)), { kind: 'unknown' })
  test.end()
})

/** Everything that a stream gives, fed in pieces of the given sizes (the last one again and again). */
function parsed(stream: Buffer, sizes: readonly number[]): unknown[] {
  const found: unknown[] = []
  const parser = new RequestParser({
    isHeld: false,
    placeFor: (request: Request) => (request.flags === 9 ? undefined : Buffer.alloc(request.length)),
    onRequest: (request, data) => found.push([request, data === undefined ? undefined : Buffer.from(data)]),
  })
  let turn = 0
  for (let at = 0; at < stream.length;) {
    const size = sizes[Math.min(turn++, sizes.length - 1)] ?? 1
    // a chunk is a buffer that is used again, like the socket's
    const chunk = Buffer.from(stream.subarray(at, at + size))
    assert.equal(parser.feed(chunk, 0, chunk.length), chunk.length)
    chunk.fill(0xee)
    at += size
  }
  return found
}

const request = fc.record(
  {
    flags: fc.integer({ min: 0, max: 20 }),
    type: fc.integer({ min: 0, max: 9 }),
    cookieHigh: fc.nat(0xffffffff),
    cookieLow: fc.nat(0xffffffff),
    offset: fc.nat(Number.MAX_SAFE_INTEGER),
    length: fc.nat(300),
  },
  { noNullPrototype: true },
)

function encode(each: Request): Buffer {
  const header = Buffer.alloc(28)
  header.writeUInt32BE(0x25609513, 0)
  header.writeUInt16BE(each.flags, 4)
  header.writeUInt16BE(each.type, 6)
  header.writeUInt32BE(each.cookieHigh, 8)
  header.writeUInt32BE(each.cookieLow, 12)
  header.writeBigUInt64BE(BigInt(each.offset), 16)
  header.writeUInt32BE(each.length, 24)
  return each.type === 1 ? Buffer.concat([header, Buffer.alloc(each.length, each.flags)]) : header
}

await t.test('a stream gives the same requests however it is cut, also byte by byte', (test) => {
  fc.assert(
    fc.property(
      fc.array(request, { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 30 }),
      (requests, sizes) => {
        const stream = Buffer.concat(requests.map(encode))
        const expected = requests.map((each) => {
          const hasData = each.type === 1 && each.length > 0 && each.flags !== 9
          return [each, hasData ? Buffer.alloc(each.length, each.flags) : undefined]
        })
        assert.deepEqual(parsed(stream, [stream.length || 1]), expected)
        assert.deepEqual(parsed(stream, [1]), expected)
        assert.deepEqual(parsed(stream, sizes), expected)
      },
    ),
    { numRuns: 150 },
  )
  test.end()
})

await t.test('any bytes as requests give requests or a MalformedPacket', (test) => {
  const withMagic = bytes.map((each) => Buffer.concat([Buffer.from('25609513', 'hex'), each]))
  fc.assert(
    fc.property(fc.oneof(bytes, withMagic), (stream) => {
      valueOf(() => parsed(Buffer.from(stream), [stream.length || 1]))
    }),
    { numRuns: 2000 },
  )
  test.throws(
    () =>
      parsed(encode({ flags: 0, type: 1, cookieHigh: 0, cookieLow: 0, offset: 0, length: 0x2000001 }), [28]),
    MalformedPacket,
    'a write of more than 32 MiB',
  )
  test.end()
})

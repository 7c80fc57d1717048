import fc from 'fast-check'
import assert from 'node:assert/strict'
import t from 'tap'
import { chapResponse, parseBinary } from '../../../src/rootdisk/iscsi/chap.js'
import { decodeLoginRequest, encodeLoginResponse } from '../../../src/rootdisk/iscsi/login-pdu.js'
import { isAfter, nextSerial, padding, readLun } from '../../../src/rootdisk/iscsi/pdu.js'
import { decodeText, encodeText } from '../../../src/rootdisk/iscsi/text.js'
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

const header = fc.uint8Array({ minLength: 48, maxLength: 48 })
const key = fc.stringMatching(/^[A-Z][A-Za-z0-9.]{0,62}$/)
const value = fc.string({ maxLength: 300 }).filter((text) => !text.includes('\0'))

await t.test('any bytes as a login request give its fields or a MalformedPacket', (test) => {
  const withOpcode = header.map((bytes) => Uint8Array.of(0x43, ...bytes.subarray(1)))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), withOpcode), (bytes) => {
      const request = valueOf(() => decodeLoginRequest(bytes))
      if (request === undefined) return
      assert.ok(request.stage <= 1 && /^[0-9a-f]{12}$/.test(request.isid) && request.cmdSn <= 0xffffffff)
    }),
    { numRuns: 300 },
  )
  test.end()
})

await t.test('stages of a login request that are not allowed are refused (RFC 7143 §11.12.3)', (test) => {
  const stagesOf = (flags: number): string => {
    const bytes = new Uint8Array(48)
    bytes.set([0x43, flags])
    const request = valueOf(() => decodeLoginRequest(bytes))
    return request === undefined ? 'refused' : `${String(request.stage)}>${String(request.nextStage)}`
  }
  const cases: [flags: number, expected: string][] = [
    [0x81, '0>1'],
    [0x83, '0>3'],
    [0x87, '1>3'],
    [0x04, '1>0'], // without T the next stage says nothing
    [0x40, '0>0'],
    [0x82, 'refused'], // stage 2 is reserved
    [0x85, 'refused'], // to where it is
    [0x84, 'refused'], // backwards
    [0xc1, 'refused'], // T and C
    [0x08, 'refused'],
    [0x0c, 'refused'], // full feature phase is no login stage
  ]
  for (const [flags, expected] of cases) test.equal(stagesOf(flags), expected, flags.toString(16))
  test.end()
})

await t.test('a login response has the layout of RFC 7143 §11.13 and is padded', (test) => {
  const bytes = encodeLoginResponse({
    isTransit: true,
    isContinued: false,
    stage: 1,
    nextStage: 3,
    isid: '800000000001',
    tsih: 7,
    itt: 0x01020304,
    statSn: 0xfffffffe,
    expCmdSn: 2,
    maxCmdSn: 3,
    status: 0x0201,
    text: Buffer.from('A=1\0B'),
  })
  test.equal(bytes.length, 48 + 8)
  const hex = Buffer.from(bytes).toString('hex')
  test.equal(hex.slice(0, 32), '23870000000000058000000000010007')
  test.equal(hex.slice(32, 72), '0102030400000000fffffffe0000000200000003')
  test.equal(hex.slice(72, 76), '0201')
  test.equal(hex.slice(96), '413d310042000000')
  test.end()
})

await t.test('any bytes as text give pairs or a MalformedPacket', (test) => {
  const nearly = fc
    .array(fc.oneof(fc.constantFrom('=', '\0', 'A', 'Key=', '=='), value), { maxLength: 12 })
    .map((parts) => Buffer.from(parts.join('')))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 500 }), nearly), (bytes) => {
      const pairs = valueOf(() => decodeText(bytes)) ?? []
      assert.deepEqual(
        decodeText(encodeText(pairs)).map(([name]) => name),
        pairs.map(([name]) => name),
      )
    }),
    { numRuns: 300 },
  )
  test.end()
})

await t.test('pairs that are encoded are decoded the same', (test) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(key, value), { maxLength: 8 }), (pairs) => {
      const readable = pairs.map(([name, text]) => [name, Buffer.from(text).toString()])
      assert.deepEqual(decodeText(encodeText(pairs)), readable)
    }),
  )
  test.end()
})

await t.test('text outside of the limits of RFC 7143 §6.1 is refused', (test) => {
  for (const text of ['=1', 'novalue', 'lower=1', `A${'a'.repeat(63)}=1`, `A=${'1'.repeat(8193)}`]) {
    test.throws(() => decodeText(Buffer.from(`${text}\0`)), MalformedPacket)
  }
  test.same(decodeText(Buffer.from(`A=${'1'.repeat(8192)}`))[0]?.[1].length, 8192)
  test.same(decodeText(Buffer.from('\0\0A=b=c\0\0')), [['A', 'b=c']])
  test.end()
})

await t.test('any 8 bytes are a LUN number or none', (test) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 8 }), (bytes) => {
      const lun = readLun(bytes, 0)
      assert.ok(lun >= -1 && lun < 0x4000)
    }),
  )
  for (const [bytes, lun] of [
    [[0, 1], 1],
    [[0x40, 1], 1],
    [[0x41, 0], 256],
    [[0x80, 1], -1],
    [[0xc1, 0], -1],
  ] as const)
    test.equal(readLun(Uint8Array.from(bytes), 0), lun)
  test.end()
})

await t.test('serial numbers wrap, segments are padded to four bytes', (test) => {
  test.equal(nextSerial(0xffffffff), 0)
  test.equal(isAfter(0, 0xffffffff), true)
  test.equal(isAfter(0xffffffff, 0), false)
  test.equal(isAfter(5, 5), false)
  test.same([0, 1, 2, 3, 4].map(padding), [0, 3, 2, 1, 0])
  test.end()
})

await t.test('any text as a CHAP value gives bytes or nothing', (test) => {
  const encoded = fc.tuple(fc.constantFrom('0x', '0X', '0b', '0B', ''), fc.string()).map(([a, b]) => a + b)
  fc.assert(
    fc.property(encoded, (text) => {
      assert.ok((parseBinary(text)?.length ?? 0) <= 1056)
    }),
  )
  test.same(parseBinary('0x0aFF'), Buffer.of(0x0a, 0xff))
  test.same(parseBinary('0bCv8='), Buffer.of(0x0a, 0xff))
  for (const text of ['0x0', '0x', '0b', '0xzz', 'ff', '0b***']) test.equal(parseBinary(text), undefined)
  // MD5 of 01 "secret" 02 03 (RFC 1994 §4.1).
  test.equal(chapResponse(1, 'secret', Buffer.of(2, 3)).length, 16)
  test.end()
})

import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { DigestReceiver, HeaderDamaged, type Digests } from '../../../src/rootdisk/iscsi/digest-receiver.js'
import { withDigests } from '../../../src/rootdisk/iscsi/digest-writer.js'
import { MalformedPacket } from '../../../src/wire/malformed-packet.js'
import { bench, openSession, READ, WRITE } from './bench.js'

const KINDS: Digests[] = [
  { header: true, data: true },
  { header: true, data: false },
  { header: false, data: true },
]

/** What a receiver makes of `bytes` in pieces. */
function pdusOf(bytes: Buffer, cuts: readonly number[], digests: Digests): { pdus: string[]; error: string } {
  const pdus: string[] = []
  let data = new Uint8Array(0)
  const sink = {
    isHeld: false,
    placeFor: (_bytes: Buffer, _at: number, length: number) => (data = new Uint8Array(length)),
    onPdu: (header: Buffer) => {
      pdus.push(header.toString('hex', 0, 48) + Buffer.from(data).toString('hex'))
      data = new Uint8Array(0)
    },
  }
  const onDamaged = (header: Buffer): void => void pdus.push(`damaged ${header.toString('hex', 0, 48)}`)
  const receiver = new DigestReceiver(sink, onDamaged, { ...digests, maxDataBytes: 64 })
  try {
    let from = 0
    for (const to of [...cuts, bytes.length]) {
      if (receiver.feed(bytes, from, to) !== to) throw new Error('stopped although it was not held')
      from = to
    }
  } catch (err) {
    if (!(err instanceof MalformedPacket)) throw err
    return { pdus, error: err.message }
  }
  return { pdus, error: '' }
}

const pdu = fc
  .tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.oneof(fc.constant(0), fc.nat(64)), fc.nat(255))
  .map(([start, length, fill]) => {
    const [body, pad] = [Buffer.alloc(44 + length, fill), Buffer.alloc(-length & 3)]
    body.writeUInt32BE(length)
    return Buffer.concat([start, body, pad])
  })
  .filter((bytes) => bytes[0] !== 0x23)
const pdus = fc.array(pdu, { minLength: 1, maxLength: 6 }).map((all) => Buffer.concat(all))

await t.test('what is sent with digests is received, whole, byte by byte and cut anywhere', (test) => {
  fc.assert(
    fc.property(pdus, fc.constantFrom(...KINDS), fc.array(fc.nat(600)), (plain, digests, places) => {
      const bytes = withDigests(plain, digests)
      const whole = pdusOf(bytes, [], digests)
      assert.equal(whole.error, '')
      assert.equal(whole.pdus.join('').length / 2, unpadded(plain))
      assert.deepEqual(pdusOf(bytes, [...bytes.keys()], digests), whole)
      const cuts = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b)
      assert.deepEqual(pdusOf(bytes, cuts, digests), whole)
    }),
  )
  test.end()
})

await t.test('one flipped bit anywhere is noticed', (test) => {
  const digests = { header: true, data: true }
  fc.assert(
    fc.property(pdu, fc.nat(), fc.nat(7), (plain, place, bit) => {
      const bytes = withDigests(plain, digests)
      const at = place % bytes.length
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
      const { pdus: seen, error } = pdusOf(bytes, [], digests)
      // A flipped length may leave the receiver waiting for bytes that never come: also not taken for good.
      assert.ok(error !== '' || seen.every((each) => each.startsWith('damaged')))
    }),
  )
  test.end()
})

await t.test('additional header segments are under the header digest', (test) => {
  const head = Buffer.alloc(56, 1)
  head.writeUInt32BE(0x02000000, 4)
  const digests = { header: true, data: false }
  // The writer knows no additional headers: sealed as one header here.
  const plain = Buffer.concat([head, withDigests(Buffer.alloc(48), { header: false, data: false })])
  test.match(pdusOf(plain, [], digests).error, /header digest/)
  test.ok(new HeaderDamaged() instanceof MalformedPacket)
  test.end()
})

await t.test('any bytes are PDUs, damage or a MalformedPacket', (test) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.constantFrom(...KINDS), (bytes, digests) => {
      pdusOf(Buffer.from(bytes), [], digests)
    }),
  )
  test.end()
})

for (const digests of KINDS) {
  const name = `HeaderDigest=${String(digests.header)} DataDigest=${String(digests.data)}`
  await t.test(`a session with ${name} reads what it wrote`, async (test) => {
    const served = await bench(test)
    const initiator = await openSession(test, served, { digests })
    const data = Buffer.from(Array.from({ length: 65_536 }, (_, i) => (i * 7 + (i >> 8)) & 0xff))
    const cdb = (opcode: number): number[] => [opcode, 0, 0, 0, 0, 8, 0, 0, 128, 0]
    const written = await initiator.run(0, cdb(0x2a), { ...WRITE, edtl: 65_536, data })
    test.equal(written.status, 0)
    const read = await initiator.run(0, cdb(0x28), { ...READ, edtl: 65_536 })
    test.ok(read.data.equals(data))
  })
}

await t.test('a damaged header closes the connection, with one event', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served, { digests: { header: true, data: true } })
  const before = served.events.length
  initiator.send(Buffer.alloc(52))
  await initiator.closed
  test.match(served.events.slice(before), [{ kind: 'iscsi.protocol-error', message: /header digest/ }])
})

await t.test('damaged write data is rejected and fails its command, the session goes on', async (test) => {
  const served = await bench(test)
  const digests = { header: true, data: true }
  const initiator = await openSession(test, served, { digests })
  const before = served.events.length
  const write = { ...WRITE, edtl: 512, data: Buffer.alloc(512, 7) }
  initiator.damageNext = true
  initiator.command(0, [0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0], write)
  const reject = await initiator.receive()
  test.same([reject?.opcode, reject?.header.readUInt8(2)], [0x3f, 2], 'Reject, data digest error')
  const response = await initiator.receive()
  test.equal(response?.opcode, 0x21)
  test.same(
    [response?.data.readUInt8(4), response?.data.readUInt8(14), response?.data.readUInt8(15)],
    [0xb, 0x47, 0x05],
    'protocol service CRC error',
  )
  test.ok(served.disk.bytes.equals(Buffer.alloc(served.disk.sizeBytes)), 'nothing was written')
  test.match(served.events.slice(before), [{ kind: 'iscsi.digest-error' }])
  test.equal((await initiator.run(0, [0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0], write)).status, 0)
})

await t.test('damaged solicited data fails its command when the burst has ended', async (test) => {
  const served = await bench(test)
  const digests = { header: true, data: true }
  const initiator = await openSession(test, served, { digests, keys: ['InitialR2T=Yes', 'ImmediateData=No'] })
  const itt = initiator.command(0, [0x2a, 0, 0, 0, 0, 0, 0, 0, 4, 0], { ...WRITE, edtl: 2048 })
  const r2t = await initiator.receive()
  for (const [dataSn, offset] of [0, 1024].entries()) {
    initiator.damageNext = offset === 0
    const ttt = r2t?.header.readUInt32BE(20) ?? 0
    initiator.dataOut({ itt, ttt, dataSn, offset, isFinal: offset > 0 }, Buffer.alloc(1024, 7))
  }
  test.equal((await initiator.receive())?.opcode, 0x3f)
  const response = await initiator.receive()
  test.same([response?.opcode, response?.header.readUInt8(3)], [0x21, 2])
  test.ok(served.disk.bytes.equals(Buffer.alloc(served.disk.sizeBytes)), 'nothing was written')
})

/** Bytes of the PDUs in `plain` without their padding. */
function unpadded(plain: Buffer): number {
  let total = 0
  for (let at = 0; at < plain.length;) {
    const length = plain.readUIntBE(at + 5, 3)
    total += 48 + length
    at += 48 + length + (-length & 3)
  }
  return total
}

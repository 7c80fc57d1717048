import fc from 'fast-check'
import assert from 'node:assert/strict'
import t from 'tap'
import { Receiver, type PduSink } from '../../../src/rootdisk/iscsi/receiver.js'
import { MalformedPacket } from '../../../src/wire/malformed-packet.js'

const MAX_DATA = 64

/** Writes down what it is given. */
class Recorder implements PduSink {
  isHeld = false
  /** Held after this many PDUs. */
  holdAfter = Infinity
  readonly pdus: string[] = []
  #data: Uint8Array = new Uint8Array(0)

  /** Segments of odd length are dropped, to see that nothing follows them. */
  placeFor(_bytes: Buffer, _at: number, length: number): Uint8Array | undefined {
    this.#data = new Uint8Array(length)
    return length % 2 === 0 ? this.#data : undefined
  }

  onPdu(bytes: Buffer, at: number): void {
    this.pdus.push(`${bytes.toString('hex', at, at + 48)} ${Buffer.from(this.#data).toString('hex')}`)
    this.#data = new Uint8Array(0)
    this.isHeld = this.pdus.length >= this.holdAfter
  }
}

/** PDUs found in `bytes` cut into pieces, and the error if there was one. */
function pdusOf(bytes: Buffer, cuts: readonly number[]): { pdus: string[]; error: string } {
  const sink = new Recorder()
  const receiver = new Receiver(sink, MAX_DATA)
  try {
    let from = 0
    for (const to of [...cuts, bytes.length]) {
      if (receiver.feed(bytes, from, to) !== to) throw new Error('stopped although it was not held')
      from = to
    }
    return { pdus: sink.pdus, error: '' }
  } catch (err) {
    if (!(err instanceof MalformedPacket)) throw err
    return { pdus: sink.pdus, error: err.message }
  }
}

/** A PDU with an additional header and data, more data than is allowed now and then. */
const pdu = fc
  .tuple(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.oneof(fc.constant(0), fc.nat(3)),
    fc.oneof(fc.constant(0), fc.nat(MAX_DATA + 1)),
    fc.uint8Array({ minLength: 40, maxLength: 40 }),
    fc.nat(255),
  )
  .map(([start, ahs, length, rest, fill]) => {
    const body = Buffer.alloc(ahs * 4 + length + (-length & 3), fill)
    return Buffer.concat([start, Buffer.of(ahs, 0, 0, length), rest, body])
  })
const stream = fc.oneof(
  fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
  fc.array(pdu, { maxLength: 6 }).map((pdus) => Buffer.concat(pdus)),
)

await t.test('a stream gives the same PDUs whole, byte by byte and cut anywhere', (test) => {
  fc.assert(
    fc.property(stream, fc.array(fc.nat(1000), { maxLength: 6 }), (bytes, places) => {
      const whole = pdusOf(bytes, [])
      const each = [...bytes.keys()]
      const cuts = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b)
      assert.deepEqual(pdusOf(bytes, each), whole)
      assert.deepEqual(pdusOf(bytes, cuts), whole)
    }),
    { numRuns: 300 },
  )
  test.end()
})

await t.test('a data segment larger than agreed is refused before its bytes come', (test) => {
  const header = Buffer.alloc(48)
  header[7] = MAX_DATA + 1
  test.match(pdusOf(header, []), { pdus: [], error: /data segment of 65 bytes/ })
  test.end()
})

await t.test('a sink that is held gets its next PDU when it is fed again', (test) => {
  const sink = new Recorder()
  sink.holdAfter = 1
  const receiver = new Receiver(sink, MAX_DATA)
  const bytes = Buffer.alloc(96)
  test.equal(receiver.feed(bytes, 0, 96), 48)
  test.equal(receiver.feed(bytes, 48, 96), 48)
  sink.isHeld = false
  test.equal(receiver.feed(bytes, 48, 96), 96)
  test.equal(sink.pdus.length, 2)
  test.end()
})

import fc from 'fast-check'
import t from 'tap'
import { parseRange } from '../../src/netboot/boot-file-reply.js'

const CASES: readonly [range: string, sizeBytes: number, expected: ReturnType<typeof parseRange>][] = [
  ['bytes=0-0', 10, { first: 0, last: 0 }],
  ['bytes=0-9', 10, { first: 0, last: 9 }],
  ['bytes=0-99', 10, { first: 0, last: 9 }],
  ['bytes=9-', 10, { first: 9, last: 9 }],
  ['bytes=-3', 10, { first: 7, last: 9 }],
  ['bytes=-30', 10, { first: 0, last: 9 }],
  ['bytes= 2 - 4', 10, { first: 2, last: 4 }],
  ['bytes=10-', 10, 'unsatisfiable'],
  ['bytes=0-', 0, 'unsatisfiable'],
  ['bytes=-0', 10, 'unsatisfiable'],
  ['bytes=4-2', 10, undefined],
  ['bytes=-', 10, undefined],
  ['bytes=1-2,4-5', 10, undefined],
  ['blocks=1-2', 10, undefined],
  ['bytes=1-2x', 10, undefined],
  ['bytes=9999999999999999-', 10, undefined],
]

for (const [range, sizeBytes, expected] of CASES) {
  void t.test(`"${range}" of ${String(sizeBytes)} bytes (RFC 9110 §14.1.2)`, (t) => {
    t.same(parseRange(range, sizeBytes), expected)
    t.end()
  })
}

void t.test('whatever is asked for, a range lies within the file', (t) => {
  const number = fc.oneof(fc.constant(''), fc.nat().map(String), fc.constant('999999999999999'))
  fc.assert(
    fc.property(number, number, fc.nat(100_000), (from, to, sizeBytes) => {
      const range = parseRange(`bytes=${from}-${to}`, sizeBytes)
      if (range === undefined || range === 'unsatisfiable') return true
      return range.first >= 0 && range.first <= range.last && range.last < sizeBytes
    }),
  )
  t.end()
})

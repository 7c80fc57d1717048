import fc from 'fast-check'
import t from 'tap'
import { copyBytes } from '../../src/rootdisk/copy-bytes.js'

const ROOM = 16_384

void t.test('bytes land where TypedArray.set puts them, in memory of either kind', (t) => {
  const source = Buffer.from(Array.from({ length: ROOM }, (_, i) => (i * 7 + (i >> 8)) & 0xff))
  const range = fc.record({
    from: fc.nat(ROOM),
    length: fc.oneof(fc.nat(ROOM), fc.integer({ min: 2040, max: 2056 })),
    at: fc.nat(ROOM),
    isShared: fc.boolean(),
  })
  fc.assert(
    fc.property(range, ({ from, length, at, isShared }) => {
      const bytes = source.subarray(from, from + Math.min(length, ROOM - at))
      const into = isShared ? Buffer.from(new SharedArrayBuffer(ROOM)) : Buffer.alloc(ROOM)
      const expected = Buffer.alloc(ROOM)
      expected.set(bytes, at)
      copyBytes(bytes, into, at)
      return into.equals(expected)
    }),
  )
  t.throws(() => copyBytes(source, Buffer.alloc(ROOM), 1), RangeError, 'what has no room is refused')
  t.end()
})

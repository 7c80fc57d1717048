import fc from 'fast-check'
import t from 'tap'
import { readCpio } from '../../../../src/rootdisk/image/inspect/cpio.js'
import { MalformedPacket } from '../../../../src/wire/malformed-packet.js'
import { cpio } from './synthetic-disk.js'

void t.test('files are listed with where their bytes are, and what follows the archive is found', (t) => {
  const archive = Buffer.concat([
    cpio([
      ['./init', 'abc'],
      ['usr/x', ''],
    ]),
    Buffer.alloc(512),
    Buffer.from('next'),
  ])
  const { entries, end } = readCpio(archive, 0)
  t.same(
    entries.map(({ name, sizeBytes }) => [name, sizeBytes]),
    [
      ['init', 3],
      ['usr/x', 0],
    ],
  )
  const [init] = entries
  t.equal(archive.toString('latin1', init?.start, (init?.start ?? 0) + 3), 'abc')
  t.equal(archive.toString('latin1', end), 'next')
  t.end()
})

void t.test('every beginning of an archive is malformed', (t) => {
  const archive = cpio([['init', 'abc']])
  const trailer = archive.indexOf('TRAILER') + 'TRAILER!!!\0'.length
  for (let length = 0; length < trailer; length++)
    t.throws(() => readCpio(archive.subarray(0, length), 0), MalformedPacket)
  t.end()
})

void t.test('any bytes are an archive or malformed, and nothing else', (t) => {
  const archive = cpio([
    ['init', 'abc'],
    ['etc/conf', 'x'.repeat(50)],
  ])
  const patches = fc.array(fc.tuple(fc.nat({ max: archive.length - 1 }), fc.nat({ max: 255 })), {
    minLength: 1,
    maxLength: 6,
  })
  fc.assert(
    fc.property(patches, (changes) => {
      const bytes = Buffer.from(archive)
      for (const [at, byte] of changes) bytes[at] = byte
      try {
        for (const { start, sizeBytes } of readCpio(bytes, 0).entries) t.ok(start + sizeBytes <= bytes.length)
      } catch (err) {
        if (!(err instanceof MalformedPacket)) throw err
      }
    }),
  )
  t.end()
})

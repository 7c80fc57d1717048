import fc from 'fast-check'
import t from 'tap'
import { recogniseFormat } from '../../../src/rootdisk/image/format.js'
import { qcow2Bytes } from './qcow2-bytes.js'

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')

void t.test('qcow2 is known by its magic and everything unmarked is raw', (t) => {
  t.same(recogniseFormat(qcow2Bytes()), { format: 'qcow2' })
  t.same(recogniseFormat(new Uint8Array(512)), { format: 'raw' })
  t.same(recogniseFormat(new Uint8Array(0)), { format: 'raw' })
  t.end()
})

void t.test('formats that would be copied as gibberish are named', (t) => {
  const samples = [
    ['qcow version 1', 'QFI\xfb\0\0\0\x01'],
    ['VMDK', 'KDMV\x01'],
    ['VHDX', 'vhdxfile'],
    ['VDI', `${'<<< disk >>>'.padEnd(64)}\x7f\x10\xda\xbe`],
    ['LUKS', 'LUKS\xba\xbe\0\x02'],
    ['gzip', '\x1f\x8b\x08'],
    ['xz', '\xfd7zXZ\0'],
    ['zstd', '\x28\xb5\x2f\xfd'],
  ] as const
  for (const [name, text] of samples) t.same(recogniseFormat(bytes(text)), { refused: name })
  t.end()
})

void t.test('any bytes have an answer', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (head) => Object.keys(recogniseFormat(head)).length === 1),
  )
  t.end()
})

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import {
  ackedBlock,
  decodeTftp,
  encodeTftp,
  writeData,
  type TftpPacket,
} from '../../../src/netboot/tftp/packet.js'
import { MalformedPacket } from '../../../src/wire/malformed-packet.js'

const text = fc.string({
  unit: fc.integer({ min: 1, max: 255 }).map((c) => String.fromCharCode(c)),
  maxLength: 40,
})
const lower = fc.stringMatching(/^[a-z]{1,12}$/)
const options = fc.array(fc.tuple(lower, text), { maxLength: 5 }).map((entries) => new Map(entries))
const u16 = fc.integer({ min: 0, max: 0xffff })
const packets: fc.Arbitrary<TftpPacket> = fc.oneof(
  fc.record({ op: fc.constantFrom('rrq' as const, 'wrq' as const), filename: text, mode: lower, options }),
  fc.record({ op: fc.constant('data' as const), block: u16, data: fc.uint8Array({ maxLength: 1468 }) }),
  fc.record({ op: fc.constant('ack' as const), block: u16 }),
  fc.record({ op: fc.constant('error' as const), code: u16, message: text }),
  fc.record({ op: fc.constant('oack' as const), options }),
)

void t.test('a packet survives encoding and decoding', (t) => {
  fc.assert(
    fc.property(packets, (packet) => {
      const again = decodeTftp(encodeTftp(packet))
      if (again.op === 'data' && packet.op === 'data')
        return Buffer.from(again.data).equals(Buffer.from(packet.data))
      t.same(again, packet)
      return true
    }),
    { numRuns: 300 },
  )
  t.end()
})

void t.test('any bytes are a packet or a MalformedPacket, nothing else', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.integer({ min: 0, max: 7 }), (bytes, opcode) => {
      decodeOrMalformed(bytes)
      decodeOrMalformed(Uint8Array.of(0, opcode, ...bytes))
    }),
    { numRuns: 2000 },
  )
  t.end()
})

const RECORDED: readonly [string, string, Record<string, string>][] = [
  ['ovmf-2022.11-1', 'snponly.efi', { tsize: '0', blksize: '1468', windowsize: '4' }],
  ['ovmf-2022.11-2', 'snponly.efi', { blksize: '1468', windowsize: '4' }],
  ['ipxe-efi-rom-1', 'boot.ipxe', { blksize: '1432', tsize: '0' }],
]

for (const [name, filename, asked] of RECORDED) {
  void t.test(
    `the recorded request ${name} is read, and no mutation or prefix is worse than malformed`,
    (t) => {
      const bytes = Buffer.from(readFileSync(`fixtures/tftp/${name}.hex`, 'utf8').trim(), 'hex')
      const packet = decodeTftp(bytes)
      t.same(packet, { op: 'rrq', filename, mode: 'octet', options: new Map(Object.entries(asked)) })
      t.same(encodeTftp(packet), bytes)
      for (let at = 0; at < bytes.length; at++) {
        decodeOrMalformed(bytes.subarray(0, at))
        for (const value of [0, 1, 0x7f, 0xff]) {
          const mutant = Buffer.from(bytes)
          mutant[at] = value
          decodeOrMalformed(mutant)
        }
      }
      t.end()
    },
  )
}

void t.test(
  'option names and the mode are read in any case, and the first of a repeated option counts',
  (t) => {
    const packet = decodeTftp(Buffer.from('\0\x01f\0OcTeT\0BLKSIZE\x00900\0blksize\x00100\0', 'latin1'))
    t.equal(packet.op === 'rrq' && packet.mode, 'octet')
    t.same(packet.op === 'rrq' && packet.options, new Map([['blksize', '900']]))
    t.end()
  },
)

void t.test('an ERROR without the closing NUL is accepted', (t) => {
  t.same(decodeTftp(Buffer.from('\0\x05\0\x08gone', 'latin1')), { op: 'error', code: 8, message: 'gone' })
  t.end()
})

void t.test('what the hot path writes is the encoded packet, its block modulo 65536', (t) => {
  const into = Buffer.alloc(20, 0xff)
  t.equal(writeData(into, 3, 0x51234, Buffer.from('data')), 11)
  t.ok(into.subarray(3, 11).equals(encodeTftp({ op: 'data', block: 0x1234, data: Buffer.from('data') })))
  t.ok(into.subarray(0, 3).every((byte) => byte === 0xff) && into[11] === 0xff, 'and nothing around it')
  t.end()
})

void t.test('the hot path finds an ACK in any bytes exactly where the decoder does', (t) => {
  const header = fc.tuple(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 7 }))
  fc.assert(
    fc.property(header, fc.uint8Array({ maxLength: 6 }), (start, rest) => {
      const bytes = Uint8Array.of(...start, ...rest)
      t.equal(ackedBlock(bytes), decodedAck(bytes))
    }),
  )
  t.end()
})

function decodedAck(bytes: Uint8Array): number | undefined {
  try {
    const packet = decodeTftp(bytes)
    return packet.op === 'ack' ? packet.block : undefined
  } catch (err) {
    if (!(err instanceof MalformedPacket)) throw err
    return undefined
  }
}

function decodeOrMalformed(bytes: Uint8Array): void {
  try {
    decodeTftp(bytes)
  } catch (err) {
    if (!(err instanceof MalformedPacket)) throw err
  }
}

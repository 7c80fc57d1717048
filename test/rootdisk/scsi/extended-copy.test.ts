import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { MemoryDisk } from '../../fakes/memory-disk.js'
import { BLOCKS, hex, ScsiBench } from './scsi-bench.js'

const TYPE = { IDENTIFICATION: 'e4', BLOCK_TO_BLOCK: '02' }

function word(value: number, bytes: number): string {
  return value.toString(16).padStart(bytes * 2, '0')
}

/** CSCD descriptor of LUN `lun` by its NAA name (SPC-4 §6.4.5.2). */
function target(lun: number, type = TYPE.IDENTIFICATION): string {
  return `${type}000000 01030008 300000000000000${String(lun)} ${word(0, 12)} 00000200`
}

/** Segment descriptor from block to block (SPC-4 §6.4.6.3). */
function segment(
  from: number,
  to: number,
  blocks: number,
  lbas: [number, number],
  type = TYPE.BLOCK_TO_BLOCK,
): string {
  return `${type}000018${word(from, 2)}${word(to, 2)}0000${word(blocks, 2)}${word(lbas[0], 8)}${word(lbas[1], 8)}`
}

/** CDB and parameter list. */
function copy(targets: string[], segments: string[]): [cdb: string, list: Buffer] {
  const [first, second] = [hex(targets.join('')), hex(segments.join(''))]
  const header = hex(`0100${word(first.length, 2)}00000000${word(second.length, 4)}00000000`)
  const list = Buffer.concat([header, first, second])
  return [`8300${word(0, 8)}${word(list.length, 4)}0000`, list]
}

await t.test('blocks are copied from one LUN to another, and its status is told once', async (test) => {
  for (const isSlow of [false, true]) {
    const disks = [new MemoryDisk(BLOCKS * 512, { isSlow }), new MemoryDisk(BLOCKS * 512, { isSlow })]
    const bench = await ScsiBench.open(undefined, disks)
    const nexus = bench.join()
    for (let at = 0; at < 20 * 512; at++) disks[0]?.bytes.writeUInt8(at % 251, at)
    test.equal(
      await bench.tell(
        nexus,
        ...copy([target(0), target(1)], [segment(0, 1, 9, [3, 100]), segment(1, 0, 1, [100, 200])]),
      ),
      '0',
    )
    const expected = disks[0]?.bytes.subarray(3 * 512, 12 * 512) ?? Buffer.alloc(0)
    test.ok(disks[1]?.bytes.subarray(100 * 512, 109 * 512).equals(expected))
    test.ok(disks[0]?.bytes.subarray(200 * 512, 201 * 512).equals(expected.subarray(0, 512)))
    const status = '840001000000000000000000ffff0000'
    const { data } = await bench.run(nexus, status)
    test.equal(
      Buffer.from(data ?? []).toString('hex'),
      '00000008' + '01' + '0002' + '01' + '00000005',
      '5 KiB in 2 segments',
    )
    test.equal(await bench.tell(nexus, status), '5/24/0')
  }
})

const whole: [number, number] = [0, 0]
// SPC-4 §6.4: what a wrong list is answered with; nothing is written.
const REFUSALS: [what: string, targets: string[], segments: string[], expected: string][] = [
  ['nine targets', Array<string>(9).fill(target(0)), [segment(0, 0, 1, whole)], '5/26/6'],
  ['nine segments', [target(0)], Array<string>(9).fill(segment(0, 0, 1, whole)), '5/26/8'],
  [
    'too many of both',
    Array<string>(9).fill(target(0)),
    Array<string>(9).fill(segment(0, 0, 1, whole)),
    '5/1a/0',
  ],
  ['a target by port name', [target(0, 'e0')], [segment(0, 0, 1, whole)], '5/26/7'],
  ['a segment from stream to stream', [target(0)], [segment(0, 0, 1, whole, '03')], '5/26/9'],
  ['a target that is not here', [target(5)], [segment(0, 0, 1, whole)], 'a/d/2'],
  ['an index without a target', [target(0)], [segment(0, 1, 1, whole)], 'a/d/2'],
  ['a range over the end', [target(0), target(1)], [segment(0, 1, 2, [0, BLOCKS - 1])], 'a/0/0'],
]

for (const [what, targets, segments, expected] of REFUSALS) {
  await t.test(`${what} is answered with ${expected}`, async (test) => {
    const bench = await ScsiBench.open()
    bench.disks[0]?.bytes.fill(1)
    test.equal(await bench.tell(bench.join(), ...copy(targets, segments)), expected)
    test.ok(bench.disks[1]?.bytes.equals(Buffer.alloc(BLOCKS * 512)))
  })
}

await t.test('a LUN that is reserved or protected is neither read nor written', async (test) => {
  const bench = await ScsiBench.open()
  const [copier, other] = [bench.join(), bench.join()]
  bench.disks[0]?.bytes.fill(1)
  const list = copy([target(0), target(1)], [segment(0, 1, 1, whole)])
  await bench.run(other, '16', undefined, 1)
  test.equal(await bench.tell(copier, ...list), 'a/0/0', 'the destination is reserved')
  await bench.run(other, '17', undefined, 1)
  await bench.run(other, '151000001000', hex('00000000 0a0a 02 00 08 40 000000000000'), 1)
  test.equal(await bench.tell(copier, ...list), 'a/0/0', 'the destination is write protected')
  test.ok(bench.disks[1]?.bytes.equals(Buffer.alloc(BLOCKS * 512)))
})

await t.test('any list gives a status and is no fault of ours', async () => {
  const bench = await ScsiBench.open()
  const nexus = bench.join()
  const [, right] = copy([target(0), target(1)], [segment(0, 1, 9, [3, 100])])
  const mutated = fc
    .array(fc.tuple(fc.nat(right.length - 1), fc.nat(255)), { maxLength: 4 })
    .map((changes) => changes.reduce((list, [at, byte]) => list.fill(byte, at, at + 1), Buffer.from(right)))
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated),
      fc.nat(200),
      async (list, length) => {
        await bench.run(nexus, `8300${word(0, 8)}${word(length, 4)}0000`, list)
        assert.deepEqual(bench.faults, [])
      },
    ),
    { numRuns: 2000 },
  )
})

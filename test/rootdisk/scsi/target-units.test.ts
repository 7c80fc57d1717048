import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { BlockError, type BlockErrorKind } from '../../../src/rootdisk/block-device.js'
import { LogicalUnit } from '../../../src/rootdisk/scsi/logical-unit.js'
import { OPCODES } from '../../../src/rootdisk/scsi/opcodes.js'
import { SENSE, STATUS, type Outcome } from '../../../src/rootdisk/scsi/sense.js'
import { TargetUnits } from '../../../src/rootdisk/scsi/target-units.js'
import { MemoryDisk } from '../../fakes/memory-disk.js'
import { BLOCKS, brief, hex } from './scsi-bench.js'

interface Bench {
  readonly disk: MemoryDisk
  readonly faults: unknown[]
  readonly run: (cdb: Uint8Array, dataOut?: Uint8Array, lun?: number) => Promise<Outcome>
}

function bench(options: { isSlow?: boolean; isReadOnly?: boolean } = {}): Bench {
  const disk = new MemoryDisk(BLOCKS * 512, options)
  const units = new TargetUnits()
  units.addUnit(new LogicalUnit({ lun: 0, serial: 'serial-0', naa: '3000000000000001' }, disk))
  const nexus = units.join({ initiator: 'iqn.2026-01.example:a', isid: '000000000001' })
  nexus.take(0) // the power on that a login is
  const faults: unknown[] = []
  const run: Bench['run'] = async (given, dataOut = new Uint8Array(0), lun = 0) => {
    const cdb = new Uint8Array(16)
    cdb.set(given)
    return units.execute({ nexus, lun, cdb, dataOut }, (err) => faults.push(err))
  }
  return { disk, faults, run }
}

const opcode = fc.constantFrom(...OPCODES.map((row) => row.opcode))
/** Any 16 bytes, and known commands with small and with arbitrary fields. */
const anyCdb = fc.uint8Array({ minLength: 16, maxLength: 16 })
const knownCdb = fc.tuple(opcode, anyCdb).map(([code, rest]) => Uint8Array.of(code, ...rest.subarray(1)))
const smallCdb = fc
  .tuple(
    opcode,
    fc.constantFrom(0, 1, 2, 8, 0x10, 0x12, 0x0c),
    fc.array(fc.constantFrom(0, 0, 0, 0, 1, 2, 255), { minLength: 14, maxLength: 14 }),
  )
  .map(([code, second, rest]) => Uint8Array.of(code, second, ...rest))
const dataOut = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  fc.constantFrom(0, 512, 1024, 4096, 131_072).map((length) => new Uint8Array(length)),
)

for (const options of [{}, { isSlow: true }, { isReadOnly: true }]) {
  await t.test(`any CDB gives a status and is no fault of ours, ${JSON.stringify(options)}`, async (test) => {
    const { run, disk, faults } = bench(options)
    const statuses = new Set<number>(Object.values(STATUS))
    await fc.assert(
      fc.asyncProperty(fc.oneof(anyCdb, knownCdb, smallCdb), dataOut, fc.nat(1), async (cdb, data, lun) => {
        const outcome = await run(cdb, data, lun)
        assert.deepEqual(faults, [])
        assert.ok(statuses.has(outcome.status))
        assert.equal(outcome.status === STATUS.CHECK_CONDITION, outcome.sense !== undefined)
        if (options.isReadOnly === true) assert.ok(disk.bytes.equals(Buffer.alloc(BLOCKS * 512)))
      }),
      { numRuns: 800 },
    )
    test.end()
  })
}

// SPC-4, SBC-3: what an initiator gets wrong, and the sense it is told.
const REFUSALS: [what: string, cdb: string, dataOutBytes: number, expected: string][] = [
  ['an unknown operation code', 'ff', 0, '5/20/0'],
  ['an unknown service action', '9e1f', 0, '5/24/0'],
  ['NACA', '000000000004', 0, '5/24/0'],
  ['READ(10) behind the end', '28000000010000000100', 0, '5/21/0'],
  ['READ(10) over the end', '280000 0000ff 000002 00', 0, '5/21/0'],
  ['READ(16) at 2^63', '8800 8000000000000000 00000001', 0, '5/21/0'],
  ['READ(10) of nothing at the end', '28000000010000000000', 0, '5/21/0'],
  ['READ(10) of nothing', '28000000000000000000', 0, '0'],
  ['READ(10) with protection', '28200000000000000100', 0, '5/24/0'],
  ['WRITE(10) over the end', '2a00000000ff0000 0200', 1024, '5/21/0'],
  ['WRITE SAME(10) of 0 blocks', '41000000000000000000', 512, '5/24/0'],
  ['WRITE SAME(16) without its block', '93000000000000000000 00000008', 0, '5/24/0'],
  ['COMPARE AND WRITE with half its data', '89000000000000000000 00000001', 512, '5/24/0'],
  ['VERIFY(10) that finds a difference', '2f020000000000000100', 512, 'e/1d/0'],
  ['UNMAP with a short list', '42000000000000000400', 4, '5/1a/0'],
  ['UNMAP with ANCHOR', '42010000000000001800', 24, '5/24/0'],
  ['INQUIRY for a page that is not', '1201ee00ff00', 0, '5/24/0'],
  ['MODE SENSE(6) of saved values', '1a00ff00ff00', 0, '5/39/0'],
  ['MODE SENSE(10) of an unknown page', '5a003e000000000000ff', 0, '5/24/0'],
  ['MODE SELECT(6) cut short', '151000001000', 4, '5/1a/0'],
  ['REPORT LUNS with 8 bytes of room', 'a00000000000000000080000', 0, '5/24/0'],
]

for (const [what, cdb, length, expected] of REFUSALS) {
  await t.test(`${what} is answered with ${expected}`, async (test) => {
    const { run, disk } = bench()
    disk.bytes.fill(1, 0, 512)
    test.equal(brief(await run(hex(cdb), Buffer.alloc(length))), expected)
  })
}

await t.test('a LUN that is not there answers INQUIRY, REPORT LUNS and REQUEST SENSE only', async (test) => {
  const { run } = bench()
  const inquiry = await run(hex('120000006000'), undefined, 5)
  test.equal(inquiry.data?.[0], 0x7f)
  const luns = await run(hex('a00000000000000000100000'), undefined, 5)
  test.same(luns.data, Buffer.from('00000008000000000000000000000000', 'hex'))
  const sense = await run(hex('030000001200'), undefined, 5)
  test.same([sense.data?.[2], sense.data?.[12]], SENSE.LOGICAL_UNIT_NOT_SUPPORTED.slice(0, 2))
  test.equal(brief(await run(hex('28'), undefined, 5)), '5/25/0')
})

await t.test('a unit attention is told once, and not by INQUIRY (SAM-5 §5.14)', async (test) => {
  const disk = new MemoryDisk(512)
  const units = new TargetUnits()
  units.addUnit(new LogicalUnit({ lun: 0, serial: 's', naa: '3000000000000001' }, disk))
  const nexus = units.join({ initiator: 'iqn.2026-01.example:a', isid: '000000000001' })
  nexus.raise(0, SENSE.POWER_ON) // as the login has done
  const run = async (first: number): Promise<string> => {
    const cdb = Uint8Array.of(first, ...new Uint8Array(15))
    return brief(await units.execute({ nexus, lun: 0, cdb, dataOut: new Uint8Array(0) }, () => undefined))
  }
  test.same([await run(0x12), await run(0), await run(0)], ['0', '6/29/0', '0'])
})

// Device failures: what a write and what a read are told.
const FAILURES: [kind: BlockErrorKind, write: string, read: string][] = [
  ['no-space', '7/27/7', '7/27/7'],
  ['medium', '3/c/0', '3/11/0'],
  ['read-only', '7/27/0', '7/27/0'],
]
for (const [kind, write, read] of FAILURES) {
  for (const isSlow of [false, true]) {
    const way = isSlow ? 'later' : 'at once'
    await t.test(`a device that fails ${way} with ${kind} is told as ${write} and ${read}`, async (test) => {
      const { run, disk, faults } = bench({ isSlow })
      disk.failure = new BlockError(kind, 'no')
      test.equal(brief(await run(hex('2a000000000000000100'), Buffer.alloc(512))), write)
      test.equal(brief(await run(hex('28000000000000000100'))), read)
      test.same(faults, [])
    })
  }
}

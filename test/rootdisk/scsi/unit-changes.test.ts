import t from 'tap'
import { LogicalUnit } from '../../../src/rootdisk/scsi/logical-unit.js'
import { MemoryDisk } from '../../fakes/memory-disk.js'
import { BLOCKS, hex, identity, newDisk, ScsiBench } from './scsi-bench.js'

const TEST_UNIT_READY = '00'
const READ = '28000000000000000100'
const WRITE = '2a000000000000000100'
const BLOCK = Buffer.alloc(512, 7)
const REPORT_LUNS = 'a00000000000000001000000'

/** MODE SELECT(6) of the caching page, byte 2. */
function caching(bits: string): [string, Buffer] {
  return ['151000001800', hex(`00000000 0812 ${bits}` + '00'.repeat(17))]
}

/** MODE SELECT(6) of the control page, bytes 2 and 4. */
function control(second: string, fourth: string): [string, Buffer] {
  return ['151000001000', hex(`00000000 0a0a ${second} 00 ${fourth} 40 000000000000`)]
}

await t.test('a LUN that comes or goes is told to every session at every LUN (SPC-4 §6.33)', async (test) => {
  const bench = await ScsiBench.open()
  const [first, second] = [bench.join(), bench.join()]
  bench.units.addUnit(new LogicalUnit(identity(7), newDisk()))
  test.equal(await bench.tell(first, TEST_UNIT_READY), '6/3f/e')
  test.equal(await bench.tell(first, TEST_UNIT_READY), '0')
  test.equal(await bench.tell(first, READ, undefined, 1), '6/3f/e')
  const luns = await bench.run(second, REPORT_LUNS)
  test.equal(Buffer.from(luns.data ?? []).readUInt32BE(0), 3 * 8)
  test.equal(await bench.tell(second, TEST_UNIT_READY), '0', 'REPORT LUNS has told it')
  test.equal(await bench.tell(second, TEST_UNIT_READY, undefined, 7), '0')
  test.equal(bench.units.removeUnit(7)?.lun, 7)
  test.equal(bench.units.removeUnit(7), undefined)
  test.equal(await bench.tell(second, READ), '6/3f/e')
  test.equal(await bench.tell(second, READ, undefined, 7), '5/25/0')
})

await t.test('a grown device is told, and read to its new end', async (test) => {
  const disk = new MemoryDisk(BLOCKS * 512)
  const bench = await ScsiBench.open(undefined, [disk])
  const nexus = bench.join()
  const last = `28000000${(BLOCKS * 2 - 1).toString(16).padStart(4, '0')}00000100`
  test.equal(await bench.tell(nexus, last), '5/21/0')
  disk.bytes = Buffer.alloc(BLOCKS * 2 * 512)
  bench.units.capacityChanged(0)
  test.equal(await bench.tell(nexus, last), '6/2a/9')
  test.equal(await bench.tell(nexus, last), '0')
  const { data } = await bench.run(nexus, '25')
  test.equal(Buffer.from(data ?? []).readUInt32BE(0), BLOCKS * 2 - 1)
})

await t.test('a reset is told to all, frees RESERVE(6) and puts the modes back', async (test) => {
  const bench = await ScsiBench.open()
  const [first, second] = [bench.join(), bench.join()]
  await bench.run(first, '16')
  await bench.run(first, ...caching('00'))
  bench.units.resetUnit(0)
  test.equal(await bench.tell(first, TEST_UNIT_READY), '6/29/3')
  for (let told = await bench.tell(second, READ); told !== '0'; told = await bench.tell(second, READ)) {
    test.match(told, /^6\//, 'no conflict any more')
  }
  await bench.run(second, WRITE, BLOCK)
  test.equal(bench.disks[0]?.flushes, 0, 'the write cache is on again')
})

await t.test(
  'with WCE off every write is on stable storage before its answer (SBC-3 §6.5.5)',
  async (test) => {
    for (const isSlow of [false, true]) {
      const disk = new MemoryDisk(BLOCKS * 512, { isSlow })
      const bench = await ScsiBench.open(undefined, [disk])
      const [first, second] = [bench.join(), bench.join()]
      const flushesOf = async (cdb: string, dataOut?: Buffer): Promise<number> => {
        const before = disk.flushes
        test.equal(await bench.tell(first, cdb, dataOut), '0', cdb)
        return disk.flushes - before
      }
      test.equal(await flushesOf(WRITE, BLOCK), 0)
      test.equal(await flushesOf('2a080000000000000100', BLOCK), 1, 'FUA')
      test.equal(await flushesOf(...caching('00')), 0)
      test.equal(await flushesOf(WRITE, BLOCK), 1)
      test.equal(await flushesOf('41000000000000000800', BLOCK), 1, 'WRITE SAME')
      test.equal(
        await flushesOf('42000000000000001800', hex('0016001000000000 0000000000000000 0000000800000000')),
        1,
      )
      test.equal(await flushesOf(READ), 0)
      test.equal(
        await bench.tell(second, TEST_UNIT_READY),
        '6/2a/1',
        'other sessions are told of the new mode',
      )
      test.equal(await bench.tell(first, TEST_UNIT_READY), '0')
      test.equal(await flushesOf(...caching('04')), 0)
      test.equal(await flushesOf(WRITE, BLOCK), 0)
    }
  },
)

await t.test('with SWP set nothing changes the medium (SPC-4 §7.5.8)', async (test) => {
  const bench = await ScsiBench.open()
  const nexus = bench.join()
  test.equal(await bench.tell(nexus, ...control('02', '08')), '0')
  const changing = [
    WRITE,
    '0a',
    '8a',
    '2e000000000000000100',
    '41000000000000000100',
    '42',
    '89',
    '8b',
    '9c',
    '4802',
  ]
  for (const cdb of changing) test.equal(await bench.tell(nexus, cdb, BLOCK), '7/27/2', cdb)
  test.equal(await bench.tell(nexus, READ), '0')
  test.ok(bench.disks[0]?.bytes.equals(Buffer.alloc(BLOCKS * 512)))
  const { data } = await bench.run(nexus, '1a000a00ff00')
  test.equal((data?.[2] ?? 0) & 0x80, 0x80, 'WP')
})

await t.test(
  'with D_SENSE set sense is in descriptor format, with the information that fits (SPC-4 §4.5.2)',
  async (test) => {
    const bench = await ScsiBench.open()
    const nexus = bench.join()
    await bench.run(nexus, ...control('06', '00'))
    const outside = await bench.run(nexus, '28000000010000000100')
    test.same(Buffer.from(outside.sense ?? []), hex('72 05 21 00 00000000'))
    const different = await bench.run(nexus, '2f020000000000000100', Buffer.alloc(512).fill(1, 100))
    test.same(Buffer.from(different.sense ?? []), hex('720e1d00 0000000c 000a8000 00000000 00000064'))
  },
)

await t.test('MODE SELECT changes nothing but WCE, SWP and D_SENSE', async (test) => {
  const bench = await ScsiBench.open()
  const nexus = bench.join()
  test.equal(await bench.tell(nexus, ...caching('05')), '5/26/0', 'RCD')
  test.equal(await bench.tell(nexus, '151100001800', caching('00')[1]), '5/24/0', 'SP')
  test.equal(await bench.tell(nexus, '151000001000', caching('00')[1]), '5/1a/0', 'cut short')
  test.equal(bench.units.unit(0)?.modes.hasWriteCache, true)
})

await t.test('SANITIZE erases every block, and other commands wait outside meanwhile', async (test) => {
  const disk = new MemoryDisk(BLOCKS * 512, { isSlow: true })
  disk.bytes.fill(3)
  const bench = await ScsiBench.open(undefined, [disk])
  const nexus = bench.join()
  const erased = bench.tell(nexus, '48020000000000000000')
  test.equal(await bench.tell(nexus, READ), '2/4/1b')
  test.equal(await bench.tell(nexus, '120000006000'), '0')
  test.equal(await erased, '0')
  test.ok(disk.bytes.equals(Buffer.alloc(BLOCKS * 512)))
  test.equal(disk.flushes, 1)
  test.equal(await bench.tell(nexus, READ), '0')
})

await t.test('WRITE ATOMIC takes one whole cluster and nothing else (SBC-4 §5.48)', async (test) => {
  const bench = await ScsiBench.open()
  const nexus = bench.join()
  const atomic = (lba: string, blocks: string): string => `9c00 00000000000000${lba} 0000 00${blocks} 00`
  test.equal(await bench.tell(nexus, atomic('08', '08'), Buffer.alloc(4096, 5)), '0')
  test.equal(bench.disks[0]?.bytes[8 * 512], 5)
  test.equal(await bench.tell(nexus, atomic('04', '08'), Buffer.alloc(4096, 5)), '5/24/0')
  test.equal(await bench.tell(nexus, atomic('00', '10'), Buffer.alloc(8192, 5)), '5/24/0')
  test.equal(await bench.tell(nexus, atomic('00', '04'), Buffer.alloc(2048, 5)), '5/24/0')
})

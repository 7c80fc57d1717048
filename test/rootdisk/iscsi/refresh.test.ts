import t from 'tap'
import { MemoryDisk } from '../../fakes/memory-disk.js'
import type { Initiator } from '../../fakes/initiator.js'
import { bench, IQN, lunsOf, openSession, READ, type Bench } from './bench.js'

const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const READ_8 = [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]

/** The target's LUNs are these from now on. */
async function relun(served: Bench, luns: ReturnType<typeof lunsOf>): Promise<void> {
  const at = served.targets.findIndex((each) => each.iqn === IQN)
  const spec = served.targets[at]
  if (spec !== undefined) served.targets[at] = { ...spec, luns }
  await served.portal.refresh()
}

async function ready(initiator: Initiator, lun: number): Promise<string> {
  return (await initiator.run(lun, TEST_UNIT_READY, { flags: 0x81 })).sense
}

await t.test('a LUN comes under a live session, which is told', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served)
  const added = new MemoryDisk(1 << 16)
  added.bytes.fill(9)
  test.equal(await ready(initiator, 2), '5/25/0')
  await relun(served, lunsOf(served.disk, served.seed, added))
  test.equal(await ready(initiator, 0), '6/3f/e', 'reported LUNs data has changed')
  await ready(initiator, 2)
  const read = await initiator.run(2, READ_8, { ...READ, edtl: 4096 })
  test.ok(read.data.equals(added.bytes.subarray(0, 4096)))
  await relun(served, lunsOf(served.disk, served.seed, added))
  test.equal(await ready(initiator, 0), '', 'nothing is told when nothing has changed')
})

await t.test('a LUN goes once what is under way on it is answered', async (test) => {
  const served = await bench(test)
  const going = new MemoryDisk(1 << 16, { isSlow: true })
  await relun(served, lunsOf(served.disk, served.seed, going))
  const initiator = await openSession(test, served, { luns: [0, 1, 2] })
  const held = going.hold()
  initiator.command(2, READ_8, { ...READ, edtl: 4096 })
  await held.reached
  const gone = relun(served, lunsOf(served.disk, served.seed))
  await initiator.ping()
  test.equal(going.isClosed, false)
  held.release()
  test.equal((await initiator.receive())?.data.length, 4096, 'the read is answered')
  await gone
  test.equal(going.isClosed, true)
  test.equal(await ready(initiator, 0), '6/3f/e')
  test.equal(await ready(initiator, 2), '5/25/0')
  test.equal(served.disk.isClosed, false)
})

await t.test('another identifier is another LUN', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served)
  const other = new MemoryDisk(1 << 20)
  const luns = lunsOf(other, served.seed).map((each) =>
    each.lun === 0 ? { ...each, naa: '3000000000000099' } : each,
  )
  await relun(served, luns)
  test.same([served.disk.isClosed, other.isClosed], [true, false])
  test.equal(await ready(initiator, 0), '6/3f/e')
})

await t.test('a disk that has grown is told: capacity data has changed', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served)
  served.disk.grow(2 << 20)
  await served.portal.refresh()
  test.equal(await ready(initiator, 0), '6/2a/9')
  const capacity = await initiator.run(0, [0x25], { ...READ, edtl: 8 })
  test.equal(capacity.data.readUInt32BE(0), (2 << 20) / 512 - 1)
  test.equal(await ready(initiator, 1), '')
})

await t.test('a LUN that cannot be opened fails the refresh, and harms no other', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served)
  const broken = {
    lun: 2,
    naa: '3000000000000042',
    serial: 'x',
    open: () => Promise.reject(new Error('no such volume')),
  }
  await test.rejects(relun(served, [...lunsOf(served.disk, served.seed), broken]), /no such volume/)
  test.equal((await initiator.run(0, READ_8, { ...READ, edtl: 4096 })).status, 0)
  await relun(served, lunsOf(served.disk, served.seed))
  test.equal(await ready(initiator, 0), '')
})

await t.test('a target that is gone loses its sessions', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served)
  served.targets.splice(0)
  await served.portal.refresh()
  await initiator.closed
  test.equal(served.disk.isClosed, true)
})

import t from 'tap'
import { ManualClock } from '../../fakes/manual-clock.js'
import { bench, openSession, READ } from './bench.js'

const LOGOUT = 0x46
const READ_8 = [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]

function logoutPdu(): Buffer {
  const header = Buffer.alloc(48)
  header[0] = LOGOUT
  header[1] = 0x80
  header.writeUInt32BE(77, 16)
  return header
}

await t.test('a planned stop asks for a logout and ends with it (RFC 7143 §11.9.1)', async (test) => {
  const served = await bench(test, { clock: new ManualClock(), portal: { drainMs: 1000 } })
  const initiator = await openSession(test, served)
  const stopped = served.portal.stop()
  const request = await initiator.receive()
  test.equal(request?.opcode, 0x32)
  test.equal(request?.header.readUInt8(36), 1, 'target requests logout')
  test.equal(request?.header.readUInt16BE(42), 1, 'within a second')
  initiator.send(logoutPdu())
  const reply = await initiator.receive()
  test.same([reply?.opcode, reply?.header.readUInt8(2)], [0x26, 0])
  await initiator.closed
  await stopped // the clock stands still: nothing was waited for but the logout
  test.equal(served.disk.isClosed, true)
})

await t.test('a session that does not log out is closed when its time is over', async (test) => {
  const clock = new ManualClock()
  const served = await bench(test, { clock, portal: { drainMs: 1000 } })
  const initiator = await openSession(test, served)
  const stopped = served.portal.stop()
  await initiator.receive()
  clock.advance(1000)
  await initiator.closed
  await stopped
})

await t.test('commands under way are answered before the connection closes', async (test) => {
  const served = await bench(test, { isSlow: true })
  const initiator = await openSession(test, served)
  const held = served.disk.hold()
  initiator.command(0, READ_8, { ...READ, edtl: 4096 })
  await held.reached
  const stopped = served.portal.stop()
  test.equal((await initiator.receive())?.opcode, 0x32)
  held.release()
  const answer = await initiator.receive()
  test.same([answer?.opcode, answer?.data.length], [0x25, 4096])
  await initiator.closed
  await stopped
})

await t.test('boot firmware is asked nothing, it knows no such request', async (test) => {
  const served = await bench(test, { portal: { drainMs: 60_000 } })
  const initiator = await openSession(test, served, { keys: ['MaxRecvDataSegmentLength=8192'] })
  await served.portal.stop()
  test.equal(await initiator.receive(), undefined)
})

await t.test('a silent operating system is pinged, and lives as long as it answers', async (test) => {
  const clock = new ManualClock()
  const served = await bench(test, { clock, portal: { pingMs: 1000 } })
  const initiator = await openSession(test, served)
  for (let round = 0; round < 3; round++) {
    clock.advance(2000)
    const ping = await initiator.receive()
    test.same([ping?.opcode, ping?.header.readUInt32BE(16)], [0x20, 0xffffffff])
    const answer = Buffer.alloc(48)
    answer[0] = 0x40
    answer[1] = 0x80
    answer.writeUInt32BE(0xffffffff, 16)
    ping?.header.copy(answer, 20, 20, 24)
    initiator.send(answer)
    await initiator.run(0, READ_8, { ...READ, edtl: 4096 }) // the answer has arrived when this has
  }
  test.equal(served.portal.sessions().length, 1)
})

await t.test('one that does not answer loses its session, with one event', async (test) => {
  const clock = new ManualClock()
  const served = await bench(test, { clock, portal: { pingMs: 1000 } })
  const initiator = await openSession(test, served)
  const before = served.events.length
  clock.advance(2000)
  test.equal((await initiator.receive())?.opcode, 0x20)
  clock.advance(1000)
  await initiator.closed
  test.match(served.events.slice(before), [{ kind: 'iscsi.lost', message: /does not answer any more/ }])
})

await t.test('boot firmware is never pinged: iPXE would end its connection', async (test) => {
  const clock = new ManualClock()
  const served = await bench(test, { clock, portal: { pingMs: 1000 } })
  const initiator = await openSession(test, served, { keys: ['MaxRecvDataSegmentLength=8192'] })
  clock.advance(100_000)
  test.equal((await initiator.run(0, READ_8, { ...READ, edtl: 4096 })).status, 0)
})

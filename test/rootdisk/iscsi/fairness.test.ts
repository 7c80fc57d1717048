import t from 'tap'
import { BufferPool } from '../../../src/rootdisk/iscsi/buffer-pool.js'
import { WriteMemory } from '../../../src/rootdisk/iscsi/write-memory.js'
import { bench, openSession, READ, WRITE } from './bench.js'

const READ_8 = [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]
const MIB = 1 << 20

await t.test(
  'of a session with 128 commands a slow device gets 32, and another session its turn',
  async (test) => {
    const served = await bench(test, { isSlow: true })
    const deep = await openSession(test, served)
    const other = await openSession(test, served, { isid: 2 })
    const held = served.disk.hold()
    for (let i = 0; i < 128; i++) deep.command(0, READ_8, { ...READ, edtl: 4096 })
    await deep.ping()
    test.equal(served.disk.inFlight, 32)
    other.command(0, READ_8, { ...READ, edtl: 4096 })
    await other.ping()
    test.equal(
      served.disk.inFlight,
      33,
      "the other's command is with the device, behind 32 and not behind 128",
    )
    held.release()
    const answered = new Set<number>()
    let lastMaxCmdSn = 0
    while (answered.size < 128) {
      const pdu = await deep.receive()
      answered.add(pdu?.header.readUInt32BE(16) ?? 0)
      const maxCmdSn = pdu?.header.readUInt32BE(32) ?? 0
      test.ok(maxCmdSn >= lastMaxCmdSn, 'MaxCmdSN never goes back')
      lastMaxCmdSn = maxCmdSn
    }
    test.equal((await other.receive())?.data.length, 4096)
  },
)

await t.test('the command window shrinks while the device is behind and opens again after', async (test) => {
  const served = await bench(test, { isSlow: true })
  const initiator = await openSession(test, served)
  const held = served.disk.hold()
  for (let i = 0; i < 128; i++) initiator.command(0, READ_8, { ...READ, edtl: 4096 })
  await initiator.ping()
  held.release()
  const windows: number[] = []
  for (let i = 0; i < 128; i++) {
    const header = (await initiator.receive())?.header
    windows.push((header?.readUInt32BE(32) ?? 0) - initiator.cmdSn + 1)
  }
  test.ok((windows[64] ?? 128) < 32, `only ${String(windows[64])} more are asked for when half is answered`)
  for (let i = 0; i < 128; i++) await initiator.run(0, READ_8, { ...READ, edtl: 4096 })
  const { last } = await initiator.run(0, READ_8, { ...READ, edtl: 4096 })
  test.equal((last?.header.readUInt32BE(32) ?? 0) - initiator.cmdSn + 1, 128)
})

await t.test('large writes take turns for memory, and all of them are written', async (test) => {
  const served = await bench(test, { isSlow: true })
  served.disk.grow(4 * MIB)
  await served.portal.refresh()
  const initiator = await openSession(test, served, { keys: ['InitialR2T=Yes', 'ImmediateData=No'] })
  await initiator.run(0, [0, 0, 0, 0, 0, 0], { flags: 0x81 })
  for (let i = 0; i < 20; i++) {
    initiator.command(0, [0x2a, 0, 0, 0, 0, 0, 0, 0x20, 0, 0], { ...WRITE, edtl: 4 * MIB })
  }
  const open = new Map<number, number>()
  const sequence = new Map<number, number>()
  let answered = 0
  while (answered < 20) {
    const pdu = await initiator.receive()
    const itt = pdu?.header.readUInt32BE(16) ?? 0
    if (pdu?.opcode === 0x21) {
      test.equal(pdu.header.readUInt8(3), 0)
      open.delete(itt)
      answered++
    } else if (pdu?.opcode === 0x31) {
      open.set(itt, 4 * MIB)
      test.ok(open.size <= 5, 'at most 16 MiB and one more write are on their way')
      const [ttt, from] = [pdu.header.readUInt32BE(20), pdu.header.readUInt32BE(40)]
      const end = from + pdu.header.readUInt32BE(44)
      for (let offset = from, dataSn = 0; offset < end; offset += 262_144, dataSn++) {
        const data = Buffer.alloc(Math.min(262_144, end - offset), 7)
        initiator.dataOut({ itt, ttt, dataSn, offset, isFinal: offset + data.length === end }, data)
      }
      sequence.set(itt, from)
    } else throw new Error(`opcode ${String(pdu?.opcode)}`)
  }
  test.equal(sequence.size, 20)
  test.ok(served.disk.bytes.equals(Buffer.alloc(4 * MIB, 7)))
})

await t.test('write memory is bounded by session, and by process', (test) => {
  const pool = new BufferPool(0)
  const sessions = Array.from({ length: 200 }, () => new WriteMemory(pool))
  const first = sessions[0]
  for (let i = 0; i < 4; i++) test.equal(first?.take(4 * MIB, 65_536)?.length, 4 * MIB)
  const small = first?.take(4 * MIB, 65_536)
  test.equal(small?.length, 65_536, 'beyond 16 MiB only the first burst')
  const write = { dataOut: small, wantedBytes: 4 * MIB, receivedBytes: 65_536 }
  test.equal(first?.fit(write, false), false)
  test.equal(first?.fit(write, true), true, 'one that is alone goes on')
  test.equal(write.dataOut?.length, 4 * MIB)
  for (const session of sessions) for (let i = 0; i < 4; i++) session.take(4 * MIB, 65_536)
  test.equal(first?.take(4096, 4096), undefined, 'BUSY')
  test.ok(pool.takenBytes <= 520 * MIB)
  test.end()
})

import t from 'tap'
import type { Initiator } from '../../fakes/initiator.js'
import { bench, openSession, READ, WRITE } from './bench.js'

const READ_8 = [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0]
const ABORT_TASK = 1
const ABORT_TASK_SET = 2
const CLEAR_TASK_SET = 4
const LUN_RESET = 5
const WARM_RESET = 6
const NO_TAG = 0xffffffff

interface Fields {
  code: number
  lun?: number
  itt?: number
  refCmdSn?: number
}

function manage(initiator: Initiator, { code, lun = 0, itt = NO_TAG, refCmdSn = 0 }: Fields): void {
  const header = Buffer.alloc(48)
  header[0] = 0x42
  header[1] = 0x80 | code
  header[9] = lun
  header.writeUInt32BE(900, 16)
  header.writeUInt32BE(itt, 20)
  header.writeUInt32BE(initiator.cmdSn, 24)
  header.writeUInt32BE(refCmdSn, 32)
  initiator.send(header)
}

/** The answer to a task management function, -1 when something else came. */
async function answered(initiator: Initiator): Promise<number> {
  const reply = await initiator.receive()
  return reply?.opcode === 0x22 ? reply.header.readUInt8(2) : -1
}

async function unitReady(initiator: Initiator, lun = 0): Promise<string> {
  return (await initiator.run(lun, TEST_UNIT_READY, { flags: 0x81 })).sense
}

for (const code of [ABORT_TASK, ABORT_TASK_SET, CLEAR_TASK_SET, LUN_RESET, WARM_RESET]) {
  await t.test(
    `function ${String(code)} is answered only after the device is done with what it aborted`,
    async (test) => {
      const served = await bench(test, { isSlow: true })
      const initiator = await openSession(test, served)
      const held = served.disk.hold()
      const data = Buffer.alloc(512, 7)
      const itt = initiator.command(0, [0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0], { ...WRITE, edtl: 512, data })
      await held.reached
      manage(initiator, { code, itt })
      await initiator.ping()
      test.equal(served.disk.inFlight, 1, 'an answer to a ping came first')
      held.release()
      test.equal(await answered(initiator), 0)
      test.equal(served.disk.inFlight, 0)
      test.equal(
        (await unitReady(initiator)) === '',
        code <= CLEAR_TASK_SET,
        'no answer to the command itself',
      )
    },
  )
}

await t.test(
  'a write that waits for its data is aborted at once, and what comes for it is dropped',
  async (test) => {
    const served = await bench(test)
    const initiator = await openSession(test, served, { keys: ['InitialR2T=Yes', 'ImmediateData=No'] })
    const itt = initiator.command(0, [0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0], { ...WRITE, edtl: 512 })
    const ttt = (await initiator.receive())?.header.readUInt32BE(20) ?? 0
    manage(initiator, { code: ABORT_TASK, itt })
    test.equal(await answered(initiator), 0)
    initiator.dataOut({ itt, ttt, dataSn: 0, offset: 0, isFinal: true }, Buffer.alloc(512, 7))
    test.equal(await unitReady(initiator), '')
    test.ok(served.disk.bytes.equals(Buffer.alloc(served.disk.sizeBytes)))
  },
)

await t.test('a task that is not there is told by its CmdSN (RFC 7143 §11.5.1)', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served)
  manage(initiator, { code: ABORT_TASK, itt: 500, refCmdSn: initiator.cmdSn - 1 })
  test.equal(await answered(initiator), 1, 'it was answered before: task does not exist')
  const lost = initiator.cmdSn
  initiator.cmdSn += 3
  manage(initiator, { code: ABORT_TASK, itt: 502, refCmdSn: lost + 2 })
  manage(initiator, { code: ABORT_TASK, itt: 501, refCmdSn: lost + 1 })
  test.same([await answered(initiator), await answered(initiator)], [0, 0], 'they count as received')
  manage(initiator, { code: ABORT_TASK, itt: 500, refCmdSn: lost })
  test.equal(await answered(initiator), 0)
  test.equal(await unitReady(initiator), '', 'nobody waits for the commands that were lost')
  manage(initiator, { code: ABORT_TASK, itt: 500, refCmdSn: initiator.cmdSn + 1000 })
  test.equal(await answered(initiator), 1, 'outside the window: task does not exist')
})

await t.test('functions that are not there, and LUNs that are not there, are refused', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served)
  for (const [code, lun, answer] of [
    [8, 0, 4],
    [3, 0, 5],
    [99, 0, 5],
    [ABORT_TASK, 9, 2],
    [LUN_RESET, 9, 2],
  ] as const) {
    manage(initiator, { code, lun })
    test.equal(await answered(initiator), answer)
  }
})

await t.test(
  'other sessions are told what they lost: 2F/00 for commands, 29/03 for a reset',
  async (test) => {
    const served = await bench(test, { isSlow: true })
    const own = await openSession(test, served)
    const other = await openSession(test, served, { isid: 2 })
    const idle = await openSession(test, served, { isid: 3 })
    const held = served.disk.hold()
    other.command(0, READ_8, { ...READ, edtl: 4096 })
    await held.reached
    manage(own, { code: CLEAR_TASK_SET })
    await own.ping()
    held.release()
    test.equal(await answered(own), 0)
    test.same([await unitReady(own), await unitReady(other), await unitReady(idle)], ['', '6/2f/0', ''])
    manage(own, { code: LUN_RESET })
    test.equal(await answered(own), 0)
    for (const each of [own, other, idle]) {
      test.same([await unitReady(each), await unitReady(each, 1)], ['6/29/3', ''], 'LUN 0 and no other')
    }
    manage(own, { code: WARM_RESET })
    test.equal(await answered(own), 0)
    for (const each of [own, other]) {
      test.same([await unitReady(each), await unitReady(each, 1)], ['6/29/3', '6/29/3'])
    }
  },
)

await t.test('aborting one session’s tasks leaves another’s alone', async (test) => {
  const served = await bench(test, { isSlow: true })
  const own = await openSession(test, served)
  const other = await openSession(test, served, { isid: 2 })
  const held = served.disk.hold()
  other.command(0, READ_8, { ...READ, edtl: 4096 })
  await held.reached
  manage(own, { code: ABORT_TASK_SET })
  test.equal(await answered(own), 0)
  held.release()
  test.equal((await other.receive())?.data.length, 4096)
})

await t.test('a wrong DataSN fails the command and not the session', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served, { keys: ['InitialR2T=Yes', 'ImmediateData=No'] })
  const itt = initiator.command(0, [0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0], { ...WRITE, edtl: 512 })
  const ttt = (await initiator.receive())?.header.readUInt32BE(20) ?? 0
  initiator.dataOut({ itt, ttt, dataSn: 5, offset: 0, isFinal: true }, Buffer.alloc(512, 7))
  const response = await initiator.receive()
  test.same([response?.opcode, response?.header.readUInt8(3)], [0x21, 2])
  test.ok(served.disk.bytes.equals(Buffer.alloc(served.disk.sizeBytes)), 'nothing was written')
  test.equal(await unitReady(initiator), '')
})

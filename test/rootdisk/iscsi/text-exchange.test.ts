import t from 'tap'
import { Initiator } from '../../fakes/initiator.js'
import { bench, HOST, IQN, lunsOf, type Bench } from './bench.js'
import type { Test } from 'tap'

const NO_TAG = 0xffffffff

function textPdu(text: string | Buffer, flags: number, ttt = NO_TAG): Buffer {
  const data = Buffer.from(text)
  const header = Buffer.alloc(48)
  header.writeUInt16BE(0x4400 | flags)
  header.writeUIntBE(data.length, 5, 3)
  header.writeUInt32BE(5, 16)
  header.writeUInt32BE(ttt, 20)
  return Buffer.concat([header, data, Buffer.alloc(-data.length & 3)])
}

async function discovery(test: Test, served: Bench, keys = ''): Promise<Initiator> {
  const initiator = new Initiator(served.portal.port)
  test.teardown(() => {
    initiator.close()
  })
  await initiator.login(`InitiatorName=${HOST}\0SessionType=Discovery\0${keys}`)
  return initiator
}

/** Every part of an answer, asked for one by one. */
async function whole(initiator: Initiator): Promise<{ text: string; parts: number }> {
  const parts: Buffer[] = []
  for (;;) {
    const reply = await initiator.receive()
    if (reply === undefined) throw new Error('closed')
    parts.push(reply.data)
    const [flags, ttt] = [reply.header.readUInt8(1), reply.header.readUInt32BE(20)]
    if (flags === 0x80 && ttt === NO_TAG) break
    if (flags !== 0x40 || ttt === NO_TAG) throw new Error(`flags ${String(flags)} with tag ${String(ttt)}`)
    initiator.send(textPdu('', 0x80, ttt))
  }
  return { text: Buffer.concat(parts).toString(), parts: parts.length }
}

await t.test(
  'a long SendTargets answer comes in parts that the initiator asks for (RFC 7143 §6.2)',
  async (test) => {
    const served = await bench(test)
    const luns = lunsOf(served.disk)
    const names = Array.from({ length: 500 }, (_, i) => `${IQN}-${String(i)}`)
    for (const iqn of names) served.targets.push({ iqn, initiatorIqn: HOST, chap: undefined, luns })
    const initiator = await discovery(test, served)
    initiator.send(textPdu('SendTargets=All\0', 0x80))
    const { text, parts } = await whole(initiator)
    test.same(text.match(/(?<=TargetName=)[^\0]+/g), [IQN, ...names])
    test.equal(parts, Math.ceil(text.length / 8192))
  },
)

await t.test('a request over several PDUs is acknowledged part by part and answered once', async (test) => {
  const initiator = await discovery(test, await bench(test))
  let ttt = NO_TAG
  for (const byte of 'SendTargets=Al') {
    initiator.send(textPdu(byte, 0x40, ttt))
    const reply = await initiator.receive()
    test.same([reply?.opcode, reply?.header.readUInt8(1), reply?.data.length], [0x24, 0, 0])
    ttt = reply?.header.readUInt32BE(20) ?? NO_TAG
    test.not(ttt, NO_TAG)
  }
  initiator.send(textPdu('l\0', 0x80, ttt))
  test.match((await whole(initiator)).text, new RegExp(`^TargetName=${IQN}\0TargetAddress=`))
})

await t.test('a tag of no exchange is rejected, and nothing breaks', async (test) => {
  const initiator = await discovery(test, await bench(test))
  initiator.send(textPdu('SendTargets=All\0', 0x80, 7))
  const reject = await initiator.receive()
  test.same([reject?.opcode, reject?.header.readUInt8(2)], [0x3f, 9])
  initiator.send(textPdu('SendTargets=All\0', 0x80))
  test.match((await whole(initiator)).text, /TargetName/)
})

await t.test('text before the end of our answer is rejected', async (test) => {
  const served = await bench(test)
  const initiator = await discovery(test, served, 'MaxRecvDataSegmentLength=512\0')
  const keys = Array.from({ length: 60 }, (_, i) => `X-key-${String(i)}=1\0`).join('')
  initiator.send(textPdu(keys, 0x80))
  const first = await initiator.receive()
  test.same([first?.header.readUInt8(1), first?.data.length], [0x40, 512])
  initiator.send(textPdu('X-more=1\0', 0x80, first?.header.readUInt32BE(20)))
  test.equal((await initiator.receive())?.opcode, 0x3f)
})

await t.test('text without end closes the connection, with one event', async (test) => {
  const served = await bench(test)
  const initiator = await discovery(test, served)
  let ttt = NO_TAG
  for (let sent = 0; sent <= 65_536; sent += 8192) {
    initiator.send(textPdu(Buffer.alloc(8192, 'a'), 0x40, ttt))
    ttt = (await initiator.receive())?.header.readUInt32BE(20) ?? NO_TAG
  }
  await initiator.closed
  test.match(served.events, [{ kind: 'iscsi.protocol-error', message: /longer than 65536 bytes/ }])
})

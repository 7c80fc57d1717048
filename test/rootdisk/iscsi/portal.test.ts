import fc from 'fast-check'
import t from 'tap'
import { BlockError } from '../../../src/rootdisk/block-device.js'
import { chapResponse, parseBinary } from '../../../src/rootdisk/iscsi/chap.js'
import { commandPdu, Initiator, loginPdu } from '../../fakes/initiator.js'
import { bench, HOST, IQN, NO_R2T, openSession, READ, WRITE } from './bench.js'

function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff))
}

for (const isSlow of [false, true]) {
  const kind = isSlow ? 'a device that takes its time' : 'a device that answers at once'
  await t.test(`what is written to ${kind} is read back, in whole and in 8 KiB PDUs`, async (test) => {
    const served = await bench(test, { isSlow })
    const initiator = await openSession(test, served)
    const data = pattern(65_536)
    const written = await initiator.run(0, [0x2a, 0, 0, 0, 0, 8, 0, 0, 128, 0], {
      ...WRITE,
      edtl: 65_536,
      data,
    })
    test.equal(written.status, 0)
    test.ok(served.disk.bytes.subarray(4096, 4096 + 65_536).equals(data))
    const small = await openSession(test, served, { keys: ['MaxRecvDataSegmentLength=8192'], isid: 2 })
    const read = await small.run(0, [0x28, 0, 0, 0, 0, 8, 0, 0, 128, 0], { ...READ, edtl: 65_536 })
    test.ok(read.data.equals(data))
    test.equal(read.last?.header.readUInt32BE(36), 7, 'eighth DataSN')
    const whole = await initiator.run(0, [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 128, 0, 0], {
      ...READ,
      edtl: 65_536,
    })
    test.ok(whole.data.equals(data))
  })
}

await t.test(
  'a write without immediate data is asked for by R2T, burst by burst (RFC 7143 §11.8)',
  async (test) => {
    const served = await bench(test)
    const initiator = await openSession(test, served, {
      keys: ['InitialR2T=Yes', 'ImmediateData=No', 'MaxBurstLength=4096'],
    })
    const data = pattern(8192)
    const itt = initiator.command(0, [0x2a, 0, 0, 0, 0, 0, 0, 0, 16, 0], { ...WRITE, edtl: 8192 })
    for (const offset of [0, 4096]) {
      const r2t = await initiator.receive()
      test.equal(r2t?.opcode, 0x31)
      test.equal(r2t?.header.readUInt32BE(40), offset)
      test.equal(r2t?.header.readUInt32BE(44), 4096)
      for (const [sn, part] of [0, 2048].entries()) {
        const header = Buffer.alloc(48)
        header[0] = 0x05
        header[1] = part === 0 ? 0 : 0x80
        header.writeUIntBE(2048, 5, 3)
        header.writeUInt32BE(itt, 16)
        header.writeUInt32BE(r2t?.header.readUInt32BE(20) ?? 0, 20)
        header.writeUInt32BE(sn, 36)
        header.writeUInt32BE(offset + part, 40)
        initiator.send(Buffer.concat([header, data.subarray(offset + part, offset + part + 2048)]))
      }
    }
    const response = await initiator.receive()
    test.equal(response?.opcode, 0x21)
    test.equal(response?.header.readUInt8(3), 0)
    test.ok(served.disk.bytes.subarray(0, 8192).equals(data))
  },
)

await t.test('bytes that come one by one are served like any others', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served)
  const data = pattern(512)
  const bytes = commandPdu({
    lun: 0,
    cdb: [0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0],
    itt: 9,
    cmdSn: initiator.cmdSn++,
    flags: 0xa1,
    edtl: 512,
    data,
  })
  for (const byte of bytes) {
    initiator.send(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  const response = await initiator.receive()
  test.equal(response?.opcode, 0x21)
  test.ok(served.disk.bytes.subarray(512, 1024).equals(data))
})

await t.test('a failed device call is told in sense data', async (test) => {
  const served = await bench(test)
  const initiator = await openSession(test, served)
  const data = Buffer.alloc(512)
  const write = () => initiator.run(0, [0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0], { ...WRITE, edtl: 512, data })
  const read = () => initiator.run(0, [0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0], { ...READ, edtl: 512 })
  for (const isSlow of [false, true]) {
    served.disk.isSlow = isSlow
    served.disk.failure = new BlockError('no-space', 'full')
    test.equal((await write()).sense, '7/27/7')
    served.disk.failure = new BlockError('medium', 'bad sector')
    test.equal((await write()).sense, '3/c/0')
    test.equal((await read()).sense, '3/11/0')
    served.disk.failure = undefined
    test.equal((await read()).status, 0)
  }
  const refused = await initiator.run(1, [0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0], { ...WRITE, edtl: 512, data })
  test.equal(refused.sense, '7/27/0', 'the seed disk is read-only')
})

await t.test('a login that fails names the initiator, the target and the check', async (test) => {
  const served = await bench(test, { chap: { user: 'web-1', secret: 'correct horse' } })
  const cases: [target: string, initiator: string, keys: string[], status: number, check: RegExp][] = [
    ['iqn.2026-01.example:none', HOST, [], 0x0203, /no target of that name/],
    [IQN, 'iqn.2026-01.example:stranger', [], 0x0202, /initiator name is not the one bound/],
    [IQN, HOST, [], 0x0201, /CHAP was not done/],
    [IQN, HOST, ['AuthMethod=None'], 0x0201, /does not offer AuthMethod CHAP/],
  ]
  for (const [target, name, keys, status, check] of cases) {
    const initiator = new Initiator(served.portal.port)
    const text = [`InitiatorName=${name}`, `TargetName=${target}`, ...keys].join('\0')
    const reply = await initiator.login(`${text}\0`, keys.length > 0 ? 0x81 : 0x87)
    test.equal(reply?.header.readUInt16BE(36), status)
    await initiator.closed
    const event = served.events.at(-1)
    test.match(event, { kind: 'iscsi.login-failed', iqn: target, message: check })
    test.ok(event?.message.includes(name))
  }
})

for (const [secret, status] of [
  ['correct horse', 0],
  ['wrong horse', 0x0201],
] as const) {
  await t.test(
    `CHAP with the ${status === 0 ? 'right' : 'wrong'} secret ends with status ${String(status)}`,
    async (test) => {
      const served = await bench(test, { chap: { user: 'web-1', secret: 'correct horse' } })
      const initiator = new Initiator(served.portal.port)
      test.teardown(() => {
        initiator.close()
      })
      await initiator.login(`InitiatorName=${HOST}\0TargetName=${IQN}\0AuthMethod=CHAP,None\0`, 0x81)
      const challenge = await initiator.login('CHAP_A=5\0', 0x00)
      const keys = new Map(
        challenge?.data
          .toString()
          .split('\0')
          .map((pair) => pair.split('=') as [string, string]),
      )
      const answer = chapResponse(
        Number(keys.get('CHAP_I')),
        secret,
        parseBinary(keys.get('CHAP_C') ?? '') ?? Buffer.alloc(0),
      )
      const reply = await initiator.login(`CHAP_N=web-1\0CHAP_R=0x${answer.toString('hex')}\0`, 0x83)
      test.equal(reply?.header.readUInt16BE(36), status)
    },
  )
}

await t.test('discovery shows an initiator its own target only', async (test) => {
  const served = await bench(test)
  const initiator = new Initiator(served.portal.port)
  test.teardown(() => {
    initiator.close()
  })
  await initiator.login(`InitiatorName=${HOST}\0SessionType=Discovery\0`)
  const text = Buffer.from('SendTargets=All\0')
  const header = Buffer.alloc(48)
  header[0] = 0x44
  header[1] = 0x80
  header[7] = text.length
  header.writeUInt32BE(5, 16)
  header.writeUInt32BE(0xffffffff, 20)
  initiator.send(Buffer.concat([header, text]))
  const reply = await initiator.receive()
  const address = `127.0.0.1:${String(served.portal.port)},1`
  test.equal(reply?.data.toString(), `TargetName=${IQN}\0TargetAddress=${address}\0`)
})

await t.test('a login with the same ISID replaces the session at once (RFC 7143 §6.3.5)', async (test) => {
  const served = await bench(test)
  const first = await openSession(test, served)
  await openSession(test, served)
  await first.closed
  test.equal(served.portal.sessions().length, 1)
  test.equal(served.disk.isClosed, false)
})

await t.test('the devices are flushed and closed when the last session has ended', async (test) => {
  const served = await bench(test)
  await openSession(test, served)
  await served.portal.drop(new Set([IQN]))
  test.equal(served.portal.sessions().length, 0)
  test.equal(served.disk.isClosed, true)
  test.ok(served.disk.flushes > 0)
})

await t.test(
  'boot firmware and operating system are told apart, the seed read is told once',
  async (test) => {
    const served = await bench(test)
    await openSession(test, served, { keys: ['MaxRecvDataSegmentLength=8192'] })
    const kernel = await openSession(test, served, { keys: ['InitiatorAlias=web', ...NO_R2T], isid: 2 })
    for (const lba of [1, 40, 41])
      await kernel.run(1, [0x28, 0, 0, 0, 0, lba, 0, 0, 1, 0], { ...READ, edtl: 512 })
    const stages = served.events.map((event) => event.stage)
    test.same(stages, ['iscsi-login', 'kernel-login', 'seed-read'])
  },
)

await t.test('hostile bytes close their own connection and leave a good session served', async (test) => {
  const served = await bench(test)
  // An ISID that no mutated login below can have: the same one would replace this session, rightly.
  const good = await openSession(test, served, { keys: NO_R2T, isid: 0x01020304 })
  const valid = [
    loginPdu(`InitiatorName=${HOST}\0TargetName=${IQN}\0`, { flags: 0x87, isid: 77 }),
    commandPdu({ lun: 0, cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], itt: 1, cmdSn: 1, flags: 0xc1, edtl: 512 }),
  ]
  const mutated = fc
    .tuple(fc.nat({ max: 300 }), fc.integer({ min: 0, max: 255 }), fc.boolean())
    .map(([at, byte, isLate]) => {
      const bytes = Buffer.concat(valid)
      bytes[(isLate ? (valid[0]?.length ?? 0) : 0) + (at % 48)] = byte
      return bytes
    })
  const hostile = fc.oneof(fc.uint8Array({ maxLength: 600 }), mutated)
  const count = Number(process.env['INGOT_HOSTILE'] ?? 300)
  for (const bytes of fc.sample(hostile, count)) {
    const stranger = new Initiator(served.portal.port)
    stranger.socket.end(bytes)
    await stranger.closed
  }
  const read = await good.run(0, [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], { ...READ, edtl: 512 })
  test.equal(read.status, 0)
})

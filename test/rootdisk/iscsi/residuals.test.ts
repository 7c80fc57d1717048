import pino from 'pino'
import t from 'tap'
import { systemClock } from '../../../src/clock.js'
import type { TargetSpec } from '../../../src/rootdisk/export.js'
import { IscsiPortal } from '../../../src/rootdisk/iscsi/portal.js'
import { Initiator } from '../../fakes/initiator.js'
import { MemoryDisk } from '../../fakes/memory-disk.js'

const IQN = 'iqn.2026-01.example:web-1'
const HOST = 'iqn.2026-01.example:host-1'
const OVERFLOW = 0x04
const UNDERFLOW = 0x02
const READ = 0xc1
const WRITE = 0xa1

const disk = new MemoryDisk(1 << 16)
const luns = [{ lun: 0, naa: '3000000000000001', serial: 's', open: () => Promise.resolve(disk) }]
const target: TargetSpec = { iqn: IQN, initiatorIqn: HOST, chap: undefined, luns }
const portal = new IscsiPortal(
  { host: '127.0.0.1', port: 0 },
  {
    targets: { find: () => target, list: () => [target] },
    emit: () => undefined,
    clock: systemClock,
    log: pino({ level: 'silent' }),
  },
)
await portal.start((cause) => {
  throw cause
})
t.teardown(() => portal.stop())
const initiator = new Initiator(portal.port)
t.teardown(() => {
  initiator.close()
})
await initiator.openSession(IQN, HOST, ['InitialR2T=No', 'ImmediateData=Yes'])
await initiator.run(0, [0, 0, 0, 0, 0, 0], { flags: 0x81 })

// RFC 7143 §11.4.5: what the CDB asks for (blocks), what the initiator expects (bytes), and what is told.
const CASES: [what: string, direction: number, blocks: number, edtl: number, flag: number, count: number][] =
  [
    ['a read of what is expected', READ, 2, 1024, 0, 0],
    ['a read of less than is expected', READ, 1, 1024, UNDERFLOW, 512],
    ['a read of more than is expected', READ, 3, 1024, OVERFLOW, 512],
    ['a write of what is expected', WRITE, 2, 1024, 0, 0],
    ['a write of less than is expected', WRITE, 1, 1024, UNDERFLOW, 512],
    ['a write of more than is expected', WRITE, 3, 1024, OVERFLOW, 512],
  ]

for (const [what, flags, blocks, edtl, flag, count] of CASES) {
  await t.test(`${what} has residual ${String(count)}`, async (test) => {
    const data = flags === WRITE ? { data: Buffer.alloc(edtl, 7) } : {}
    const cdb = [flags === WRITE ? 0x2a : 0x28, 0, 0, 0, 0, 0, 0, 0, blocks, 0]
    const { status, last } = await initiator.run(0, cdb, { flags, edtl, ...data })
    test.equal(status, 0)
    test.equal((last?.header.readUInt8(1) ?? 0) & (OVERFLOW | UNDERFLOW), flag)
    test.equal(last?.header.readUInt32BE(44), count)
  })
}

// SAM-5 §4.7.7: flat addressing of LUN 0 and an addressing method we do not have.
for (const [field, sense] of [
  [0x4000, ''],
  [0xc101, '5/25/0'],
] as const) {
  await t.test(`an R2T repeats the LUN field ${field.toString(16)} of its command`, async (test) => {
    const itt = initiator.command(field, [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], { flags: WRITE, edtl: 512 })
    const r2t = await initiator.receive()
    test.equal(r2t?.opcode, 0x31)
    test.equal(r2t?.header.readUInt16BE(8), field)
    const header = Buffer.alloc(48)
    header.set([0x05, 0x80])
    header.writeUInt16BE(512, 6)
    header.writeUInt32BE(itt, 16)
    header.writeUInt32BE(r2t?.header.readUInt32BE(20) ?? 0, 20)
    initiator.send(Buffer.concat([header, Buffer.alloc(512)]))
    const response = await initiator.receive()
    const bytes = response?.data.subarray(2) ?? Buffer.alloc(0)
    const told = [2, 12, 13].map((at) => bytes[at]?.toString(16)).join('/')
    test.equal(bytes.length === 0 ? '' : told, sense)
  })
}

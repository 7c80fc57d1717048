import pino from 'pino'
import { systemClock } from '../src/clock.js'
import type { TargetSpec } from '../src/rootdisk/export.js'
import { IscsiPortal } from '../src/rootdisk/iscsi/portal.js'
import { MemoryDisk } from '../test/fakes/memory-disk.js'

const sizeBytes = Number(process.argv[2] ?? 64 << 20)
const disk = new MemoryDisk(sizeBytes)
const target = (iqn: string, initiatorIqn: string): TargetSpec => ({
  iqn,
  initiatorIqn,
  chap: undefined,
  luns: [{ lun: 1, naa: '3000000000000001', serial: 'bench-1', open: () => Promise.resolve(disk) }],
})
const portal = new IscsiPortal(
  { host: '127.0.0.1', port: Number(process.argv[3] ?? 0) },
  {
    targets: { find: (iqn) => target(iqn, process.argv[4] ?? 'iqn.2026-01.load:0'), list: () => [] },
    emit: (event) => process.stderr.write(`${JSON.stringify(event)}\n`),
    clock: systemClock,
    log: pino({ level: 'warn' }),
  },
)
await portal.start((cause) => {
  throw cause
})
process.stdout.write(`${String(portal.port)}\n`)

import t from 'tap'
import type { BlockDevice } from '../../../src/rootdisk/block-device.js'
import { LogicalUnit } from '../../../src/rootdisk/scsi/logical-unit.js'
import { Nexus } from '../../../src/rootdisk/scsi/nexus.js'
import { plainWriteOffset } from '../../../src/rootdisk/scsi/plain-write.js'
import { SENSE } from '../../../src/rootdisk/scsi/sense.js'

const BLOCK = 512
const BLOCKS = 1000

function unitOf(isReadOnly = false): LogicalUnit {
  const nothing = (): undefined => undefined
  const device: BlockDevice = {
    sizeBytes: BLOCKS * BLOCK,
    isReadOnly,
    read: nothing,
    write: nothing,
    flush: nothing,
    unmap: nothing,
    extents: () => [],
    close: () => Promise.resolve(),
  }
  return new LogicalUnit({ lun: 1, serial: 'one', naa: '3000000000000001' }, device)
}

const cdb = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.padEnd(32, '0'), 'hex'))
const nexus = (): Nexus => new Nexus({ initiator: 'iqn.2026-01.test:a', isid: '800000000001' })
const WRITE_10 = '2a0000000007000003' + '00'

/** Name, CDB, blocks of data, and the offset in blocks; -1 for the way of all commands. */
const CASES: readonly (readonly [string, string, number, number])[] = [
  ['WRITE(6)', '0a0000070300', 3, 7],
  ['WRITE(10)', '2a000000000700000300', 3, 7],
  ['WRITE(12)', 'aa00000000070000000300', 3, 7],
  ['WRITE(16)', '8a000000000000000007000000030000', 3, 7],
  ['the last block', '2a00000003e700000100', 1, 999],
  ['one block beyond the end', '2a00000003e700000200', 2, -1],
  ['no block', '2a000000000700000000', 0, -1],
  ['less data than blocks', '2a000000000700000300', 2, -1],
  ['more data than blocks', '2a000000000700000300', 4, -1],
  ['FUA', '2a080000000700000300', 3, -1],
  ['WRPROTECT', '2a200000000700000300', 3, -1],
  ['NACA', '2a000000000700000304', 3, -1],
  ['another command', '2e000000000700000300', 3, -1],
]

void t.test('only a write that needs nothing but its device is plain', (t) => {
  const unit = unitOf()
  for (const [name, hex, blocks, at] of CASES) {
    const offset = plainWriteOffset(unit, nexus(), cdb(hex), blocks * BLOCK)
    t.equal(offset, at < 0 ? -1 : at * BLOCK, name)
  }
  t.end()
})

void t.test('what keeps an initiator out, or is to be told, leaves no write plain', (t) => {
  const offsetOf = (change: (unit: LogicalUnit, it: Nexus) => void, unit = unitOf()): number => {
    const it = nexus()
    change(unit, it)
    return plainWriteOffset(unit, it, cdb(WRITE_10), 3 * BLOCK)
  }
  t.equal(
    offsetOf(() => undefined),
    7 * BLOCK,
  )
  t.equal(
    offsetOf((_, it) => it.raise(1, SENSE.POWER_ON)),
    -1,
    'a unit attention',
  )
  t.equal(
    offsetOf((unit) => (unit.reserver = nexus())),
    -1,
    'a reservation',
  )
  t.equal(
    offsetOf((unit) => (unit.isSanitizing = true)),
    -1,
    'SANITIZE',
  )
  t.equal(
    offsetOf((unit) => (unit.modes.isSoftwareProtected = true)),
    -1,
    'SWP',
  )
  t.equal(
    offsetOf((unit) => (unit.modes.hasWriteCache = false)),
    -1,
    'WCE off',
  )
  t.equal(
    offsetOf((unit) => (unit.modes.hasDescriptorSense = true)),
    -1,
    'D_SENSE',
  )
  t.equal(
    offsetOf(() => undefined, unitOf(true)),
    -1,
    'a read-only device',
  )
  t.end()
})

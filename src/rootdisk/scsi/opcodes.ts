import {
  preFetch,
  read,
  synchronizeCache,
  unmap,
  verify,
  write,
  writeAndVerify,
  writeSame,
} from './block-commands.js'
import { compareAndWrite, orWrite } from './compare.js'
import { getLbaStatus, readCapacity10, readCapacity16 } from './capacity.js'
import type { Handler } from './command.js'
import { inquiry } from './inquiry.js'
import { modeSelect10, modeSelect6, modeSense10, modeSense6 } from './mode-pages.js'
import { persistentReserveIn, reportLuns, reportSupportedOpcodes, requestSense } from './primary-commands.js'
import { GOOD } from './sense.js'

/** One command we know: who runs it and which CDB bits it looks at (SPC-4 §6.35.2, CDB usage data). */
export interface Opcode {
  readonly opcode: number
  /** Commands that share an operation code are told apart by the low 5 bits of byte 1. */
  readonly serviceAction?: number
  readonly name: string
  /** CDB usage data in hex, as long as the CDB. */
  readonly usage: string
  readonly run: Handler
  /** Runs although a unit attention is waiting (SAM-5 §5.14). */
  readonly ignoresAttention?: boolean
  /** A failed device call is a write error. */
  readonly isWrite?: boolean
}

const nothing: Handler = () => GOOD

/** Every command there is (SPC-4 annex D, SBC-3 §5.1). */
export const OPCODES: readonly Opcode[] = [
  { opcode: 0x00, name: 'TEST UNIT READY', usage: '000000000007', run: nothing },
  { opcode: 0x03, name: 'REQUEST SENSE', usage: '03010000ff07', run: requestSense, ignoresAttention: true },
  { opcode: 0x08, name: 'READ(6)', usage: '081fffffff07', run: read },
  { opcode: 0x0a, name: 'WRITE(6)', usage: '0a1fffffff07', run: write, isWrite: true },
  { opcode: 0x12, name: 'INQUIRY', usage: '1201ffffff07', run: inquiry, ignoresAttention: true },
  { opcode: 0x15, name: 'MODE SELECT(6)', usage: '15110000ff07', run: modeSelect6, isWrite: true },
  { opcode: 0x1a, name: 'MODE SENSE(6)', usage: '1a08ffffff07', run: modeSense6 },
  { opcode: 0x1b, name: 'START STOP UNIT', usage: '1b010000f707', run: nothing },
  { opcode: 0x1e, name: 'PREVENT ALLOW MEDIUM REMOVAL', usage: '1e0000000307', run: nothing },
  { opcode: 0x25, name: 'READ CAPACITY(10)', usage: '25000000000000000007', run: readCapacity10 },
  { opcode: 0x28, name: 'READ(10)', usage: '28f8ffffffff00ffff07', run: read },
  { opcode: 0x2a, name: 'WRITE(10)', usage: '2af8ffffffff00ffff07', run: write, isWrite: true },
  {
    opcode: 0x2e,
    name: 'WRITE AND VERIFY(10)',
    usage: '2ef2ffffffff00ffff07',
    run: writeAndVerify,
    isWrite: true,
  },
  { opcode: 0x2f, name: 'VERIFY(10)', usage: '2ff6ffffffff00ffff07', run: verify },
  { opcode: 0x34, name: 'PRE-FETCH(10)', usage: '3402ffffffff00ffff07', run: preFetch },
  {
    opcode: 0x35,
    name: 'SYNCHRONIZE CACHE(10)',
    usage: '3502ffffffff00ffff07',
    run: synchronizeCache,
    isWrite: true,
  },
  { opcode: 0x41, name: 'WRITE SAME(10)', usage: '41e8ffffffff00ffff07', run: writeSame, isWrite: true },
  { opcode: 0x42, name: 'UNMAP', usage: '42000000000000ffff07', run: unmap, isWrite: true },
  { opcode: 0x55, name: 'MODE SELECT(10)', usage: '55110000000000ffff07', run: modeSelect10, isWrite: true },
  { opcode: 0x5a, name: 'MODE SENSE(10)', usage: '5a18ffff000000ffff07', run: modeSense10 },
  {
    opcode: 0x5e,
    serviceAction: 0,
    name: 'READ KEYS',
    usage: '5e1f0000000000ffff07',
    run: persistentReserveIn,
  },
  {
    opcode: 0x5e,
    serviceAction: 1,
    name: 'READ RESERVATION',
    usage: '5e1f0000000000ffff07',
    run: persistentReserveIn,
  },
  {
    opcode: 0x5e,
    serviceAction: 2,
    name: 'REPORT CAPABILITIES',
    usage: '5e1f0000000000ffff07',
    run: persistentReserveIn,
  },
  { opcode: 0x88, name: 'READ(16)', usage: '88f8ffffffffffffffffffffffff0007', run: read },
  { opcode: 0x8a, name: 'WRITE(16)', usage: '8af8ffffffffffffffffffffffff0007', run: write, isWrite: true },
  {
    opcode: 0x8e,
    name: 'WRITE AND VERIFY(16)',
    usage: '8ef2ffffffffffffffffffffffff0007',
    run: writeAndVerify,
    isWrite: true,
  },
  {
    opcode: 0x89,
    name: 'COMPARE AND WRITE',
    usage: '89f8ffffffffffffffff000000ff0007',
    run: compareAndWrite,
    isWrite: true,
  },
  { opcode: 0x8b, name: 'ORWRITE', usage: '8bf8ffffffffffffffffffffffff0007', run: orWrite, isWrite: true },
  { opcode: 0x8f, name: 'VERIFY(16)', usage: '8ff6ffffffffffffffffffffffff0007', run: verify },
  { opcode: 0x90, name: 'PRE-FETCH(16)', usage: '9002ffffffffffffffffffffffff0007', run: preFetch },
  {
    opcode: 0x91,
    name: 'SYNCHRONIZE CACHE(16)',
    usage: '9102ffffffffffffffffffffffff0007',
    run: synchronizeCache,
    isWrite: true,
  },
  {
    opcode: 0x93,
    name: 'WRITE SAME(16)',
    usage: '93e9ffffffffffffffffffffffff0007',
    run: writeSame,
    isWrite: true,
  },
  {
    opcode: 0x9e,
    serviceAction: 0x10,
    name: 'READ CAPACITY(16)',
    usage: '9e100000000000000000ffffffff0007',
    run: readCapacity16,
  },
  {
    opcode: 0x9e,
    serviceAction: 0x12,
    name: 'GET LBA STATUS',
    usage: '9e12ffffffffffffffffffffffff0007',
    run: getLbaStatus,
  },
  {
    opcode: 0xa0,
    name: 'REPORT LUNS',
    usage: 'a000ff000000ffffffff0007',
    run: reportLuns,
    ignoresAttention: true,
  },
  {
    opcode: 0xa3,
    serviceAction: 0x0c,
    name: 'REPORT SUPPORTED OPERATION CODES',
    usage: 'a30c87ffffffffffffff0007',
    run: (command) => reportSupportedOpcodes(command, OPCODES),
  },
  { opcode: 0xa8, name: 'READ(12)', usage: 'a8f8ffffffffffffffff0007', run: read },
  { opcode: 0xaa, name: 'WRITE(12)', usage: 'aaf8ffffffffffffffff0007', run: write, isWrite: true },
  {
    opcode: 0xae,
    name: 'WRITE AND VERIFY(12)',
    usage: 'aef2ffffffffffffffff0007',
    run: writeAndVerify,
    isWrite: true,
  },
  { opcode: 0xaf, name: 'VERIFY(12)', usage: 'aff6ffffffffffffffff0007', run: verify },
]

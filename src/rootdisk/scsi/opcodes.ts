import type { Access } from './access.js'
import * as block from './block-commands.js'
import { getLbaStatus, readCapacity10, readCapacity16 } from './capacity.js'
import type { Handler } from './command.js'
import { compareAndWrite, orWrite } from './compare.js'
import { receiveCopyStatus, receiveOperatingParameters } from './copy-results.js'
import { extendedCopy } from './extended-copy.js'
import { inquiry } from './inquiry.js'
import { logSense, readDefectData } from './log-pages.js'
import { modeSelect10, modeSelect6, modeSense10, modeSense6 } from './mode-pages.js'
import * as persistent from './persistent-reserve.js'
import { reportLunsHere, reportSupportedOpcodes, requestSense } from './primary-commands.js'
import { release, reserve } from './reserve.js'
import { blockErase } from './sanitize.js'
import { GOOD } from './sense.js'

/** One command we know: who runs it, what it touches, and which CDB bits it looks at. */
export interface Opcode {
  readonly opcode: number
  /** Commands that share an operation code are told apart by the low 5 bits of byte 1. */
  readonly serviceAction: number | undefined
  readonly name: string
  /** CDB usage data (SPC-4 §6.35.3), as long as the CDB. */
  readonly usage: Uint8Array
  readonly cdbBytes: number
  readonly run: Handler
  readonly access: (cdb: Uint8Array) => Access
  /** Changes the medium. */
  readonly isMedium: boolean
  /** A failed device call is a write error. */
  readonly isWrite: boolean
  /** Runs although a unit attention is waiting (SAM-5 §5.14). */
  readonly ignoresAttention: boolean
}

const nothing: Handler = () => GOOD
/** START makes a LUN ready, everything else may take it from others (SBC-3 §4.17, table 14). */
const startStop = (cdb: Uint8Array): Access => (((cdb[4] ?? 0) & 0xf1) === 0x01 ? 'status' : 'control')
/** Allowing removal takes nothing from anybody. */
const preventAllow = (cdb: Uint8Array): Access => (((cdb[4] ?? 0) & 3) === 0 ? 'free' : 'control')

type Row = readonly [
  usage: string,
  name: string,
  access: Access | ((cdb: Uint8Array) => Access),
  run: Handler,
  service?: 'service action',
]

/** Every command there is (SPC-4 annex D, SBC-3 §5.1); CDB usage data begins with the operation code. */
const ROWS: readonly Row[] = [
  ['000000000007', 'TEST UNIT READY', 'status', nothing],
  ['03010000ff07', 'REQUEST SENSE', 'free', requestSense],
  ['081fffffff07', 'READ(6)', 'read', block.read],
  ['0a1fffffff07', 'WRITE(6)', 'medium', block.write],
  ['1201ffffff07', 'INQUIRY', 'free', inquiry],
  ['15110000ff07', 'MODE SELECT(6)', 'control', modeSelect6],
  ['160000000007', 'RESERVE(6)', 'status', reserve],
  ['170000000007', 'RELEASE(6)', 'free', release],
  ['1a08ffffff07', 'MODE SENSE(6)', 'control', modeSense6],
  ['1b010000f707', 'START STOP UNIT', startStop, nothing],
  ['1e0000000307', 'PREVENT ALLOW MEDIUM REMOVAL', preventAllow, nothing],
  ['25000000000000000007', 'READ CAPACITY(10)', 'status', readCapacity10],
  ['28f8ffffffff00ffff07', 'READ(10)', 'read', block.read],
  ['2af8ffffffff00ffff07', 'WRITE(10)', 'medium', block.write],
  ['2ef2ffffffff00ffff07', 'WRITE AND VERIFY(10)', 'medium', block.writeAndVerify],
  ['2ff6ffffffff00ffff07', 'VERIFY(10)', 'read', block.verify],
  ['3402ffffffff00ffff07', 'PRE-FETCH(10)', 'read', block.preFetch],
  ['3502ffffffff00ffff07', 'SYNCHRONIZE CACHE(10)', 'control', block.synchronizeCache],
  ['37001f00000000ffff07', 'READ DEFECT DATA(10)', 'read', readDefectData],
  ['41e8ffffffff00ffff07', 'WRITE SAME(10)', 'medium', block.writeSame],
  ['42000000000000ffff07', 'UNMAP', 'medium', block.unmap],
  ['48820000000000ffff07', 'SANITIZE, BLOCK ERASE', 'medium', blockErase, 'service action'],
  ['4d00ffff000000ffff07', 'LOG SENSE', 'free', logSense],
  ['55110000000000ffff07', 'MODE SELECT(10)', 'control', modeSelect10],
  ['56000000000000000007', 'RESERVE(10)', 'status', reserve],
  ['57000000000000000007', 'RELEASE(10)', 'free', release],
  ['5a18ffff000000ffff07', 'MODE SENSE(10)', 'control', modeSense10],
  ['5e000000000000ffff07', 'READ KEYS', 'status', persistent.readKeys, 'service action'],
  ['5e010000000000ffff07', 'READ RESERVATION', 'status', persistent.readReservation, 'service action'],
  ['5e020000000000ffff07', 'REPORT CAPABILITIES', 'status', persistent.reportCapabilities, 'service action'],
  ['5e030000000000ffff07', 'READ FULL STATUS', 'status', persistent.readFullStatus, 'service action'],
  ['5f00000000ffffffff07', 'REGISTER', 'status', persistent.persistentReserveOut, 'service action'],
  ['5f01ff0000ffffffff07', 'RESERVE', 'status', persistent.persistentReserveOut, 'service action'],
  ['5f02ff0000ffffffff07', 'RELEASE', 'status', persistent.persistentReserveOut, 'service action'],
  ['5f03000000ffffffff07', 'CLEAR', 'status', persistent.persistentReserveOut, 'service action'],
  ['5f04ff0000ffffffff07', 'PREEMPT', 'status', persistent.persistentReserveOut, 'service action'],
  ['5f05ff0000ffffffff07', 'PREEMPT AND ABORT', 'status', persistent.persistentReserveOut, 'service action'],
  [
    '5f06000000ffffffff07',
    'REGISTER AND IGNORE EXISTING KEY',
    'status',
    persistent.persistentReserveOut,
    'service action',
  ],
  ['83000000000000000000ffffffff0007', 'EXTENDED COPY(LID1)', 'control', extendedCopy, 'service action'],
  [
    '8400ff00000000000000ffffffff0007',
    'RECEIVE COPY STATUS(LID1)',
    'control',
    receiveCopyStatus,
    'service action',
  ],
  [
    '84030000000000000000ffffffff0007',
    'RECEIVE COPY OPERATING PARAMETERS',
    'control',
    receiveOperatingParameters,
    'service action',
  ],
  ['88f8ffffffffffffffffffffffff0007', 'READ(16)', 'read', block.read],
  ['89f8ffffffffffffffff000000ff0007', 'COMPARE AND WRITE', 'medium', compareAndWrite],
  ['8af8ffffffffffffffffffffffff0007', 'WRITE(16)', 'medium', block.write],
  ['8bf8ffffffffffffffffffffffff0007', 'ORWRITE', 'medium', orWrite],
  ['8ef2ffffffffffffffffffffffff0007', 'WRITE AND VERIFY(16)', 'medium', block.writeAndVerify],
  ['8ff6ffffffffffffffffffffffff0007', 'VERIFY(16)', 'read', block.verify],
  ['9002ffffffffffffffffffffffff0007', 'PRE-FETCH(16)', 'read', block.preFetch],
  ['9102ffffffffffffffffffffffff0007', 'SYNCHRONIZE CACHE(16)', 'control', block.synchronizeCache],
  ['93e9ffffffffffffffffffffffff0007', 'WRITE SAME(16)', 'medium', block.writeSame],
  ['9cf8ffffffffffffffffffffffff0007', 'WRITE ATOMIC(16)', 'medium', block.writeAtomic],
  ['9e100000000000000000ffffffff0007', 'READ CAPACITY(16)', 'status', readCapacity16, 'service action'],
  ['9e12ffffffffffffffffffffffff0007', 'GET LBA STATUS', 'read', getLbaStatus, 'service action'],
  ['a000ff000000ffffffff0007', 'REPORT LUNS', 'free', reportLunsHere],
  [
    'a30c87ffffffffffffff0007',
    'REPORT SUPPORTED OPERATION CODES',
    'control',
    reportSupported,
    'service action',
  ],
  ['a8f8ffffffffffffffff0007', 'READ(12)', 'read', block.read],
  ['aaf8ffffffffffffffff0007', 'WRITE(12)', 'medium', block.write],
  ['aef2ffffffffffffffff0007', 'WRITE AND VERIFY(12)', 'medium', block.writeAndVerify],
  ['aff6ffffffffffffffff0007', 'VERIFY(12)', 'read', block.verify],
  ['b71f00000000ffffffff0007', 'READ DEFECT DATA(12)', 'read', readDefectData],
]

/** INQUIRY, REPORT LUNS and REQUEST SENSE. */
const IGNORING: ReadonlySet<number> = new Set([0x03, 0x12, 0xa0])

/** The table by which every command is run. */
export const OPCODES: readonly Opcode[] = ROWS.map(([hex, name, access, run, service]) => {
  const usage = Uint8Array.from(Buffer.from(hex, 'hex'))
  const opcode = usage[0] ?? 0
  return {
    opcode,
    serviceAction: service === undefined ? undefined : (usage[1] ?? 0) & 0x1f,
    name,
    usage,
    cdbBytes: usage.length,
    run,
    access: typeof access === 'function' ? access : () => access,
    isMedium: access === 'medium',
    isWrite: access === 'medium' || access === 'control',
    ignoresAttention: IGNORING.has(opcode),
  }
})

function reportSupported(command: Parameters<Handler>[0]): ReturnType<Handler> {
  return reportSupportedOpcodes(command, OPCODES)
}

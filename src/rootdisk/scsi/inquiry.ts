import { ByteWriter } from '../../wire/writer.js'
import type { Command } from './command.js'
import { thirdPartyCopyPage } from './copy-results.js'
import { u16 } from './fields.js'
import {
  MAX_ATOMIC_BLOCKS,
  MAX_COMPARE_BLOCKS,
  MAX_TRANSFER_BLOCKS,
  MAX_UNMAP_BLOCKS,
  MAX_UNMAP_DESCRIPTORS,
  MAX_WRITE_SAME_BLOCKS,
  VENDOR,
  type LogicalUnit,
} from './logical-unit.js'
import { checkCondition, good, SENSE, type Outcome } from './sense.js'

const PRODUCT = 'VOLUME          '
const REVISION = '0001'
/** SAM-5, iSCSI, SPC-4, SBC-3 without a version claimed (SPC-4 §6.6.2, table 173). */
const VERSION_DESCRIPTORS = [0x00a0, 0x0960, 0x0460, 0x04c0]
/** Peripheral qualifier 3, device type 1Fh: no device can be at this LUN (SPC-4 §6.6.2). */
const NO_DEVICE = 0x7f

type Page = (unit: LogicalUnit, out: ByteWriter) => void

/** Vital product data pages (SPC-4 §7.8, SBC-3 §6.6). */
const VPD: ReadonlyMap<number, Page> = new Map<number, Page>([
  [0x00, (_unit, out) => out.put(Uint8Array.from(VPD.keys()))],
  [0x80, (unit, out) => out.text(unit.serial, 'latin1')],
  [0x83, deviceIdentification],
  [0x86, extendedInquiry],
  [0x8f, (_unit, out) => thirdPartyCopyPage(out)],
  [0xb0, blockLimits],
  [0xb1, (_unit, out) => out.u16(1).u8(0).u8(0x40).zeros(56)], // solid state; WABEREQ: erased blocks can be read
  [0xb2, (_unit, out) => out.u8(0).u8(0xe4).u8(0x02).u8(0)], // LBPU LBPWS LBPWS10 LBPRZ, thin
])

/** INQUIRY (SPC-4 §6.6). */
export function inquiry({ unit, cdb }: Command): Outcome {
  const isVpd = ((cdb[1] ?? 0) & 1) === 1
  const pageCode = cdb[2] ?? 0
  const allocationLength = u16(cdb, 3)
  if (!isVpd) {
    if (pageCode !== 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
    return good(standardInquiry(0), allocationLength)
  }
  const page = VPD.get(pageCode)
  if (page === undefined) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  const body = new ByteWriter()
  page(unit, body)
  const bytes = new ByteWriter().u8(0).u8(pageCode).u16(body.length).put(body.bytes()).bytes()
  return good(bytes, allocationLength)
}

/** INQUIRY of a LUN that is not there. */
export function absentInquiry(cdb: Uint8Array): Outcome {
  if (((cdb[1] ?? 0) & 1) === 1) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  return good(standardInquiry(NO_DEVICE), u16(cdb, 3))
}

function standardInquiry(peripheral: number): Uint8Array {
  const out = new ByteWriter()
    .u8(peripheral)
    .u8(0)
    .u8(0x06) // SPC-4
    .u8(0x12) // HISUP, response data format 2
    .u8(91) // additional length: 96 bytes in all
    .u8(0x08) // 3PC
    .u8(0)
    .u8(0x02) // CMDQUE
  out.text(VENDOR).text(PRODUCT).text(REVISION).zeros(22)
  for (const descriptor of VERSION_DESCRIPTORS) out.u16(descriptor)
  return out.zeros(96 - out.length).bytes()
}

function deviceIdentification(unit: LogicalUnit, out: ByteWriter): void {
  for (const { type, bytes } of unit.designators) {
    out
      .u8(type === 3 ? 0x01 : 0x02)
      .u8(type)
      .u8(0)
      .u8(bytes.length)
      .put(bytes) // binary or ASCII, of the LUN
  }
}

function extendedInquiry(_unit: LogicalUnit, out: ByteWriter): void {
  out.u8(0).u8(0x07) // HEADSUP, ORDSUP, SIMPSUP
  out.u8(0x01).zeros(57) // V_SUP: there is a volatile cache until SYNCHRONIZE CACHE
}

function blockLimits(_unit: LogicalUnit, out: ByteWriter): void {
  out.u8(0x01).u8(MAX_COMPARE_BLOCKS) // WSNZ: WRITE SAME needs a block count
  out.u16(8) // optimal granularity: one 4 KiB cluster
  out.u32(MAX_TRANSFER_BLOCKS).u32(512).u32(0) // maximum, optimal (256 KiB), prefetch
  out.u32(MAX_UNMAP_BLOCKS).u32(MAX_UNMAP_DESCRIPTORS)
  out.u32(8).u32(0x80000000) // unmap granularity, aligned at block 0
  out.u64(BigInt(MAX_WRITE_SAME_BLOCKS))
  out.u32(MAX_ATOMIC_BLOCKS).u32(MAX_ATOMIC_BLOCKS).u32(MAX_ATOMIC_BLOCKS).zeros(8) // length, alignment, granularity
}

import { ByteWriter } from '../../wire/writer.js'
import type { Command } from './command.js'
import { u16 } from './fields.js'
import { BLOCK_BYTES, type LogicalUnit } from './logical-unit.js'
import { checkCondition, good, GOOD, SENSE, type Outcome } from './sense.js'

const ALL_PAGES = 0x3f
const CHANGEABLE = 1
const SAVED = 3

/** Mode pages with their current and default values; nothing in them can be changed (SPC-4 §7.5, SBC-3 §6.5). */
const PAGES: readonly Uint8Array[] = [
  page(0x08, 18, [0x04]), // caching: WCE, writes may be volatile until SYNCHRONIZE CACHE
  page(0x0a, 10, [0x02, 0x00, 0x00, 0x40]), // control: GLTSD, task aborted status
  page(0x1c, 10, [0x08]), // informational exceptions: DEXCPT, none are reported
]

/** MODE SENSE(6) (SPC-4 §6.11). */
export function modeSense6({ unit, cdb }: Command): Outcome {
  const pages = selectedPages(cdb)
  if (!(pages instanceof Uint8Array)) return pages
  const descriptor = blockDescriptor(unit, cdb, false)
  const out = new ByteWriter()
  out
    .u8(3 + descriptor.length + pages.length)
    .u8(0)
    .u8(deviceParameter(unit))
    .u8(descriptor.length)
  return good(out.put(descriptor).put(pages).bytes(), cdb[4] ?? 0)
}

/** MODE SENSE(10) (SPC-4 §6.12). */
export function modeSense10({ unit, cdb }: Command): Outcome {
  const pages = selectedPages(cdb)
  if (!(pages instanceof Uint8Array)) return pages
  const isLong = ((cdb[1] ?? 0) & 0x10) !== 0
  const descriptor = blockDescriptor(unit, cdb, isLong)
  const out = new ByteWriter()
  out
    .u16(6 + descriptor.length + pages.length)
    .u8(0)
    .u8(deviceParameter(unit))
  out
    .u8(isLong ? 1 : 0)
    .u8(0)
    .u16(descriptor.length)
  return good(out.put(descriptor).put(pages).bytes(), u16(cdb, 7))
}

/** MODE SELECT(6): accepted only when it changes nothing (SPC-4 §6.9). */
export function modeSelect6(command: Command): Outcome {
  return modeSelect(command, command.cdb[4] ?? 0, 4, command.dataOut[3] ?? 0)
}

/** MODE SELECT(10) (SPC-4 §6.10). */
export function modeSelect10(command: Command): Outcome {
  return modeSelect(command, u16(command.cdb, 7), 8, u16(command.dataOut, 6))
}

function modeSelect(command: Command, listLength: number, header: number, descriptorLength: number): Outcome {
  const flags = command.cdb[1] ?? 0
  if ((flags & 0x01) !== 0 || (flags & 0x10) === 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  if (listLength === 0) return GOOD
  const list = command.dataOut.subarray(0, listLength)
  if (list.length < listLength || listLength < header) {
    return checkCondition(SENSE.PARAMETER_LIST_LENGTH_ERROR)
  }
  const first = header + descriptorLength
  if (first > list.length) return checkCondition(SENSE.PARAMETER_LIST_LENGTH_ERROR)
  return samePages(list.subarray(first))
}

function samePages(list: Uint8Array): Outcome {
  for (let at = 0; at < list.length;) {
    const known = PAGES.find((candidate) => candidate[0] === ((list[at] ?? 0) & 0x3f))
    if (known === undefined) return checkCondition(SENSE.INVALID_FIELD_IN_PARAMETER_LIST)
    if (at + known.length > list.length) return checkCondition(SENSE.PARAMETER_LIST_LENGTH_ERROR)
    const isSame = known.every((byte, i) => i === 0 || byte === list[at + i])
    if (!isSame) return checkCondition(SENSE.INVALID_FIELD_IN_PARAMETER_LIST)
    at += known.length
  }
  return GOOD
}

function selectedPages(cdb: Uint8Array): Uint8Array | Outcome {
  const control = (cdb[2] ?? 0) >> 6
  const code = (cdb[2] ?? 0) & 0x3f
  const subpage = cdb[3] ?? 0
  if (control === SAVED) return checkCondition(SENSE.SAVING_PARAMETERS_NOT_SUPPORTED)
  const isKnownSubpage = subpage === 0 || (subpage === 0xff && code === ALL_PAGES)
  const wanted = PAGES.filter((candidate) => code === ALL_PAGES || candidate[0] === code)
  if (!isKnownSubpage || wanted.length === 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  const shown = control === CHANGEABLE ? wanted.map(nothingChangeable) : wanted
  return Buffer.concat(shown)
}

function nothingChangeable(current: Uint8Array): Uint8Array {
  return current.map((byte, i) => (i < 2 ? byte : 0))
}

function blockDescriptor(unit: LogicalUnit, cdb: Uint8Array, isLong: boolean): Uint8Array {
  const isDisabled = ((cdb[1] ?? 0) & 0x08) !== 0
  if (isDisabled) return new Uint8Array(0)
  const out = new ByteWriter()
  if (isLong) return out.u64(BigInt(unit.blockCount)).u32(0).u32(BLOCK_BYTES).bytes()
  return out.u32(Math.min(unit.blockCount, 0xffffffff)).u32(BLOCK_BYTES).bytes()
}

function deviceParameter(unit: LogicalUnit): number {
  return (unit.device.isReadOnly ? 0x80 : 0) | 0x10 // WP, DPOFUA
}

function page(code: number, length: number, values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(2 + length)
  bytes.set([code, length, ...values])
  return bytes
}

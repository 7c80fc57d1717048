import { ByteWriter } from '../../wire/writer.js'
import type { Command } from './command.js'
import { u16 } from './fields.js'
import { BLOCK_BYTES, type LogicalUnit } from './logical-unit.js'
import { checkCondition, good, GOOD, SENSE, type Outcome } from './sense.js'

const ALL_PAGES = 0x3f
/** Page control: current, changeable, default or saved values (SPC-4 §6.11.1). */
const CONTROL = { CHANGEABLE: 1, DEFAULT: 2, SAVED: 3 }

type Modes = LogicalUnit['modes']

/** A bit that MODE SELECT may change. */
interface Setting {
  readonly mode: keyof Modes
  readonly byte: number
  readonly mask: number
}

/** A mode page with its default values (SPC-4 §7.5, SBC-3 §6.5). */
interface ModePage {
  readonly bytes: Uint8Array
  readonly settings: readonly Setting[]
}

const PAGES: readonly ModePage[] = [
  // Caching: WCE, writes may be volatile until SYNCHRONIZE CACHE.
  page(0x08, 18, [0x04], [{ mode: 'hasWriteCache', byte: 2, mask: 0x04 }]),
  // Control: GLTSD; D_SENSE and SWP; task aborted status.
  page(
    0x0a,
    10,
    [0x02, 0x00, 0x00, 0x40],
    [
      { mode: 'hasDescriptorSense', byte: 2, mask: 0x04 },
      { mode: 'isSoftwareProtected', byte: 4, mask: 0x08 },
    ],
  ),
  page(0x1c, 10, [0x08], []), // informational exceptions: DEXCPT, none are reported
]

/** MODE SENSE(6) (SPC-4 §6.11). */
export function modeSense6({ unit, cdb }: Command): Outcome {
  const pages = selectedPages(unit, cdb)
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
  const pages = selectedPages(unit, cdb)
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

/** MODE SELECT(6) (SPC-4 §6.9): WCE, SWP and D_SENSE may be changed, for all sessions, until a reset. */
export function modeSelect6(command: Command): Outcome {
  return modeSelect(command, command.cdb[4] ?? 0, 4, command.dataOut[3] ?? 0)
}

/** MODE SELECT(10) (SPC-4 §6.10). */
export function modeSelect10(command: Command): Outcome {
  return modeSelect(command, u16(command.cdb, 7), 8, u16(command.dataOut, 6))
}

function modeSelect(command: Command, listLength: number, header: number, descriptorLength: number): Outcome {
  const { unit, nexus, nexuses, cdb, dataOut } = command
  const flags = cdb[1] ?? 0
  if ((flags & 0x01) !== 0 || (flags & 0x10) === 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  if (listLength === 0) return GOOD
  const list = dataOut.subarray(0, listLength)
  const first = header + descriptorLength
  if (list.length < listLength || listLength < first) return checkCondition(SENSE.PARAMETER_LIST_LENGTH_ERROR)
  const modes = readPages(unit, list.subarray(first))
  if ('status' in modes) return modes
  const isChanged = (Object.keys(modes) as (keyof Modes)[]).some((mode) => modes[mode] !== unit.modes[mode])
  unit.modes = modes
  if (isChanged) nexuses.raise(unit.lun, SENSE.MODE_PARAMETERS_CHANGED, nexus)
  return GOOD
}

/** The modes that a list of pages asks for; nothing but the settings may differ from what is. */
function readPages(unit: LogicalUnit, list: Uint8Array): Modes | Outcome {
  const modes = { ...unit.modes }
  for (let at = 0; at < list.length;) {
    const known = PAGES.find(({ bytes }) => bytes[0] === (list[at] ?? 0)) // no subpages, PS must be 0
    if (known === undefined) return checkCondition(SENSE.INVALID_FIELD_IN_PARAMETER_LIST)
    const { bytes, settings } = known
    const given = list.subarray(at, at + bytes.length)
    if (given.length < bytes.length) return checkCondition(SENSE.PARAMETER_LIST_LENGTH_ERROR)
    for (const { mode, byte, mask } of settings) modes[mode] = ((given[byte] ?? 0) & mask) !== 0
    if (!withModes(known, modes).every((byte, i) => byte === given[i])) {
      return checkCondition(SENSE.INVALID_FIELD_IN_PARAMETER_LIST)
    }
    at += bytes.length
  }
  return modes
}

function selectedPages(unit: LogicalUnit, cdb: Uint8Array): Uint8Array | Outcome {
  const control = (cdb[2] ?? 0) >> 6
  const code = (cdb[2] ?? 0) & 0x3f
  const subpage = cdb[3] ?? 0
  if (control === CONTROL.SAVED) return checkCondition(SENSE.SAVING_PARAMETERS_NOT_SUPPORTED)
  const isKnownSubpage = subpage === 0 || (subpage === 0xff && code === ALL_PAGES)
  const wanted = PAGES.filter(({ bytes }) => code === ALL_PAGES || bytes[0] === code)
  if (!isKnownSubpage || wanted.length === 0) return checkCondition(SENSE.INVALID_FIELD_IN_CDB)
  if (control === CONTROL.DEFAULT) return Buffer.concat(wanted.map(({ bytes }) => bytes))
  const isMask = control === CONTROL.CHANGEABLE
  return Buffer.concat(wanted.map((each) => (isMask ? changeable(each) : withModes(each, unit.modes))))
}

function withModes({ bytes, settings }: ModePage, modes: Modes): Uint8Array {
  const shown = Uint8Array.from(bytes)
  for (const { mode, byte, mask } of settings) {
    shown[byte] = ((shown[byte] ?? 0) & ~mask) | (modes[mode] ? mask : 0)
  }
  return shown
}

function changeable({ bytes, settings }: ModePage): Uint8Array {
  const shown = bytes.map((byte, i) => (i < 2 ? byte : 0))
  for (const { byte, mask } of settings) shown[byte] = (shown[byte] ?? 0) | mask
  return shown
}

function blockDescriptor(unit: LogicalUnit, cdb: Uint8Array, isLong: boolean): Uint8Array {
  const isDisabled = ((cdb[1] ?? 0) & 0x08) !== 0
  if (isDisabled) return new Uint8Array(0)
  const out = new ByteWriter()
  if (isLong) return out.u64(BigInt(unit.blockCount)).u32(0).u32(BLOCK_BYTES).bytes()
  return out.u32(Math.min(unit.blockCount, 0xffffffff)).u32(BLOCK_BYTES).bytes()
}

function deviceParameter(unit: LogicalUnit): number {
  const isProtected = unit.device.isReadOnly || unit.modes.isSoftwareProtected
  return (isProtected ? 0x80 : 0) | 0x10 // WP, DPOFUA
}

function page(
  code: number,
  length: number,
  values: readonly number[],
  settings: readonly Setting[],
): ModePage {
  const bytes = new Uint8Array(2 + length)
  bytes.set([code, length, ...values])
  return { bytes, settings }
}

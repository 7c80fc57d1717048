import { hasConflict } from './access.js'
import type { Command } from './command.js'
import { u16, u32, u64 } from './fields.js'
import { BLOCK_BYTES, type CopyStatus, type LogicalUnit } from './logical-unit.js'
import { checkCondition, GOOD, SENSE, type Outcome } from './sense.js'

/** What one EXTENDED COPY may hold, told by RECEIVE COPY RESULTS and VPD page 8Fh. */
export const COPY_LIMITS = {
  targets: 8,
  segments: 8,
  /** CSCD and segment descriptors together. */
  descriptorBytes: 8 * 32 + 8 * 28,
  /** 65,535 blocks. */
  segmentBytes: 0xffff * BLOCK_BYTES,
} as const

/** CSCD descriptor (copy source or destination) by designator, and segment descriptor from block to block. */
export const DESCRIPTOR = { IDENTIFICATION: 0xe4, BLOCK_TO_BLOCK: 0x02 } as const

const HEADER_BYTES = 16
const TARGET_BYTES = 32
const SEGMENT_BYTES = 28
const CHUNK_BYTES = 1 << 20
const KEPT_STATUSES = 16
/** LIST ID USAGE: the list identifier is not used and nothing is held (SPC-4 §6.4.3.2). */
const USAGE_NONE = 3

interface Segment {
  readonly from: LogicalUnit
  readonly to: LogicalUnit
  readonly blocks: number
  readonly fromLba: number
  readonly toLba: number
}

interface Lists {
  readonly targets: readonly Uint8Array[]
  readonly segments: readonly Uint8Array[]
}

/** EXTENDED COPY(LID1) from block to block, between LUNs of one target (SPC-4 §6.4). */
export async function extendedCopy(command: Command): Promise<Outcome> {
  const { unit, cdb, dataOut } = command
  const length = u32(cdb, 10)
  if (length === 0) return GOOD
  const list = dataOut.subarray(0, length)
  const lists = readLists(list)
  if ('status' in lists) return lists
  const status: CopyStatus = { isFailed: false, segments: 0, bytes: 0 }
  const usage = ((list[1] ?? 0) >> 3) & 3
  if (usage !== USAGE_NONE) keepStatus(unit, list[0] ?? 0, status)
  return copySegments(command, lists, status)
}

function readLists(list: Uint8Array): Lists | Outcome {
  const [targetBytes, segmentBytes, inlineBytes] = [u16(list, 2), u32(list, 8), u32(list, 12)]
  const isWhole = list.length >= HEADER_BYTES + targetBytes + segmentBytes + inlineBytes
  if (!isWhole || list.length < HEADER_BYTES || targetBytes + segmentBytes > COPY_LIMITS.descriptorBytes) {
    return checkCondition(SENSE.PARAMETER_LIST_LENGTH_ERROR)
  }
  if (targetBytes % TARGET_BYTES !== 0) return checkCondition(SENSE.INVALID_FIELD_IN_PARAMETER_LIST)
  if (targetBytes > COPY_LIMITS.targets * TARGET_BYTES) {
    return checkCondition(SENSE.TOO_MANY_TARGET_DESCRIPTORS)
  }
  const first = HEADER_BYTES + targetBytes
  const segments = readSegments(list.subarray(first, first + segmentBytes))
  if ('status' in segments) return segments
  return { targets: pieces(list.subarray(HEADER_BYTES, first), TARGET_BYTES), segments }
}

function readSegments(list: Uint8Array): Uint8Array[] | Outcome {
  const segments: Uint8Array[] = []
  for (let at = 0; at < list.length; at += SEGMENT_BYTES) {
    if (list[at] !== DESCRIPTOR.BLOCK_TO_BLOCK) return checkCondition(SENSE.UNSUPPORTED_SEGMENT_DESCRIPTOR)
    if (at + SEGMENT_BYTES > list.length) return checkCondition(SENSE.PARAMETER_LIST_LENGTH_ERROR)
    segments.push(list.subarray(at, at + SEGMENT_BYTES))
  }
  if (segments.length > COPY_LIMITS.segments) return checkCondition(SENSE.TOO_MANY_SEGMENT_DESCRIPTORS)
  return segments
}

async function copySegments(command: Command, lists: Lists, status: CopyStatus): Promise<Outcome> {
  status.isFailed = true // until all is done
  const units: (LogicalUnit | undefined)[] = []
  for (const target of lists.targets) {
    if (target[0] !== DESCRIPTOR.IDENTIFICATION) return checkCondition(SENSE.UNSUPPORTED_TARGET_DESCRIPTOR)
    units.push(findUnit(command, target))
  }
  for (const bytes of lists.segments) {
    const segment = resolveSegment(command, units, bytes)
    if ('status' in segment) return segment
    await copy(segment)
    status.segments++
    status.bytes += segment.blocks * BLOCK_BYTES
  }
  status.isFailed = false
  return GOOD
}

/** The LUN whose VPD page 83h has the designator (SPC-4 §6.4.5.2; LU ID TYPE and NUL are obsolete). */
function findUnit({ units }: Command, target: Uint8Array): LogicalUnit | undefined {
  const isDisk = ((target[1] ?? 0) & 0x1f) === 0 && u32(target, 28) % 0x1000000 === BLOCK_BYTES
  if (!isDisk) return undefined
  const [association, type] = [((target[5] ?? 0) >> 4) & 3, (target[5] ?? 0) & 0x0f]
  const designator = target.subarray(8, 8 + Math.min(target[7] ?? 0, 20))
  if (association !== 0) return undefined
  return [...units.values()].find(({ designators }) =>
    designators.some((known) => known.type === type && isStartOf(designator, known.bytes)),
  )
}

/** Twenty bytes of a longer designator are all that fit into the descriptor. */
function isStartOf(given: Uint8Array, known: Uint8Array): boolean {
  const expected = known.subarray(0, 20)
  return given.length === expected.length && expected.every((byte, i) => byte === given[i])
}

function resolveSegment(
  { nexus }: Command,
  units: readonly (LogicalUnit | undefined)[],
  bytes: Uint8Array,
): Segment | Outcome {
  const [from, to] = [units[u16(bytes, 4)], units[u16(bytes, 6)]]
  if (from === undefined || to === undefined) return checkCondition(SENSE.COPY_TARGET_UNREACHABLE)
  const segment = { from, to, blocks: u16(bytes, 10), fromLba: u64(bytes, 12), toLba: u64(bytes, 20) }
  const isInside =
    from.hasRange(segment.fromLba, segment.blocks) && to.hasRange(segment.toLba, segment.blocks)
  const isKeptOut = hasConflict(from, nexus, 'read') || hasConflict(to, nexus, 'medium')
  const isProtected = to.device.isReadOnly || to.modes.isSoftwareProtected
  return isInside && !isKeptOut && !isProtected ? segment : checkCondition(SENSE.COPY_ABORTED)
}

async function copy({ from, to, blocks, fromLba, toLba }: Segment): Promise<void> {
  const total = blocks * BLOCK_BYTES
  const chunk = Buffer.allocUnsafe(Math.min(total, CHUNK_BYTES))
  for (let at = 0; at < total; at += CHUNK_BYTES) {
    const piece = chunk.subarray(0, total - at)
    await from.device.read(fromLba * BLOCK_BYTES + at, piece)
    await to.device.write(toLba * BLOCK_BYTES + at, piece)
  }
  if (!to.modes.hasWriteCache) await to.device.flush()
}

function keepStatus(unit: LogicalUnit, listId: number, status: CopyStatus): void {
  unit.copies.delete(listId)
  unit.copies.set(listId, status)
  for (const oldest of unit.copies.keys()) {
    if (unit.copies.size <= KEPT_STATUSES) break
    unit.copies.delete(oldest)
  }
}

function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: bytes.length / size }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
}

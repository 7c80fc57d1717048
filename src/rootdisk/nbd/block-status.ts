import type { BlockDevice, Extent } from '../block-device.js'
import type { Link } from './link.js'
import { ALLOCATION, BASE_ALLOCATION_ID, CHUNK, CHUNK_HEADER_BYTES, COMMAND_FLAG } from './protocol.js'
import { frameChunk } from './replies.js'
import type { Request } from './request-parser.js'

/** Descriptors in one answer; the client asks again from where they end. */
const MAX_DESCRIPTORS = 4096
/** Looked at first; a client that wants one extent of a broken-up disk costs no more. */
const FIRST_WINDOW_BYTES = 1 << 20
/** Looked at in one answer. */
const MAX_SCAN_BYTES = 2 ** 30

/** Answers BLOCK_STATUS for base:allocation; the answer may end before the range does. */
export async function sendBlockStatus(link: Link, request: Request): Promise<void> {
  const { device, output } = link
  const isOne = (request.flags & COMMAND_FLAG.REQ_ONE) !== 0
  const extents = await firstExtents(device, request, isOne ? 1 : MAX_DESCRIPTORS)
  if (link.isClosed) return
  const payloadBytes = 4 + extents.length * 8
  const at = output.room(CHUNK_HEADER_BYTES + payloadBytes)
  const { bytes } = output
  frameChunk(bytes, at, request, { type: CHUNK.BLOCK_STATUS, isLast: true, payloadBytes })
  bytes.writeUInt32BE(BASE_ALLOCATION_ID, at + CHUNK_HEADER_BYTES)
  let place = at + CHUNK_HEADER_BYTES + 4
  for (const { length, kind } of extents) {
    bytes.writeUInt32BE(length, place)
    bytes.writeUInt32BE(kind === 'zero' ? ALLOCATION.HOLE | ALLOCATION.ZERO : 0, place + 4)
    place += 8
  }
  output.commit(CHUNK_HEADER_BYTES + payloadBytes)
}

async function firstExtents(
  device: BlockDevice,
  range: { readonly offset: number; readonly length: number },
  limit: number,
): Promise<readonly Extent[]> {
  const found: Extent[] = []
  const end = range.offset + Math.min(range.length, MAX_SCAN_BYTES)
  let window = FIRST_WINDOW_BYTES
  for (let at = range.offset; at < end && found.length <= limit; window *= 2) {
    const length = Math.min(window, end - at)
    for (const extent of await device.extents(at, length)) append(found, extent)
    at += length
  }
  return found.slice(0, limit)
}

function append(found: Extent[], extent: Extent): void {
  const last = found.at(-1)
  if (last?.kind === extent.kind) found[found.length - 1] = { ...last, length: last.length + extent.length }
  else found.push(extent)
}

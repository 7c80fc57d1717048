import { rangeOf } from './block-range.js'
import { BLOCK_BYTES } from './logical-unit.js'

const WRITES = new Set([0x0a, 0x2a, 0x8a, 0xaa, 0x8b, 0x2e, 0x8e, 0xae])
const VERIFIES = new Set([0x2f, 0x8f, 0xaf])

/** Bytes of data-out the CDB itself asks for, where that is a matter of blocks; else undefined. */
export function dataOutBytes(cdb: Uint8Array): number | undefined {
  const opcode = cdb[0] ?? 0
  if (WRITES.has(opcode) || isComparing(cdb)) return rangeOf(cdb).blocks * BLOCK_BYTES
  switch (opcode) {
    case 0x89: // COMPARE AND WRITE
      return 2 * (cdb[13] ?? 0) * BLOCK_BYTES
    case 0x41: // WRITE SAME(10)
      return BLOCK_BYTES
    case 0x93: // WRITE SAME(16), NDOB
      return ((cdb[1] ?? 0) & 1) === 1 ? 0 : BLOCK_BYTES
    default:
      return undefined
  }
}

/** VERIFY with BYTCHK 1. */
function isComparing(cdb: Uint8Array): boolean {
  return VERIFIES.has(cdb[0] ?? 0) && ((cdb[1] ?? 0) & 0x06) === 0x02
}

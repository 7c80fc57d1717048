// CRC32C (Castagnoli), reflected polynomial 0x82f63b78, as in iSCSI (RFC 7143 §13.1) and RFC 3720 appendix B.4.
// Eight bytes a step through eight tables ("slicing by 8").

const POLYNOMIAL = 0x82f63b78

const TABLE = makeTable()

function makeTable(): Int32Array {
  const table = new Int32Array(8 * 256)
  for (let i = 0; i < 256; i++) {
    let crc = i
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0)
    table[i] = crc
  }
  for (let i = 256; i < table.length; i++) {
    const before = table[i - 256] ?? 0
    table[i] = (before >>> 8) ^ (table[before & 0xff] ?? 0)
  }
  return table
}

/**
 * CRC32C of `bytes`, unsigned. To go on over several pieces hand in the result so far as `before`.
 * iSCSI sends it least significant byte first.
 */
// eslint-disable-next-line complexity -- each `??` counts as a branch, and there is none at run time
export function crc32c(bytes: Uint8Array, before = 0): number {
  let crc = ~before
  let at = 0
  for (const end = bytes.length - 7; at < end; at += 8) {
    const low =
      crc ^
      ((bytes[at] ?? 0) |
        ((bytes[at + 1] ?? 0) << 8) |
        ((bytes[at + 2] ?? 0) << 16) |
        ((bytes[at + 3] ?? 0) << 24))
    crc =
      (TABLE[1792 + (low & 0xff)] ?? 0) ^
      (TABLE[1536 + ((low >>> 8) & 0xff)] ?? 0) ^
      (TABLE[1280 + ((low >>> 16) & 0xff)] ?? 0) ^
      (TABLE[1024 + (low >>> 24)] ?? 0) ^
      (TABLE[768 + (bytes[at + 4] ?? 0)] ?? 0) ^
      (TABLE[512 + (bytes[at + 5] ?? 0)] ?? 0) ^
      (TABLE[256 + (bytes[at + 6] ?? 0)] ?? 0) ^
      (TABLE[bytes[at + 7] ?? 0] ?? 0)
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ (TABLE[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0)
  return ~crc >>> 0
}

// Fields of a command descriptor block (CDB) are read in place: its 16 bytes are always there (RFC 7143 §11.3).

/** Unsigned 16 bits, big-endian, at byte `at`; absent bytes read as 0. */
export function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
}

/** Unsigned 32 bits, big-endian, at byte `at`; absent bytes read as 0. */
export function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 0x10000 + u16(bytes, at + 2)
}

/** Unsigned 64 bits, big-endian; exact up to 2^53, still ordered above (enough for a range check). */
export function u64(bytes: Uint8Array, at: number): number {
  return u32(bytes, at) * 0x1_0000_0000 + u32(bytes, at + 4)
}

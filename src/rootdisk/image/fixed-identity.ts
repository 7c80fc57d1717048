import { createHash } from 'node:crypto'

/** The day of every build, Unix time: 2026-11-23. Newer files are said to be of that day. */
export const EPOCH_SECONDS = 1_795_392_000

/** What tells programs that day: reproducible-builds.org's variable, and e2fsprogs' own (libext2fs, initialize.c). */
export const TIME = { SOURCE_DATE_EPOCH: `${EPOCH_SECONDS}`, E2FSPROGS_FAKE_TIME: `${EPOCH_SECONDS}` }

/**
 * The UUID that every disk of a recipe has for `what`: two builds are to differ in nothing that is made up.
 * Name-based, version 8 (RFC 9562 §5.8).
 */
export function fixedUuid(digest: string, what: string): string {
  const bytes = createHash('sha256').update(`${digest} ${what}`).digest().subarray(0, 16)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  view.setUint8(6, (view.getUint8(6) & 0x0f) | 0x80)
  view.setUint8(8, (view.getUint8(8) & 0x3f) | 0x80)
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** Eight hexadecimal digits for a FAT's volume number, likewise. */
export function fixedVolumeNumber(digest: string, what: string): string {
  return fixedUuid(digest, what).slice(0, 8)
}

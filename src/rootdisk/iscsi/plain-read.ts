import { hasProtection } from '../scsi/block-range.js'

const FINAL = 0x80
const READ = 0x40
const WRITE = 0x20

/** Byte of the CDB that holds NACA, for the commands of the fast path: READ(6), (10), (16), (12). */
const CONTROL_BYTE: ReadonlyMap<number, number> = new Map([
  [0x08, 5],
  [0x28, 9],
  [0x88, 15],
  [0xa8, 11],
])

/** A READ that expects data in, sends none, and sets no protection or NACA bit. */
export function isPlainRead(bytes: Buffer, at: number): boolean {
  const control = CONTROL_BYTE.get(bytes[at + 32] ?? 0)
  if (control === undefined || bytes.readUInt32BE(at + 20) === 0) return false
  if (((bytes[at + 1] ?? 0) & (READ | WRITE | FINAL)) !== (READ | FINAL)) return false
  return ((bytes[at + 32 + control] ?? 0) & 0x04) === 0 && !hasProtection(bytes, at + 32)
}

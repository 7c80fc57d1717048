// RFC 7143 §11.2: every PDU starts with a basic header segment (BHS) of 48 bytes, all fields big-endian.
//   0 opcode (0x40: immediate)   1 flags   4 TotalAHSLength   5..7 DataSegmentLength   8..15 LUN
//  16 Initiator Task Tag        20 Target Transfer Tag or opcode-specific
//  24 CmdSN | StatSN            28 ExpStatSN | ExpCmdSN       32 MaxCmdSN
// The hot path reads and writes these fields in place, after the receiver has seen all 48 bytes.

/** Length of the basic header segment. */
export const BHS_BYTES = 48

/** Length of a header or data digest. */
export const DIGEST_BYTES = 4

/** Opcodes from the initiator (§11.2.1.2). */
export const REQUEST = {
  NOP_OUT: 0x00,
  SCSI_COMMAND: 0x01,
  TASK_MANAGEMENT: 0x02,
  LOGIN: 0x03,
  TEXT: 0x04,
  DATA_OUT: 0x05,
  LOGOUT: 0x06,
  SNACK: 0x10,
} as const

/** Opcodes from the target. */
export const RESPONSE = {
  NOP_IN: 0x20,
  SCSI_RESPONSE: 0x21,
  TASK_MANAGEMENT: 0x22,
  LOGIN: 0x23,
  TEXT: 0x24,
  DATA_IN: 0x25,
  LOGOUT: 0x26,
  R2T: 0x31,
  ASYNC: 0x32,
  REJECT: 0x3f,
} as const

/** Reject reasons (§11.17.1). */
export const REJECT_REASON = {
  DATA_DIGEST: 0x02,
  SNACK: 0x03,
  PROTOCOL_ERROR: 0x04,
  COMMAND_NOT_SUPPORTED: 0x05,
  INVALID_PDU_FIELD: 0x09,
} as const

/** No task, or no transfer, is meant (§11.2.1.8). */
export const NO_TAG = 0xffffffff

/** `value` + 1 in 32-bit serial number arithmetic (RFC 1982). */
export function nextSerial(value: number): number {
  return (value + 1) >>> 0
}

/** Whether `a` comes after `b` in 32-bit serial number arithmetic. */
export function isAfter(a: number, b: number): boolean {
  return ((a - b) | 0) > 0
}

/** LUN number from its 8 bytes at `at`: peripheral and flat addressing, else -1 (SAM-5 §4.7.7). */
export function readLun(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0
  const method = first >> 6
  if (method > 1) return -1
  return ((first & 0x3f) << 8) | (bytes[at + 1] ?? 0)
}

/** Bytes that fill a segment up to a multiple of four (§11.2.3). */
export function padding(length: number): number {
  return -length & 3
}

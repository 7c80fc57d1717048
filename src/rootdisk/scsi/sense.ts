import { BlockError } from '../block-device.js'

/** SCSI status codes (SAM-5 §5.3.1). */
export const STATUS = {
  GOOD: 0x00,
  CHECK_CONDITION: 0x02,
  CONDITION_MET: 0x04,
  BUSY: 0x08,
  RESERVATION_CONFLICT: 0x18,
} as const

/** Sense key, additional sense code and its qualifier (SPC-4 §4.5.6, annex D). */
export const SENSE = {
  NO_SENSE: [0x0, 0x00, 0x00],
  WRITE_ERROR: [0x3, 0x0c, 0x00],
  UNRECOVERED_READ_ERROR: [0x3, 0x11, 0x00],
  INTERNAL_TARGET_FAILURE: [0x4, 0x44, 0x00],
  PARAMETER_LIST_LENGTH_ERROR: [0x5, 0x1a, 0x00],
  INVALID_COMMAND_OPERATION_CODE: [0x5, 0x20, 0x00],
  LBA_OUT_OF_RANGE: [0x5, 0x21, 0x00],
  INVALID_FIELD_IN_CDB: [0x5, 0x24, 0x00],
  LOGICAL_UNIT_NOT_SUPPORTED: [0x5, 0x25, 0x00],
  INVALID_FIELD_IN_PARAMETER_LIST: [0x5, 0x26, 0x00],
  SAVING_PARAMETERS_NOT_SUPPORTED: [0x5, 0x39, 0x00],
  MEDIUM_REMOVAL_PREVENTED: [0x5, 0x53, 0x02],
  COMMANDS_CLEARED: [0x6, 0x2f, 0x00],
  POWER_ON: [0x6, 0x29, 0x00],
  BUS_DEVICE_RESET: [0x6, 0x29, 0x03],
  CAPACITY_CHANGED: [0x6, 0x2a, 0x09],
  REPORTED_LUNS_CHANGED: [0x6, 0x3f, 0x0e],
  WRITE_PROTECTED: [0x7, 0x27, 0x00],
  SPACE_ALLOCATION_FAILED: [0x7, 0x27, 0x07],
  /** iSCSI's "protocol service CRC error" (RFC 7143 §11.4.7.2). */
  PROTOCOL_SERVICE_CRC_ERROR: [0xb, 0x47, 0x05],
  MISCOMPARE: [0xe, 0x1d, 0x00],
} as const satisfies Record<string, readonly [number, number, number]>

/** A row of {@link SENSE}. */
export type SenseCode = (typeof SENSE)[keyof typeof SENSE]

/** What a command came to: status, data for the initiator, sense with a CHECK CONDITION. */
export interface Outcome {
  readonly status: number
  readonly data?: Uint8Array
  readonly sense?: Uint8Array
}

/** Done, nothing to return. */
export const GOOD: Outcome = { status: STATUS.GOOD }

/** Done, with data for the initiator, cut to the allocation length of the CDB (SPC-4 §4.2.5.6). */
export function good(data: Uint8Array, allocationLength: number): Outcome {
  return {
    status: STATUS.GOOD,
    data: data.length > allocationLength ? data.subarray(0, allocationLength) : data,
  }
}

/** Fixed format sense data, 18 bytes (SPC-4 §4.5.3); `information` sets the VALID bit. */
export function encodeSense([key, asc, ascq]: SenseCode, information?: number): Uint8Array {
  const bytes = new Uint8Array(18)
  bytes[0] = 0x70
  bytes[2] = key
  bytes[7] = 10
  bytes[12] = asc
  bytes[13] = ascq
  if (information !== undefined && information <= 0xffffffff) {
    bytes[0] = 0xf0
    new DataView(bytes.buffer).setUint32(3, information)
  }
  return bytes
}

/** A command refused or failed. */
export function checkCondition(code: SenseCode, information?: number): Outcome {
  return { status: STATUS.CHECK_CONDITION, sense: encodeSense(code, information) }
}

/** How a failed block device call is told to the initiator; anything but a BlockError is our own fault. */
export function failureOutcome(err: unknown, isWrite: boolean): Outcome {
  if (!(err instanceof BlockError)) return checkCondition(SENSE.INTERNAL_TARGET_FAILURE)
  if (err.kind === 'no-space') return checkCondition(SENSE.SPACE_ALLOCATION_FAILED)
  if (err.kind === 'read-only') return checkCondition(SENSE.WRITE_PROTECTED)
  return checkCondition(isWrite ? SENSE.WRITE_ERROR : SENSE.UNRECOVERED_READ_ERROR)
}

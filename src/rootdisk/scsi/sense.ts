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
  SANITIZE_IN_PROGRESS: [0x2, 0x04, 0x1b],
  WRITE_ERROR: [0x3, 0x0c, 0x00],
  UNRECOVERED_READ_ERROR: [0x3, 0x11, 0x00],
  INTERNAL_TARGET_FAILURE: [0x4, 0x44, 0x00],
  PARAMETER_LIST_LENGTH_ERROR: [0x5, 0x1a, 0x00],
  INVALID_COMMAND_OPERATION_CODE: [0x5, 0x20, 0x00],
  LBA_OUT_OF_RANGE: [0x5, 0x21, 0x00],
  INVALID_FIELD_IN_CDB: [0x5, 0x24, 0x00],
  LOGICAL_UNIT_NOT_SUPPORTED: [0x5, 0x25, 0x00],
  INVALID_FIELD_IN_PARAMETER_LIST: [0x5, 0x26, 0x00],
  INVALID_RELEASE: [0x5, 0x26, 0x04],
  TOO_MANY_TARGET_DESCRIPTORS: [0x5, 0x26, 0x06],
  UNSUPPORTED_TARGET_DESCRIPTOR: [0x5, 0x26, 0x07],
  TOO_MANY_SEGMENT_DESCRIPTORS: [0x5, 0x26, 0x08],
  UNSUPPORTED_SEGMENT_DESCRIPTOR: [0x5, 0x26, 0x09],
  SAVING_PARAMETERS_NOT_SUPPORTED: [0x5, 0x39, 0x00],
  MEDIUM_REMOVAL_PREVENTED: [0x5, 0x53, 0x02],
  COMMANDS_CLEARED: [0x6, 0x2f, 0x00],
  /** Not ready to ready change, medium may have changed. */
  MEDIUM_CHANGED: [0x6, 0x28, 0x00],
  POWER_ON: [0x6, 0x29, 0x00],
  BUS_DEVICE_RESET: [0x6, 0x29, 0x03],
  MODE_PARAMETERS_CHANGED: [0x6, 0x2a, 0x01],
  RESERVATIONS_PREEMPTED: [0x6, 0x2a, 0x03],
  RESERVATIONS_RELEASED: [0x6, 0x2a, 0x04],
  REGISTRATIONS_PREEMPTED: [0x6, 0x2a, 0x05],
  CAPACITY_CHANGED: [0x6, 0x2a, 0x09],
  REPORTED_LUNS_CHANGED: [0x6, 0x3f, 0x0e],
  WRITE_PROTECTED: [0x7, 0x27, 0x00],
  SOFTWARE_WRITE_PROTECTED: [0x7, 0x27, 0x02],
  SPACE_ALLOCATION_FAILED: [0x7, 0x27, 0x07],
  /** iSCSI's "protocol service CRC error" (RFC 7143 §11.4.7.2). */
  PROTOCOL_SERVICE_CRC_ERROR: [0xb, 0x47, 0x05],
  COPY_ABORTED: [0xa, 0x00, 0x00],
  COPY_TARGET_UNREACHABLE: [0xa, 0x0d, 0x02],
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

/** The same sense in descriptor format (SPC-4 §4.5.2), for a LUN whose D_SENSE is set. */
export function describeSense(fixed: Uint8Array): Uint8Array {
  const hasInformation = ((fixed[0] ?? 0) & 0x80) !== 0
  const bytes = new Uint8Array(hasInformation ? 20 : 8)
  bytes.set([0x72, fixed[2] ?? 0, fixed[12] ?? 0, fixed[13] ?? 0])
  if (!hasInformation) return bytes
  bytes[7] = 12
  bytes.set([0x00, 0x0a, 0x80], 8) // information descriptor, VALID
  bytes.set(fixed.subarray(3, 7), 16)
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

/** Every refusal an operator can meet: HTTP status and the rule, in words. `docs/errors.md` is checked against it. */
export const ERROR = {
  INVALID_INPUT: { status: 400, rule: 'the request breaks the schema or a rule named in the message' },
  NOT_FOUND: { status: 404, rule: 'nothing of that name or id exists' },
  NAME_TAKEN: { status: 409, rule: 'names are unique among things of their kind' },
  MAC_TAKEN: { status: 409, rule: 'a MAC address belongs to one machine' },
  ADDRESS_TAKEN: { status: 409, rule: 'an IP address belongs to one machine' },
  IN_USE: { status: 409, rule: 'what others depend on cannot be deleted' },
  WRONG_STATE: { status: 409, rule: 'the operation needs another state' },
  NO_CAPACITY: { status: 409, rule: 'nothing free fits: no machine, or no LUN of the server' },
  IMAGE_REFUSED: { status: 400, rule: 'the image file is not one that can be imported safely' },
  DISK_FULL: { status: 507, rule: 'the state directory has no room left' },
  POWER_FAILED: { status: 502, rule: 'the machine controller did not do what was asked' },
  TARGET_UNAVAILABLE: { status: 503, rule: 'the target (ingot-targetd or tgtd) does not answer' },
  DISK_FAILED: { status: 502, rule: 'the target process could not do this to a disk' },
  UNSUPPORTED: { status: 501, rule: 'the target that is configured cannot do it' },
  TIMED_OUT: { status: 504, rule: 'the operation did not finish in its time' },
  CONFIG_INVALID: { status: 500, rule: 'the configuration file breaks a rule' },
  STATE_LOCKED: { status: 500, rule: 'one daemon owns a state directory' },
  STATE_UNUSABLE: { status: 500, rule: 'the state directory cannot be used' },
  REGISTRY_NEWER: { status: 500, rule: 'a registry written by a newer version is not opened' },
  REGISTRY_DAMAGED: { status: 500, rule: 'a damaged registry is not opened' },
} as const satisfies Record<string, { status: number; rule: string }>

/** A stable code from the {@link ERROR} table. */
export type ErrorCode = keyof typeof ERROR

/** A wish we refuse, told to the operator in one sentence; nothing was changed. */
export class DaemonError extends Error {
  override readonly name = 'DaemonError'

  readonly code: ErrorCode

  /** @param message one sentence, lower case, naming the field and the rule broken, no stop. */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }

  /** The HTTP status of {@link code}. */
  get status(): number {
    return ERROR[this.code].status
  }
}

/** The `code` of a Node system error (`ENOSPC`), or undefined. */
export function systemCode(err: unknown): string | undefined {
  return err instanceof Error && 'code' in err && typeof err.code === 'string' ? err.code : undefined
}

/** Login status, class and detail (RFC 7143 §11.13.5). */
export const LOGIN_STATUS = {
  SUCCESS: 0x0000,
  INITIATOR_ERROR: 0x0200,
  AUTHENTICATION_FAILED: 0x0201,
  NOT_AUTHORIZED: 0x0202,
  NOT_FOUND: 0x0203,
  UNSUPPORTED_VERSION: 0x0205,
  MISSING_PARAMETER: 0x0207,
  SESSION_TYPE_NOT_SUPPORTED: 0x0209,
  NO_SUCH_SESSION: 0x020a,
  OUT_OF_RESOURCES: 0x0302,
} as const

/** A login that cannot go on: the status for the initiator and the check that failed, for the operator. */
export class LoginRefused extends Error {
  override readonly name = 'LoginRefused'
  readonly status: number

  constructor(status: number, check: string) {
    super(check)
    this.status = status
  }
}

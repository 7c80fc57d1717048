import { MalformedPacket } from '../../wire/malformed-packet.js'
import type { IssuedChallenges } from './chap-login.js'
import { LoginExchange, type LoginStep, type TargetLookup } from './login.js'
import { LOGIN_STATUS, LoginRefused } from './login-refused.js'
import { decodeLoginRequest, encodeLoginResponse, type LoginRequest } from './login-pdu.js'
import { nextSerial, REQUEST } from './pdu.js'
import type { PduSink } from './receiver.js'

const COMMAND_WINDOW = 128

/** A login that passed every check. */
export interface LoginResult {
  readonly exchange: LoginExchange
  readonly isid: string
  /** Numbers that full feature phase starts with. */
  readonly numbers: { readonly expCmdSn: number; readonly statSn: number }
}

/** What the login phase needs from its connection. */
export interface LoginPhaseDeps {
  readonly find: TargetLookup
  readonly issued: IssuedChallenges
  send(bytes: Uint8Array): void
  /** Makes the session; gives its TSIH. Rejects with LoginRefused when there is no room. */
  admit(result: LoginResult): Promise<number>
  refuse(reason: string, status: number, who: { initiator: string; targetName: string }): void
  onBusy(isBusy: boolean): void
}

/** The login phase of one connection: PDUs in, responses out, at the end an admission (RFC 7143 §6.3). */
export class LoginPhase implements PduSink {
  readonly isHeld = false
  readonly #deps: LoginPhaseDeps
  readonly #exchange: LoginExchange
  #segment: Buffer = Buffer.alloc(0)
  #statSn: number | undefined

  constructor(deps: LoginPhaseDeps) {
    this.#deps = deps
    this.#exchange = new LoginExchange(deps.find, deps.issued)
  }

  placeFor(bytes: Buffer, at: number, length: number): Uint8Array {
    if (((bytes[at] ?? 0) & 0x3f) !== REQUEST.LOGIN) {
      throw new MalformedPacket('iSCSI login', 0, 'expected a login request')
    }
    this.#segment = Buffer.alloc(length)
    return this.#segment
  }

  onPdu(bytes: Buffer, at: number): void {
    const request = decodeLoginRequest(bytes.subarray(at, at + 48))
    const segment = this.#segment
    this.#segment = Buffer.alloc(0)
    this.#statSn ??= request.expStatSn
    try {
      const step = this.#exchange.step(request, segment)
      if (step.isDone) this.#finish(request, step)
      else this.#respond(request, step, 0)
    } catch (err) {
      this.#refuse(request, err)
    }
  }

  #finish(request: LoginRequest, step: LoginStep): void {
    const statSn = nextSerial(this.#statSn ?? 0)
    const numbers = { expCmdSn: request.cmdSn, statSn }
    this.#deps.onBusy(true)
    void this.#deps
      .admit({ exchange: this.#exchange, isid: request.isid, numbers })
      .then((tsih) => this.#respond(request, step, tsih))
      .catch((err: unknown) => this.#refuse(request, err))
      .finally(() => this.#deps.onBusy(false))
  }

  #respond(request: LoginRequest, step: LoginStep, tsih: number): void {
    const { isTransit, isContinued, text } = step
    this.#send(request, { isTransit, isContinued, text, tsih, status: LOGIN_STATUS.SUCCESS })
  }

  #refuse(request: LoginRequest, err: unknown): void {
    if (err instanceof MalformedPacket) throw err
    const isRefusal = err instanceof LoginRefused
    const status = isRefusal ? err.status : LOGIN_STATUS.OUT_OF_RESOURCES
    this.#send(request, { isTransit: false, isContinued: false, text: new Uint8Array(0), tsih: 0, status })
    const reason = err instanceof Error ? err.message : String(err)
    this.#deps.refuse(reason, status, this.#exchange)
  }

  #send(
    request: LoginRequest,
    reply: { isTransit: boolean; isContinued: boolean; text: Uint8Array; tsih: number; status: number },
  ): void {
    const { stage, nextStage, isid, itt, cmdSn } = request
    const statSn = this.#statSn ?? 0
    this.#statSn = nextSerial(statSn)
    this.#deps.send(
      encodeLoginResponse({
        ...reply,
        stage,
        nextStage,
        isid,
        itt,
        statSn,
        expCmdSn: cmdSn,
        maxCmdSn: (cmdSn + COMMAND_WINDOW - 1) >>> 0,
      }),
    )
  }
}

import { parseIscsiName } from '../../wire/iqn.js'
import type { TargetSpec } from '../export.js'
import { CHAP_MD5, ChapChallenge } from './chap.js'
import { LOGIN_STAGE, type LoginRequest } from './login-pdu.js'
import { defaultParameters, negotiate, OUR_MAX_RECV, type Parameters } from './parameters.js'
import { decodeText, encodeText, MAX_TEXT_BYTES, type TextPairs } from './text.js'

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

/** Our part of a step; `isDone` when the next thing is full feature phase. */
export interface LoginStep {
  readonly isTransit: boolean
  readonly text: Uint8Array
  readonly isDone: boolean
}

/** Looks a target up by its name. */
export type TargetLookup = (iqn: string) => TargetSpec | undefined

/**
 * The target's side of one login (RFC 7143 §6.3): security, then operational negotiation.
 * Knows no socket; the caller owns sequence numbers.
 */
export class LoginExchange {
  readonly parameters: Parameters = defaultParameters()
  initiator = ''
  /** As the initiator spelled it; '' in a discovery session. */
  targetName = ''
  /** Undefined in a discovery session. */
  target: TargetSpec | undefined
  /** InitiatorAlias was sent: open-iscsi does, iPXE does not. */
  hasAlias = false
  isDiscovery = false
  readonly #find: TargetLookup
  readonly #seen = new Set<string>()
  #text: Buffer = Buffer.alloc(0)
  #isNamed = false
  #isAuthenticated = false
  #isChapChosen = false
  #challenge: ChapChallenge | undefined
  #hasDeclared = false
  #stage: number = LOGIN_STAGE.SECURITY

  constructor(find: TargetLookup) {
    this.#find = find
  }

  /**
   * Takes one request.
   * @throws LoginRefused when the login fails; MalformedPacket for text that is none
   */
  step(request: LoginRequest, segment: Uint8Array): LoginStep {
    if (this.#text.length + segment.length > MAX_TEXT_BYTES) {
      throw new LoginRefused(LOGIN_STATUS.INITIATOR_ERROR, 'login text is too long')
    }
    this.#text = Buffer.concat([this.#text, segment])
    if (request.isContinued) return { isTransit: false, text: new Uint8Array(0), isDone: false }
    const pairs = decodeText(this.#text)
    this.#text = Buffer.alloc(0)
    const isFirst = !this.#isNamed
    if (isFirst) this.#identify(request, pairs)
    if (request.stage < this.#stage)
      throw new LoginRefused(LOGIN_STATUS.INITIATOR_ERROR, 'login stages run backwards')
    this.#stage = request.stage
    const answers: [string, string][] = []
    if (isFirst && this.target !== undefined) answers.push(['TargetPortalGroupTag', '1'])
    if (request.stage === LOGIN_STAGE.SECURITY) this.#security(pairs, answers)
    else this.#operational(pairs, answers)
    const isTransit = request.isTransit && this.#mayLeave(request.nextStage)
    if (isTransit) this.#stage = request.nextStage
    return { isTransit, text: encodeText(answers), isDone: this.#stage === LOGIN_STAGE.FULL_FEATURE }
  }

  #identify(request: LoginRequest, pairs: TextPairs): void {
    const keys = new Map(pairs)
    this.#isNamed = true
    this.initiator = parseIscsiName(keys.get('InitiatorName') ?? '') ?? ''
    this.targetName = keys.get('TargetName') ?? ''
    this.hasAlias = keys.has('InitiatorAlias')
    if (request.versionMin > 0) throw new LoginRefused(LOGIN_STATUS.UNSUPPORTED_VERSION, 'protocol version')
    if (request.tsih !== 0) throw new LoginRefused(LOGIN_STATUS.NO_SUCH_SESSION, 'one connection a session')
    this.#checkInitiator(keys)
    const type = keys.get('SessionType') ?? 'Normal'
    this.isDiscovery = type === 'Discovery'
    if (this.isDiscovery) return
    if (type !== 'Normal') throw new LoginRefused(LOGIN_STATUS.SESSION_TYPE_NOT_SUPPORTED, 'session type')
    this.#findTarget()
  }

  #checkInitiator(keys: ReadonlyMap<string, string>): void {
    if (!keys.has('InitiatorName')) {
      throw new LoginRefused(LOGIN_STATUS.MISSING_PARAMETER, 'InitiatorName is missing')
    }
    if (this.initiator === '') {
      throw new LoginRefused(LOGIN_STATUS.INITIATOR_ERROR, 'InitiatorName is no iSCSI name')
    }
  }

  #findTarget(): void {
    if (this.targetName === '')
      throw new LoginRefused(LOGIN_STATUS.MISSING_PARAMETER, 'TargetName is missing')
    const target = this.#find(this.targetName.toLowerCase())
    if (target === undefined) throw new LoginRefused(LOGIN_STATUS.NOT_FOUND, 'no target of that name')
    if (target.initiatorIqn.toLowerCase() !== this.initiator) {
      throw new LoginRefused(
        LOGIN_STATUS.NOT_AUTHORIZED,
        'the initiator name is not the one bound to the target',
      )
    }
    this.target = target
  }

  #security(pairs: TextPairs, answers: [string, string][]): void {
    const keys = new Map(pairs)
    const methods = keys.get('AuthMethod')?.split(',')
    if (methods !== undefined) answers.push(['AuthMethod', this.#chooseMethod(methods)])
    if (keys.has('CHAP_A')) this.#sendChallenge(keys.get('CHAP_A') ?? '', answers)
    if (keys.has('CHAP_R')) this.#checkResponse(keys)
    for (const [key, value] of pairs) this.#aside(key, value, answers)
  }

  /** Declarative keys may come in either stage; nothing else is negotiated during security (§6.3.2). */
  #aside(key: string, value: string, answers: [string, string][]): void {
    if (key === 'AuthMethod' || key.startsWith('CHAP_')) return
    const answer = negotiate(key, value, this.parameters)
    if (answer !== undefined) answers.push([key, answer])
  }

  #chooseMethod(methods: readonly string[]): string {
    const wanted = this.target?.chap === undefined ? 'None' : 'CHAP'
    if (!methods.includes(wanted)) {
      throw new LoginRefused(
        LOGIN_STATUS.AUTHENTICATION_FAILED,
        `the initiator does not offer AuthMethod ${wanted}`,
      )
    }
    this.#isChapChosen = wanted === 'CHAP'
    return wanted
  }

  #sendChallenge(algorithms: string, answers: [string, string][]): void {
    if (!this.#isChapChosen || !algorithms.split(',').includes(CHAP_MD5)) {
      throw new LoginRefused(LOGIN_STATUS.AUTHENTICATION_FAILED, 'no common CHAP algorithm')
    }
    this.#challenge = new ChapChallenge()
    answers.push(['CHAP_A', CHAP_MD5], ...this.#challenge.pairs)
  }

  #checkResponse(keys: ReadonlyMap<string, string>): void {
    const chap = this.target?.chap
    const challenge = this.#challenge
    this.#challenge = undefined // good for one answer
    if (chap === undefined || challenge === undefined) {
      throw new LoginRefused(LOGIN_STATUS.AUTHENTICATION_FAILED, 'CHAP answer without a challenge')
    }
    const isNameRight = keys.get('CHAP_N') === chap.user
    const isProven = challenge.accepts(keys.get('CHAP_R') ?? '', chap.secret)
    if (!isNameRight) throw new LoginRefused(LOGIN_STATUS.AUTHENTICATION_FAILED, 'CHAP user name')
    if (!isProven) throw new LoginRefused(LOGIN_STATUS.AUTHENTICATION_FAILED, 'CHAP secret')
    if (keys.has('CHAP_C')) {
      throw new LoginRefused(
        LOGIN_STATUS.AUTHENTICATION_FAILED,
        'mutual CHAP is asked for and not configured',
      )
    }
    this.#isAuthenticated = true
  }

  #operational(pairs: TextPairs, answers: [string, string][]): void {
    this.#requireAuthentication()
    for (const [key, value] of pairs) {
      if (this.#seen.has(key))
        throw new LoginRefused(LOGIN_STATUS.INITIATOR_ERROR, `${key} is negotiated twice`)
      this.#seen.add(key)
      this.#aside(key, value, answers)
    }
    if (this.#hasDeclared) return
    this.#hasDeclared = true
    this.parameters.maxRecvDataSegmentLength = OUR_MAX_RECV
    answers.push(['MaxRecvDataSegmentLength', String(OUR_MAX_RECV)])
  }

  #requireAuthentication(): void {
    if (this.target?.chap === undefined || this.#isAuthenticated) return
    throw new LoginRefused(LOGIN_STATUS.AUTHENTICATION_FAILED, 'CHAP was not done')
  }

  #mayLeave(nextStage: number): boolean {
    const isWaiting = this.target?.chap !== undefined && !this.#isAuthenticated
    if (isWaiting && !this.#isChapChosen) this.#requireAuthentication()
    if (isWaiting) return false
    const { parameters } = this
    parameters.firstBurstLength = Math.min(parameters.firstBurstLength, parameters.maxBurstLength)
    return nextStage > this.#stage
  }
}

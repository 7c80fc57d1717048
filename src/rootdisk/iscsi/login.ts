import { parseIscsiName } from '../../wire/iqn.js'
import type { TargetSpec } from '../export.js'
import { ChapLogin, type IssuedChallenges } from './chap-login.js'
import { LOGIN_STATUS, LoginRefused } from './login-refused.js'
import { LOGIN_STAGE, type LoginRequest } from './login-pdu.js'
import { defaultParameters, negotiate, OUR_MAX_RECV, type Parameters } from './parameters.js'
import { decodeText, encodeText, MAX_TEXT_BYTES, type TextPairs } from './text.js'

/** What every initiator takes in one PDU until its login is done (RFC 7143 §13.12). */
const MAX_RESPONSE_TEXT_BYTES = 8192

/** Our part of a step; `isDone` when the next thing is full feature phase. */
export interface LoginStep {
  readonly isTransit: boolean
  /** The text goes on in the next response. */
  readonly isContinued: boolean
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
  readonly #issued: IssuedChallenges
  readonly #seen = new Set<string>()
  #text: Buffer = Buffer.alloc(0)
  #unsent: Buffer = Buffer.alloc(0)
  #isNamed = false
  /** Undefined until the initiator has chosen CHAP. */
  #chap: ChapLogin | undefined
  #hasDeclared = false
  #stage: number = LOGIN_STAGE.SECURITY

  constructor(find: TargetLookup, issued: IssuedChallenges) {
    this.#find = find
    this.#issued = issued
  }

  /**
   * Takes one request.
   * @throws LoginRefused when the login fails; MalformedPacket for text that is none
   */
  step(request: LoginRequest, segment: Uint8Array): LoginStep {
    if (this.#unsent.length === 0) this.#take(request, segment)
    else if (segment.length > 0) {
      throw new LoginRefused(LOGIN_STATUS.INITIATOR_ERROR, 'text before ours has ended')
    }
    const text = this.#unsent.subarray(0, MAX_RESPONSE_TEXT_BYTES)
    this.#unsent = this.#unsent.subarray(text.length)
    const isContinued = this.#unsent.length > 0
    const isTransit = request.isTransit && !isContinued && this.#mayLeave(request.nextStage)
    if (isTransit) this.#stage = request.nextStage
    return { isTransit, isContinued, text, isDone: this.#stage === LOGIN_STAGE.FULL_FEATURE }
  }

  #take(request: LoginRequest, segment: Uint8Array): void {
    if (this.#text.length + segment.length > MAX_TEXT_BYTES) {
      throw new LoginRefused(LOGIN_STATUS.INITIATOR_ERROR, 'login text is too long')
    }
    this.#text = Buffer.concat([this.#text, segment])
    if (request.isContinued) return
    const pairs = decodeText(this.#text)
    this.#text = Buffer.alloc(0)
    this.#unsent = encodeText(this.#answer(request, pairs))
  }

  #answer(request: LoginRequest, pairs: TextPairs): [string, string][] {
    const isFirst = !this.#isNamed
    if (isFirst) this.#identify(request, pairs)
    if (request.stage < this.#stage)
      throw new LoginRefused(LOGIN_STATUS.INITIATOR_ERROR, 'login stages run backwards')
    this.#stage = request.stage
    const answers: [string, string][] = []
    if (isFirst && this.target !== undefined) answers.push(['TargetPortalGroupTag', '1'])
    if (request.stage === LOGIN_STAGE.SECURITY) this.#security(pairs, answers)
    else this.#operational(pairs, answers)
    return answers
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
    const hasChap = pairs.some(([key]) => key.startsWith('CHAP_'))
    if (hasChap && this.#chap === undefined) {
      throw new LoginRefused(LOGIN_STATUS.AUTHENTICATION_FAILED, 'CHAP without AuthMethod')
    }
    this.#chap?.step(keys, answers)
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
    if (this.target?.chap !== undefined) this.#chap ??= new ChapLogin(this.target, this.#issued)
    return wanted
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
    if (this.target?.chap === undefined || this.#chap?.isDone === true) return
    throw new LoginRefused(LOGIN_STATUS.AUTHENTICATION_FAILED, 'CHAP was not done')
  }

  #mayLeave(nextStage: number): boolean {
    if (this.#chap?.isDone === false) return false // its proof is still to come
    this.#requireAuthentication()
    const { parameters } = this
    parameters.firstBurstLength = Math.min(parameters.firstBurstLength, parameters.maxBurstLength)
    return nextStage > this.#stage
  }
}

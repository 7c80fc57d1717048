import type { TargetSpec } from '../export.js'
import { CHAP_MD5, ChapChallenge, chapResponse, parseBinary } from './chap.js'
import { LOGIN_STATUS, LoginRefused } from './login-refused.js'

/** Issued challenges that are remembered; a login has 15 seconds. */
const REMEMBERED = 4096

/** Challenges that this portal has issued of late: nobody may have us answer one of them (RFC 7143 §9.2.1). */
export class IssuedChallenges {
  readonly #issued = new Set<string>()

  add(challenge: Uint8Array): void {
    this.#issued.add(Buffer.from(challenge).toString('hex'))
    const [oldest] = this.#issued
    if (this.#issued.size > REMEMBERED && oldest !== undefined) this.#issued.delete(oldest)
  }

  has(challenge: Uint8Array): boolean {
    return this.#issued.has(Buffer.from(challenge).toString('hex'))
  }
}

type Answers = [string, string][]

/** The CHAP part of one login: the initiator proves itself, and the target too if asked (RFC 7143 §12.1.3). */
export class ChapLogin {
  isDone = false
  readonly #target: TargetSpec
  readonly #issued: IssuedChallenges
  #challenge: ChapChallenge | undefined

  constructor(target: TargetSpec, issued: IssuedChallenges) {
    this.#target = target
    this.#issued = issued
  }

  /**
   * Takes the CHAP keys of one request.
   * @throws LoginRefused naming the check that failed
   */
  step(keys: ReadonlyMap<string, string>, answers: Answers): void {
    const [algorithms, response] = [keys.get('CHAP_A'), keys.get('CHAP_R')]
    if (algorithms !== undefined) this.#sendChallenge(algorithms, answers)
    if (response !== undefined) this.#checkInitiator(keys, response)
    if (keys.has('CHAP_C')) this.#proveTarget(keys, answers)
  }

  #sendChallenge(algorithms: string, answers: Answers): void {
    const { chap, mutual } = this.#target
    if (!algorithms.split(',').includes(CHAP_MD5)) throw refused('no common CHAP algorithm')
    if (mutual !== undefined && mutual.secret === chap?.secret) {
      throw refused('the CHAP secrets of both directions are the same')
    }
    this.#challenge = new ChapChallenge()
    this.#issued.add(this.#challenge.bytes)
    answers.push(['CHAP_A', CHAP_MD5], ...this.#challenge.pairs)
  }

  #checkInitiator(keys: ReadonlyMap<string, string>, response: string): void {
    const { chap, mutual } = this.#target
    const challenge = this.#challenge
    this.#challenge = undefined // good for one answer
    if (chap === undefined || challenge === undefined) throw refused('CHAP answer without a challenge')
    const isNameRight = keys.get('CHAP_N') === chap.user
    const isProven = challenge.accepts(response, chap.secret)
    if (!isNameRight) throw refused('CHAP user name')
    if (!isProven && mutual !== undefined && challenge.accepts(response, mutual.secret)) {
      throw refused("CHAP reflection: the response was made with the target's own secret")
    }
    if (!isProven) throw refused('CHAP secret')
    this.isDone = true
  }

  /** Only an initiator that has proved itself gets an answer: nobody can have us answer for him elsewhere. */
  #proveTarget(keys: ReadonlyMap<string, string>, answers: Answers): void {
    const { mutual } = this.#target
    const [identifier, challenge] = [keys.get('CHAP_I') ?? '', parseBinary(keys.get('CHAP_C') ?? '')]
    if (!this.isDone || !keys.has('CHAP_R')) throw refused('CHAP challenge without an answer')
    if (mutual === undefined) throw refused('mutual CHAP is asked for and not configured')
    if (challenge === undefined || !/^\d{1,3}$/.test(identifier) || Number(identifier) > 255) {
      throw refused('CHAP_I or CHAP_C is none')
    }
    if (this.#issued.has(challenge)) throw refused('CHAP reflection: the challenge is one of ours')
    const proof = chapResponse(Number(identifier), mutual.secret, challenge)
    answers.push(['CHAP_N', mutual.user], ['CHAP_R', `0x${proof.toString('hex')}`])
  }
}

function refused(check: string): LoginRefused {
  return new LoginRefused(LOGIN_STATUS.AUTHENTICATION_FAILED, check)
}

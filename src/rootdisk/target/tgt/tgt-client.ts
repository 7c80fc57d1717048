import { connect } from 'node:net'
import type { Clock } from '../../../clock.js'
import { DaemonError, systemCode } from '../../../errors.js'
import {
  TGT_ERROR,
  decodeReply,
  encodeRequest,
  errorText,
  shownRequest,
  type TgtReply,
  type TgtRequest,
} from './message.js'
import { parseReads, parseTargets, type ShownTarget } from './shown.js'
import type { Step } from './plan.js'

const CALL_TIMEOUT_MS = 10_000
/** A deletion is refused while a command is under way on a unit, also when it ends the sessions. */
const BUSY_RETRIES = 50
const BUSY_PAUSE_MS = 100

/** Speaks to tgtd over its management socket, as tgtadm does. */
export class TgtClient {
  readonly #socketPath: string
  readonly #clock: Clock

  /** @param socketPath `/var/run/tgtd/socket.N`, N being tgtd's control number */
  constructor(socketPath: string, clock: Clock) {
    this.#socketPath = socketPath
    this.#clock = clock
  }

  /** Every target. @throws DaemonError TARGET_UNAVAILABLE */
  async targets(): Promise<ShownTarget[]> {
    return parseTargets(await this.#expect({ request: { mode: 'target', op: 'show' } }))
  }

  /** Bytes that each session of a target has read of each LUN. @throws DaemonError TARGET_UNAVAILABLE */
  async reads(tid: number): Promise<ReturnType<typeof parseReads>> {
    return parseReads(await this.#expect({ request: { mode: 'target', op: 'stat', tid } }))
  }

  /** Does one step after the other. @throws DaemonError TARGET_UNAVAILABLE; Error when tgtd refuses one */
  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#expect(step)
  }

  async #expect({ request, accepts }: Step): Promise<string> {
    const { error, text } = await this.#callUntilIdle(request)
    if (error === 0 || error === accepts) return text
    throw new Error(`tgtd refused ${shownRequest(request)}: ${errorText(error)}`)
  }

  async #callUntilIdle(request: TgtRequest): Promise<TgtReply> {
    let reply = await this.#call(request)
    for (let i = 0; reply.error === TGT_ERROR.unitActive && i < BUSY_RETRIES; i++) {
      await new Promise<void>((resolve) => void this.#clock.after(BUSY_PAUSE_MS, resolve))
      reply = await this.#call(request)
    }
    return reply
  }

  #call(request: TgtRequest): Promise<TgtReply> {
    return new Promise((resolve, reject) => {
      const fail = (cause: unknown): void => {
        socket.destroy()
        reject(unavailable(this.#socketPath, cause))
      }
      let bytes = Buffer.alloc(0)
      const socket = connect(this.#socketPath, () => socket.write(encodeRequest(request)))
      socket.setTimeout(CALL_TIMEOUT_MS, () => fail(new Error('timed out')))
      socket.on('error', fail)
      socket.on('close', () => fail(new Error('closed before its answer')))
      socket.on('data', (chunk) => {
        bytes = Buffer.concat([bytes, chunk])
        try {
          const reply = decodeReply(bytes)
          if (reply === undefined) return
          resolve(reply)
          socket.destroy()
        } catch (err) {
          fail(err)
        }
      })
    })
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such socket',
  ECONNREFUSED: 'nobody listens',
  EACCES: 'only root may speak to it',
  ECONNRESET: 'it hung up, as it does on all but root',
}

function unavailable(socketPath: string, cause: unknown): DaemonError {
  const reason = REASONS[systemCode(cause) ?? ''] ?? (cause instanceof Error ? cause.message : String(cause))
  return new DaemonError('TARGET_UNAVAILABLE', `tgtd does not answer at ${socketPath}: ${reason}`, { cause })
}

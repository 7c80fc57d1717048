import { request } from 'node:http'
import { DaemonError } from '../errors.js'
import type { DaemonEvent } from '../events.js'

const CALL_TIMEOUT_MS = 30_000

/** An event of the target process; `seq` grows, over its restarts too. */
export interface TargetEvent {
  readonly seq: number
  readonly atMs: number
  readonly event: DaemonEvent
}

/** Speaks to `ingot-targetd` over its control socket. */
export class TargetClient {
  readonly #socketPath: string

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  /** Who is there. @throws DaemonError TARGET_UNAVAILABLE */
  status(): Promise<{ sessions: readonly unknown[] }> {
    return this.#call('GET', '/status')
  }

  /** Makes it read its exports again. @throws DaemonError TARGET_UNAVAILABLE */
  async reload(): Promise<void> {
    await this.#call('POST', '/reload')
  }

  /** Events after `seq`, which lets go of those up to it; waits some seconds for the first. @throws DaemonError TARGET_UNAVAILABLE */
  async events(seq: number, signal: AbortSignal): Promise<readonly TargetEvent[]> {
    const { events } = await this.#call<{ events: readonly TargetEvent[] }>(
      'GET',
      `/events?after=${seq}`,
      signal,
    )
    return events
  }

  #call<T>(method: string, path: string, signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (cause: Error): void =>
        reject(
          new DaemonError('TARGET_UNAVAILABLE', `ingot-targetd does not answer (${cause.message})`, {
            cause,
          }),
        )
      const options = {
        socketPath: this.#socketPath,
        method,
        path,
        timeout: CALL_TIMEOUT_MS,
        ...(signal && { signal }),
      }
      const call = request(options, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('error', fail)
        response.on('end', () => {
          if (response.statusCode === 200)
            resolve(JSON.parse(text) as T) // our own process, our own routes
          else fail(new Error(`status ${response.statusCode ?? 0}: ${text}`))
        })
      })
      call.on('timeout', () => call.destroy(new Error('timed out')))
      call.on('error', fail)
      call.end()
    })
  }
}

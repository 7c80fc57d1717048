import { request } from 'node:http'
import {
  expectEmbedded,
  type DriverName,
  type Followed,
  type TargetDriver,
  type TargetSession,
} from '../rootdisk/target/driver.js'
import { DaemonError, ERROR, type ErrorCode } from '../errors.js'
import type { DaemonEvent } from '../events.js'
import type { MergeState } from './layer-merger.js'
import type { TargetUse } from './snapshots.js'

const CALL_TIMEOUT_MS = 30_000
/** A reload may flush disks: it ends when a slow one has. */
const RELOAD_TIMEOUT_MS = 300_000

/** An event of the target process; `seq` grows, over its restarts too. */
export interface TargetEvent {
  readonly seq: number
  readonly atMs: number
  readonly event: DaemonEvent
}

/** A part of a volume's map: which layer shows what; zeros have none. */
export interface VolumeMapPart {
  readonly extents: readonly { readonly offset: number; readonly length: number; readonly layerId?: string }[]
  /** Where the next part begins; absent at the end. */
  readonly nextOffset?: number
}

interface Call {
  readonly method: string
  readonly path: string
  readonly body?: object
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

/** Speaks to `ingot-targetd` over its control socket. */
export class TargetClient implements TargetDriver {
  readonly #socketPath: string
  readonly #driver: DriverName

  /** @param driver with another than `embedded` every call is refused (UNSUPPORTED) */
  constructor(socketPath: string, driver: DriverName = 'embedded') {
    this.#socketPath = socketPath
    this.#driver = driver
  }

  /** Who is there, and which volumes are open. @throws DaemonError TARGET_UNAVAILABLE */
  status(): Promise<TargetUse> {
    return this.#call({ method: 'GET', path: '/status' })
  }

  /** Who is logged in. @throws DaemonError TARGET_UNAVAILABLE */
  async sessions(): Promise<readonly TargetSession[]> {
    const call = { method: 'GET', path: '/status' }
    return (await this.#call<{ sessions: readonly TargetSession[] }>(call)).sessions
  }

  /** Makes it follow the registry. @throws DaemonError TARGET_UNAVAILABLE */
  async reload(): Promise<Followed> {
    const call = { method: 'POST', path: '/reload', timeoutMs: RELOAD_TIMEOUT_MS }
    return (await this.#call<{ volumes: Followed }>(call)).volumes
  }

  /**
   * Begins or goes on with a merge of layers (top first), and tells how far it is: ask until it is done.
   * @throws DaemonError TARGET_UNAVAILABLE, DISK_FAILED
   */
  mergeLayers(volumeId: string, layerIds: readonly string[]): Promise<MergeState> {
    return this.#call({ method: 'POST', path: `/volumes/${volumeId}/merge`, body: { layerIds } })
  }

  /** Which layer shows which part of a volume, from `offset` on. @throws DaemonError TARGET_UNAVAILABLE, DISK_FAILED */
  map(volumeId: string, offset: number): Promise<VolumeMapPart> {
    return this.#call({ method: 'GET', path: `/volumes/${volumeId}/map?offset=${offset}` })
  }

  /** Serves a volume over NBD. @throws DaemonError TARGET_UNAVAILABLE, WRONG_STATE, INVALID_INPUT, STATE_LOCKED, DISK_FAILED */
  async beginNbd(volumeId: string, share: { socketPath: string; isWritable: boolean }): Promise<void> {
    await this.#call({ method: 'POST', path: `/volumes/${volumeId}/nbd`, body: share })
  }

  /** Ends that; whether there was such an export. @throws DaemonError TARGET_UNAVAILABLE */
  async endNbd(volumeId: string): Promise<boolean> {
    const call = { method: 'DELETE', path: `/volumes/${volumeId}/nbd` }
    return (await this.#call<{ wasThere: boolean }>(call)).wasThere
  }

  /** Events after `seq`, which lets go of those up to it; waits some seconds for the first. @throws DaemonError TARGET_UNAVAILABLE */
  async events(seq: number, signal: AbortSignal): Promise<readonly TargetEvent[]> {
    const call = { method: 'GET', path: `/events?after=${seq}`, signal }
    return (await this.#call<{ events: readonly TargetEvent[] }>(call)).events
  }

  async #call<T>({ method, path, body, signal, timeoutMs = CALL_TIMEOUT_MS }: Call): Promise<T> {
    expectEmbedded(this.#driver, 'this')
    const payload = body === undefined ? undefined : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const fail = (cause: Error): void => reject(unavailable(cause))
      const options = {
        socketPath: this.#socketPath,
        method,
        path,
        timeout: timeoutMs,
        ...(signal && { signal }),
        ...(payload !== undefined && { headers: { 'content-type': 'application/json' } }),
      }
      const call = request(options, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('error', fail)
        response.on('end', () => {
          if (response.statusCode === 200)
            resolve(JSON.parse(text) as T) // our own process, our own routes
          else
            reject(refusalOf(text) ?? unavailable(new Error(`status ${response.statusCode ?? 0}: ${text}`)))
        })
      })
      call.on('timeout', () => call.destroy(new Error('timed out')))
      call.on('error', fail)
      call.end(payload)
    })
  }
}

function unavailable(cause: Error): DaemonError {
  return new DaemonError('TARGET_UNAVAILABLE', `ingot-targetd does not answer (${cause.message})`, { cause })
}

/** What the target process refused, in its own words. */
function refusalOf(text: string): DaemonError | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: { code?: string; message?: string } } // its error-reply.ts
    if (error?.code === undefined || !(error.code in ERROR)) return undefined
    return new DaemonError(error.code as ErrorCode, error.message ?? '')
  } catch {
    return undefined
  }
}

import { open } from 'node:fs/promises'
import type { Clock } from '../../clock.js'
import { DaemonError, systemCode } from '../../errors.js'

/** Time limits of a conversation with a BMC. */
export interface RedfishTiming {
  /** For one request and its answer. */
  readonly requestMs: number
  /** Tries of one request, and the pause between them. */
  readonly tries: number
  readonly retryPauseMs: number
  /** How long the BMC may take to do what it accepted, asked every `pollMs`. */
  readonly settleMs: number
  readonly pollMs: number
  /** The same for an operating system that is asked to end. */
  readonly shutdownMs: number
}

/** A BMC answers in 1 s, some in 10; servers take seconds to change power; Windows takes minutes to end. */
export const DEFAULT_TIMING: RedfishTiming = {
  requestMs: 15_000,
  tries: 3,
  retryPauseMs: 1000,
  settleMs: 60_000,
  pollMs: 1000,
  shutdownMs: 300_000,
}

/** Who is spoken to. */
export interface RedfishPeer {
  readonly machineName: string
  /** The System's URL, `redfish:` or `redfish+https:`. */
  readonly url: string
  readonly credentialsFile: string
  readonly clock: Clock
  readonly timing: Partial<RedfishTiming>
}

/** One request. */
export interface RedfishCall {
  readonly method: 'GET' | 'PATCH' | 'POST'
  /** A link as the BMC gave it; without it, the System's own URL. */
  readonly link?: string
  readonly body?: object
  readonly ifMatch?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** A JSON answer; an empty one is `{}`. */
export interface RedfishAnswer {
  readonly json: Record<string, unknown>
  readonly etag: string | undefined
}

const ANSWER_LIMIT_BYTES = 1 << 20
const SAID_LIMIT = 200
const CREDENTIALS_LIMIT_BYTES = 1024
const OTHERS_MAY_READ = 0o004

/** A failure that left nothing done, so that the request may be sent again. */
class TryAgain extends Error {}

/** HTTP with one BMC: Basic authentication, limits, bounded retries, errors as sentences without secrets. */
export class RedfishSession {
  readonly timing: RedfishTiming
  readonly #peer: RedfishPeer
  readonly #systemUrl: URL

  /** @throws DaemonError INVALID_INPUT when the URL is none of a System. */
  constructor(peer: RedfishPeer) {
    this.#peer = peer
    this.timing = { ...DEFAULT_TIMING, ...peer.timing }
    this.#systemUrl = systemUrl(peer)
  }

  /** Sends a request, again where that is harmless. @throws DaemonError POWER_FAILED */
  async call(call: RedfishCall): Promise<RedfishAnswer> {
    const authorization = await this.#authorization()
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#send(call, authorization)
      } catch (err) {
        if (!(err instanceof TryAgain)) throw err
        if (attempt >= this.timing.tries) throw this.failure(err.message, err.cause)
      }
      await this.pause(this.timing.retryPauseMs, call.signal)
    }
  }

  /** Waits; rejects when `signal` is aborted. */
  pause(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const timer = this.#peer.clock.after(ms, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      const onAbort = (): void => {
        timer.cancel()
        reject(this.failure('the wait was given up', signal?.reason))
      }
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** POWER_FAILED naming the machine and its BMC. */
  failure(what: string, cause?: unknown): DaemonError {
    const { machineName } = this.#peer
    return new DaemonError('POWER_FAILED', `machine ${machineName}: BMC ${this.#systemUrl.host}: ${what}`, {
      cause,
    })
  }

  async #send(call: RedfishCall, authorization: string): Promise<RedfishAnswer> {
    const url = this.#resolve(call.link)
    const limit = AbortSignal.timeout(this.timing.requestMs)
    const signal = call.signal === undefined ? limit : AbortSignal.any([limit, call.signal])
    const headers: Record<string, string> = {
      authorization,
      accept: 'application/json',
      'odata-version': '4.0',
    }
    if (call.body !== undefined) headers['content-type'] = 'application/json'
    if (call.ifMatch !== undefined) headers['if-match'] = call.ifMatch
    const body = call.body === undefined ? null : JSON.stringify(call.body)
    try {
      const response = await fetch(url.href, {
        method: call.method,
        headers,
        body,
        signal,
        redirect: 'manual',
      })
      return this.#read(response, await limitedText(response), call)
    } catch (err) {
      if (err instanceof DaemonError || err instanceof TryAgain) throw err
      if (call.signal?.aborted === true) throw this.failure('the request was given up', err)
      throw this.#unreached(err, call)
    }
  }

  #read(response: Response, text: string, call: RedfishCall): RedfishAnswer {
    const { status } = response
    if (status === 401 || status === 403)
      throw this.failure(`refused the credentials in ${this.#peer.credentialsFile} (${status})`)
    const said = `answered ${status} to ${call.method} ${call.link ?? this.#systemUrl.pathname}${whatItSaid(text)}`
    if (isHarmlessAgain(status, call.method)) throw new TryAgain(said)
    if (!response.ok) throw this.failure(said)
    const json = parseObject(text)
    if (json === undefined) throw this.failure(`answered ${call.method} with what is not a JSON object`)
    return { json, etag: response.headers.get('etag') ?? undefined }
  }

  /** A POST that may have arrived is not sent again: two resets are not one. */
  #unreached(err: unknown, { method }: RedfishCall): Error {
    const cause = err instanceof Error && err.cause instanceof Error ? err.cause : err
    const isTimeout = err instanceof Error && err.name === 'TimeoutError'
    const reason = isTimeout
      ? `no answer in ${this.timing.requestMs} ms`
      : (systemCode(cause) ?? 'connection failed')
    const isHarmless = method !== 'POST' || systemCode(cause) === 'ECONNREFUSED'
    const what = `${method} failed: ${reason}`
    return isHarmless ? new TryAgain(what, { cause: err }) : this.failure(what, err)
  }

  /** Links stay on the BMC: another host would be handed its password. */
  #resolve(link: string | undefined): URL {
    if (link === undefined) return this.#systemUrl
    const url = URL.canParse(link, this.#systemUrl.href) ? new URL(link, this.#systemUrl) : undefined
    if (url?.origin !== this.#systemUrl.origin) throw this.failure('sent a link that leads away from it')
    return url
  }

  /** Read each time, so that a changed password needs no restart. */
  async #authorization(): Promise<string> {
    const { credentialsFile } = this.#peer
    const text = await readSecret(credentialsFile).catch((err: unknown) => {
      throw this.failure(`cannot read ${credentialsFile} (${systemCode(err) ?? 'unreadable'})`, err)
    })
    if (text === undefined)
      throw this.failure(`${credentialsFile} is readable by everybody: chmod 0600 it and change the password`)
    const credentials = text.trim()
    if (!credentials.includes(':')) throw this.failure(`${credentialsFile}: expected user:password`)
    return `Basic ${Buffer.from(credentials).toString('base64')}`
  }
}

/** 503 is overload: nothing was done (RFC 9110 section 15.6.4). */
function isHarmlessAgain(status: number, method: RedfishCall['method']): boolean {
  return status === 503 || (status >= 500 && method === 'GET')
}

function systemUrl({ machineName, url }: RedfishPeer): URL {
  const http = url.replace(/^redfish\+https:/, 'https:').replace(/^redfish:/, 'http:')
  const isRedfish = http !== url && URL.canParse(http)
  const parsed = isRedfish ? new URL(http) : undefined
  if (parsed === undefined || parsed.pathname === '/')
    throw new DaemonError(
      'INVALID_INPUT',
      `machine ${machineName}: bmcUrl: expected redfish://HOST:PORT/redfish/v1/Systems/ID or redfish+https://...`,
    )
  if (parsed.username !== '' || parsed.password !== '')
    throw new DaemonError(
      'INVALID_INPUT',
      `machine ${machineName}: bmcUrl: the password belongs in bmcCredentialsFile`,
    )
  return parsed
}

/** The file's text, or undefined when others may read it. */
async function readSecret(path: string): Promise<string | undefined> {
  const file = await open(path, 'r')
  try {
    const { mode } = await file.stat()
    if ((mode & OTHERS_MAY_READ) !== 0) return undefined
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(CREDENTIALS_LIMIT_BYTES),
      0,
      CREDENTIALS_LIMIT_BYTES,
      0,
    )
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

async function limitedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > ANSWER_LIMIT_BYTES) throw new Error('the answer is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseObject(text: string): Record<string, unknown> | undefined {
  if (text.trim() === '') return {}
  try {
    return asRecord(JSON.parse(text))
  } catch {
    return undefined
  }
}

/** The BMC's own words, if it sent a Redfish error (DSP0266 section 8.6): first extended message, else the summary. */
function whatItSaid(text: string): string {
  const error = asRecord(parseObject(text)?.['error'])
  const extended = error?.['@Message.ExtendedInfo']
  const first: unknown = Array.isArray(extended) ? extended[0] : undefined
  const said = asRecord(first)?.['Message'] ?? error?.['message']
  if (typeof said !== 'string') return ''

  return `: ${said.replace(/[\u0000-\u001f\u007f]+/g, ' ').slice(0, SAID_LIMIT)}`
}

/** `value` if it can be looked into by key. */
export function asRecord(value: unknown): Record<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return value as Record<string, unknown> // any object may be looked into
}

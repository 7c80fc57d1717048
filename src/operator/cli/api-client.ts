import { request } from 'node:http'

/** The daemon's refusal, or the reason why it could not be asked. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
}

/** Speaks JSON to the daemon's Unix socket. */
export class ApiClient {
  readonly #socketPath: string

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  /** The decoded body of `method path`. @throws ApiError with the daemon's sentence */
  async call<T>(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<T> {
    const { status, text } = await this.#send(method, path, body)
    if (status >= 200 && status < 300) return (text === '' ? undefined : JSON.parse(text)) as T // the API's own schema
    throw new ApiError(messageOf(text) ?? `the daemon answered ${status}`)
  }

  #send(method: string, path: string, body: unknown): Promise<{ status: number; text: string }> {
    const payload = body === undefined ? undefined : JSON.stringify(body)
    const headers = payload === undefined ? {} : { 'content-type': 'application/json' }
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.#socketPath, method, path, headers }, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
        response.on('error', reject)
      })
      call.on('error', (err) =>
        reject(new ApiError(`ingotd does not answer on ${this.#socketPath} (${err.message})`)),
      )
      call.end(payload)
    })
  }
}

function messageOf(text: string): string | undefined {
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body !== 'object' || body === null || !('error' in body)) return undefined
    const { error } = body
    if (typeof error !== 'object' || error === null || !('message' in error)) return undefined
    return String(error.message)
  } catch {
    return undefined // not JSON: the status says enough
  }
}

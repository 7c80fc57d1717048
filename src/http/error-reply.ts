import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { DaemonError } from '../errors.js'

/** The body of every refusal: a stable code from the ERROR table and one sentence. */
export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string }
}

/** The {@link ErrorBody} of `code` and `message`. */
export function errorBody(code: string, message: string): ErrorBody {
  return { error: { code, message } }
}

/**
 * Turns what a route threw into a reply: a `DaemonError` by its table row, a request the HTTP layer refused (bad
 * JSON, too large) by its own 4xx status, anything else as a 500 that tells the log everything and the peer nothing.
 */
export function replyToError(log: Logger, err: unknown, request: FastifyRequest, reply: FastifyReply): void {
  if (err instanceof DaemonError) {
    void reply.code(err.status).send(errorBody(err.code, err.message))
    return
  }
  const status = clientErrorStatus(err)
  if (status !== undefined) {
    void reply
      .code(status)
      .send(errorBody('INVALID_INPUT', err instanceof Error ? err.message : 'bad request'))
    return
  }
  log.error({ err, method: request.method, route: request.routeOptions.url }, 'request failed')
  void reply.code(500).send(errorBody('INTERNAL', 'internal error, see the log of the daemon'))
}

/** The complete response to bytes that are no HTTP request (RFC 9112 §3, `431` for oversized headers). */
export function rawErrorResponse(status: number): string {
  const phrase = STATUS_CODES[status] ?? 'Error'
  const body = JSON.stringify(errorBody('INVALID_INPUT', phrase.toLowerCase()))
  return (
    `HTTP/1.1 ${status} ${phrase}\r\nContent-Type: application/json; charset=utf-8\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  )
}

function clientErrorStatus(err: unknown): number | undefined {
  if (!isFastifyError(err)) return undefined
  if (err.validation !== undefined) return 400
  const status = err.statusCode
  return status !== undefined && status >= 400 && status < 500 ? status : undefined
}

function isFastifyError(err: unknown): err is FastifyError {
  return err instanceof Error && ('statusCode' in err || 'validation' in err)
}

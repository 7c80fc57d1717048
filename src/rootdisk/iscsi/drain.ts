import { atMost, type Clock } from '../../clock.js'
import { sendLogoutRequest } from './responses.js'
import type { Session } from './session.js'

/** A planned stop waits this long for commands under way, and for the last bytes to be taken. */
const ANSWER_MS = 500
const LAST_BYTES_MS = 200

/** A connection, as far as its good end needs it. */
export interface Leaving {
  /** Undefined before login and in discovery. */
  readonly session: Session | undefined
  readonly isKernel: boolean
  /** Resolves when the connection is closed, by whomever. */
  readonly gone: Promise<void>
  /** Queued output goes out at the end of this turn. */
  flushLater(): void
  /** Takes no further command. */
  hold(): void
  /** Closes once everything queued is sent. */
  end(): void
  /** Ends it; resolves when no device works for it. */
  close(): Promise<void>
}

/**
 * Before a planned stop: asks for a logout and waits `graceMs` milliseconds for it, lets commands under way be
 * answered, closes (RFC 7143 §11.9.1). Boot firmware is asked nothing: iPXE takes the request for an error.
 */
export async function drain(connection: Leaving, clock: Clock, graceMs: number): Promise<void> {
  const { session, isKernel, gone } = connection
  if (session !== undefined && !session.channel.isClosed) {
    if (isKernel) {
      sendLogoutRequest(session.channel, Math.max(1, Math.ceil(graceMs / 1000)))
      connection.flushLater()
      await atMost(clock, graceMs, gone)
    }
    connection.hold()
    await atMost(clock, ANSWER_MS, session.answered())
    connection.end()
    await atMost(clock, LAST_BYTES_MS, gone)
  }
  await connection.close()
}

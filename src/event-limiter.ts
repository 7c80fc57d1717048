import type { Clock } from './clock.js'
import type { DaemonEvent, EmitEvent } from './events.js'

/** How many events one source may cause. */
export interface EventLimits {
  /** The same kind from the same address: once in this time, milliseconds. */
  readonly quietMs: number
  /** Sources remembered; beyond it further sources are silent until the time is over. */
  readonly maxSources: number
}

const DEFAULT_LIMITS: EventLimits = { quietMs: 10_000, maxSources: 200 }

/**
 * `emit`, but one event of a kind per address (or MAC) and time, and a bound on all of them: for events that anybody on the
 * network can cause by sending a packet.
 */
export function limitEvents(emit: EmitEvent, clock: Clock, limits: EventLimits = DEFAULT_LIMITS): EmitEvent {
  let seen = new Set<string>()
  let periodStartMs = clock.monotonicMs()
  return (event: DaemonEvent) => {
    const nowMs = clock.monotonicMs()
    if (nowMs - periodStartMs >= limits.quietMs) {
      periodStartMs = nowMs
      seen = new Set()
    }
    const key = `${event.kind} ${event.ip ?? event.mac ?? ''} ${event.serverId ?? ''}`
    if (seen.has(key) || seen.size >= limits.maxSources) return
    seen.add(key)
    emit(event)
  }
}

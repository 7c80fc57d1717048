import { STAGES, type Stage } from '../events.js'

/** The stages one boot has reached, each with the time of its first event (epoch milliseconds). */
export type Reached = ReadonlyMap<Stage, number>

/**
 * Whether a stage event begins another boot of a server: power-on always does, and so does a firmware that asks
 * for an address after the boot in progress had fetched its script (a reset or reboot that nobody told us of).
 */
export function startsBoot(reached: Reached, stage: Stage): boolean {
  if (stage === 'powered-on') return true
  if (stage === 'dhcp') return reached.size === 0 || reached.has('script')
  return reached.size === 0
}

/** One line of a boot's timeline. */
export interface TimelineStep {
  readonly stage: Stage
  /** Epoch milliseconds of the stage's first event, undefined while it is waited for. */
  readonly atMs: number | undefined
  /** Milliseconds since the step before it that was seen. */
  readonly tookMs: number | undefined
}

/** Every stage in order with its time and what it took. */
export function timelineOf(reached: Reached): readonly TimelineStep[] {
  let previousMs: number | undefined
  return STAGES.map((stage) => {
    const atMs = reached.get(stage)
    const tookMs = atMs === undefined || previousMs === undefined ? undefined : Math.max(0, atMs - previousMs)
    previousMs = atMs ?? previousMs
    return { stage, atMs, tookMs }
  })
}

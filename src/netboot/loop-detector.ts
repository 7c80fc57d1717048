import type { Clock } from '../clock.js'

/** When giving the same thing again is a loop; milliseconds. */
export interface LoopRules {
  /** The round in which it is not given any more. */
  readonly rounds: number
  readonly windowMs: number
  /** Questions this close to a round's first are that round: retransmissions, and 67 followed by 4011. */
  readonly roundMs: number
  /** How long it is not given. */
  readonly holdMs: number
  /** Machines remembered; the one asked about longest ago is forgotten first. */
  readonly maxMachines: number
}

/** Three rounds in two minutes; a recorded loop took 46 s for three. */
export const LOOP_RULES: LoopRules = {
  rounds: 3,
  windowMs: 120_000,
  roundMs: 5_000,
  holdMs: 600_000,
  maxMachines: 20_000,
}

/** Things one machine may be given; more than the loader table has files. */
const MAX_THINGS = 32

/** `give` it; or do not: it `trips` now, or was `stopped` before. */
export type LoopVerdict = 'give' | 'trips' | 'stopped'

interface Rounds {
  startsMs: number[]
  stoppedMs: number | undefined
}

/** Knows machines that are given the same loader or script over and over, which never ends by itself. */
export class LoopDetector {
  readonly #clock: Clock
  readonly #rules: LoopRules
  readonly #machines = new Map<string, Map<string, Rounds>>()

  constructor(clock: Clock, rules: LoopRules = LOOP_RULES) {
    this.#clock = clock
    this.#rules = rules
  }

  /** Whether `machine` may be given `thing` now; counts as a round of it. */
  ask(machine: string, thing: string): LoopVerdict {
    if (this.isStopped(machine, thing)) return 'stopped'
    const nowMs = this.#clock.monotonicMs()
    const { rounds, windowMs, roundMs } = this.#rules
    const entry = this.#entry(machine, thing)
    entry.startsMs = entry.startsMs.filter((startMs) => nowMs - startMs < windowMs)
    const lastMs = entry.startsMs.at(-1)
    if (lastMs !== undefined && nowMs - lastMs < roundMs) return 'give'
    entry.startsMs.push(nowMs)
    if (entry.startsMs.length < rounds) return 'give'
    entry.stoppedMs = nowMs
    return 'trips'
  }

  /** Whether `thing` is withheld from `machine`; forgets it when its time is over. */
  isStopped(machine: string, thing: string): boolean {
    const stoppedMs = this.#machines.get(machine)?.get(thing)?.stoppedMs
    if (stoppedMs === undefined) return false
    if (this.#clock.monotonicMs() - stoppedMs < this.#rules.holdMs) return true
    this.#machines.get(machine)?.delete(thing)
    return false
  }

  /** The machine got further, or somebody wants it to boot: all of it is forgotten, but for `except`. */
  clear(machine: string, except?: string): void {
    const kept = except === undefined ? undefined : this.#machines.get(machine)?.get(except)
    this.#machines.delete(machine)
    if (except !== undefined && kept !== undefined) this.#machines.set(machine, new Map([[except, kept]]))
  }

  #entry(machine: string, thing: string): Rounds {
    const things = this.#machines.get(machine) ?? new Map<string, Rounds>()
    const entry = things.get(thing) ?? { startsMs: [], stoppedMs: undefined }
    renew(things, thing, entry, MAX_THINGS)
    renew(this.#machines, machine, things, this.#rules.maxMachines)
    return entry
  }
}

/** Puts it at the young end; the oldest goes when there are too many. */
function renew<V>(map: Map<string, V>, key: string, value: V, max: number): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= max) return
  for (const oldest of map.keys()) {
    map.delete(oldest)
    return
  }
}

import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Clock } from '../clock.js'
import type { DaemonEvent, Stage } from '../events.js'
import type { MachineRecord, ServerRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { startsBoot, type Reached } from './boots.js'

/** Rows kept in the events table. */
const KEPT_EVENTS = 100_000
const TRIM_EVERY = 1000
/** Stages that change a server, besides its history. */
const CHANGING: ReadonlySet<Stage | undefined> = new Set<Stage>(['powered-on', 'ready'])

/** Whom an event concerns, as far as the registry knows. */
interface Subject {
  readonly machine: MachineRecord | undefined
  readonly server: ServerRecord | undefined
}

/** Takes the events of every room, finds whom they concern, and keeps them as the timeline of a server's boots. */
export class EventIntake {
  readonly #registry: Registry
  readonly #clock: Clock
  readonly #log: Logger
  readonly #watchers: ((serverId: string, stage: Stage) => void)[] = []
  #sinceTrim = 0

  constructor(deps: { registry: Registry; clock: Clock; log: Logger }) {
    this.#registry = deps.registry
    this.#clock = deps.clock
    this.#log = deps.log
  }

  /**
   * Records `event`. `atMs` is when it happened, for events that come late (those of the target process).
   * A failing registry is logged, not thrown: an event must never break what it reports.
   */
  take(event: DaemonEvent, atMs: number = this.#clock.nowMs()): void {
    try {
      const record = (): void => this.#record(event, atMs)
      // A thousand machines that boot at once are thousands of events: history is not waited for.
      if (CHANGING.has(event.stage)) this.#registry.transaction(record)
      else this.#registry.transactionUnsynced(record)
    } catch (err) {
      this.#log.error({ err, event }, 'event could not be recorded')
    }
  }

  /** Has `onStage` told of every stage that a server reaches, before it is recorded. */
  watch(onStage: (serverId: string, stage: Stage) => void): void {
    this.#watchers.push(onStage)
  }

  /** The stages that the latest boot of a server has reached. */
  reached(serverId: string): Reached {
    const boot = this.#registry.boots.latest(serverId)
    return boot === undefined ? new Map() : this.#reachedBy(boot.id)
  }

  #record(event: DaemonEvent, atMs: number): void {
    const subject = this.#subjectOf(event)
    const bootId = subject.server === undefined ? undefined : this.#bootOf(subject.server, event, atMs)
    if (subject.server !== undefined && event.stage !== undefined) this.#advance(subject.server, event.stage)
    this.#registry.events.insert({
      atMs,
      kind: event.kind,
      message: event.message,
      stage: event.stage,
      machineId: subject.machine?.id ?? subject.server?.machineId,
      serverId: subject.server?.id,
      bootId,
      mac: event.mac,
      ip: event.ip,
      iqn: event.iqn,
    })
    this.#log.info(
      { kind: event.kind, server: subject.server?.name, mac: event.mac, ip: event.ip },
      event.message,
    )
    this.#trim()
  }

  #subjectOf(event: DaemonEvent): Subject {
    const { machines, servers } = this.#registry
    const machine =
      (event.mac === undefined ? undefined : machines.findByMac(event.mac)) ??
      (event.ip === undefined ? undefined : machines.findByIp(event.ip))
    const server =
      (event.serverId === undefined ? undefined : servers.get(event.serverId)) ??
      (event.iqn === undefined ? undefined : servers.findByIqn(event.iqn)) ??
      (machine === undefined ? undefined : servers.findByMachine(machine.id))
    return { machine, server }
  }

  #bootOf(server: ServerRecord, event: DaemonEvent, atMs: number): string | undefined {
    const latest = this.#registry.boots.latest(server.id)
    if (event.stage === undefined) return latest?.id
    const reached = latest === undefined ? new Map<Stage, number>() : this.#reachedBy(latest.id)
    if (latest !== undefined && !startsBoot(reached, event.stage)) return latest.id
    const boot = { id: randomUUID(), serverId: server.id, startedMs: atMs }
    this.#registry.boots.insert(boot)
    return boot.id
  }

  #advance(server: ServerRecord, stage: Stage): void {
    for (const onStage of this.#watchers) onStage(server.id, stage)
    if (stage === 'ready') this.#registry.servers.setStatus(server.id, 'ACTIVE')
  }

  #reachedBy(bootId: string): Reached {
    const reached = new Map<Stage, number>()
    for (const event of this.#registry.events.list({ bootId, limit: 10_000 })) {
      if (event.stage !== undefined && !reached.has(event.stage)) reached.set(event.stage, event.atMs)
    }
    return reached
  }

  #trim(): void {
    if (++this.#sinceTrim < TRIM_EVERY) return
    this.#sinceTrim = 0
    this.#registry.events.trim(KEPT_EVENTS)
  }
}

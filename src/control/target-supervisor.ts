import type { Logger } from 'pino'
import type { Clock } from '../clock.js'
import { startProcess, type RunningProcess } from '../command.js'
import { DaemonError } from '../errors.js'
import type { DaemonEvent } from '../events.js'
import type { Service } from '../service.js'
import type { TargetClient } from './target-client.js'

/** How often an absent target process is asked again, and how long a new one may take to answer. */
const RETRY_MS = 200
const START_TIMEOUT_MS = 15_000
/** How long a target process that serves nobody may take to end. */
const END_TIMEOUT_MS = 5000
/** A target process that dies again sooner than this is started with a pause. */
const RESPAWN_PAUSE_MS = 1000

/** How the target process is started when nobody else does. */
export interface TargetCommand {
  readonly program: string
  readonly args: readonly string[]
}

/**
 * Keeps a target process there (when it is ours to start) and carries its events into the registry.
 * The child has a session of its own and outlives us: a restart of the control plane touches no disk.
 */
export class TargetSupervisor implements Service {
  readonly name = 'target'
  readonly #client: TargetClient
  readonly #command: TargetCommand | undefined
  readonly #clock: Clock
  readonly #log: Logger
  readonly #take: (event: DaemonEvent, atMs: number) => void
  readonly #onUp: () => Promise<void>
  readonly #stopping = new AbortController()
  #child: RunningProcess | undefined
  #following: Promise<void> = Promise.resolve()

  constructor(deps: {
    client: TargetClient
    /** Undefined when the target process is somebody else's (its own unit). */
    command: TargetCommand | undefined
    clock: Clock
    log: Logger
    take: (event: DaemonEvent, atMs: number) => void
    /** Called when the target process is there, and each time that it is back. */
    onUp: () => Promise<void>
  }) {
    this.#client = deps.client
    this.#command = deps.command
    this.#clock = deps.clock
    this.#log = deps.log
    this.#take = deps.take
    this.#onUp = deps.onUp
  }

  async start(): Promise<void> {
    if (this.#command !== undefined) {
      await this.#bringUp()
      await this.#onUp()
    }
    this.#following = this.#follow(this.#command !== undefined)
  }

  /** Ends the target process only when it is ours and serves nobody. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#following
    if (this.#child === undefined) return
    const sessions = await this.#client.sessions().then(
      ({ length }) => length,
      () => 0,
    )
    if (sessions > 0)
      this.#log.warn({ pid: this.#child.pid, sessions }, 'ingot-targetd is left running: disks are in use')
    else await this.#end(this.#child)
    this.#child.unref()
  }

  /** Ends the child and waits for it, so that the registry's writer is the last to close it. */
  async #end(child: RunningProcess): Promise<void> {
    if (this.#hasEnded()) return
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGTERM')
    await Promise.race([ended, this.#pause(END_TIMEOUT_MS)])
  }

  async #bringUp(): Promise<void> {
    const deadlineMs = this.#clock.monotonicMs() + START_TIMEOUT_MS
    if (await this.#answers()) return
    this.#spawn()
    while (!(await this.#answers())) {
      if (this.#isStopping()) return
      if (this.#clock.monotonicMs() > deadlineMs || this.#hasEnded()) {
        throw new DaemonError('TARGET_UNAVAILABLE', 'ingot-targetd did not come up: its log says why')
      }
      await this.#pause(RETRY_MS)
    }
  }

  #spawn(): void {
    if (this.#command === undefined) return
    const { program, args } = this.#command
    const child = startProcess(program, args, { stdio: ['ignore', 'inherit', 'inherit'], detached: true })
    child.on('error', (err) => this.#log.error({ err }, 'ingot-targetd could not be started'))
    child.on('exit', (status, signal) =>
      this.#log.warn({ pid: child.pid, status, signal }, 'ingot-targetd ended'),
    )
    this.#child = child
  }

  async #follow(wasToldUp: boolean): Promise<void> {
    let seq = 0
    let isUp = wasToldUp
    while (!this.#isStopping()) {
      try {
        if (!isUp) await this.#onUp()
        isUp = true
        for (const { event, atMs, seq: taken } of await this.#client.events(seq, this.#stopping.signal)) {
          this.#take(event, atMs)
          seq = taken
        }
      } catch (err) {
        if (this.#isStopping()) return
        isUp = false
        await this.#recover(err)
      }
    }
  }

  async #recover(err: unknown): Promise<void> {
    this.#log.debug({ err }, 'ingot-targetd does not answer')
    try {
      if (this.#command !== undefined) await this.#bringUp()
      await this.#pause(RETRY_MS)
    } catch (cause) {
      this.#log.error({ err: cause }, 'ingot-targetd could not be brought back')
      await this.#pause(RESPAWN_PAUSE_MS)
    }
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted
  }

  #hasEnded(): boolean {
    return this.#child === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  #answers(): Promise<boolean> {
    return this.#client.status().then(
      () => true,
      () => false,
    )
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.after(ms, resolve))
  }
}

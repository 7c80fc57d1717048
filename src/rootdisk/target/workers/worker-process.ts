import type { Socket } from 'node:net'
import { atMost, type Clock } from '../../../clock.js'
import type { RunningProcess } from '../../../command.js'
import { DaemonError } from '../../../errors.js'
import type { CallFailure, FromWorker, ToWorker, Unprompted, WorkerCall, WorkerCalls } from './messages.js'

/** How long whoever needs a worker waits for one that is being started again. */
const PATIENCE_MS = 10_000
/** A worker that has not ended by then is killed: it has nothing that SIGKILL would lose. */
const STOP_LIMIT_MS = 5000
/** How often a worker is asked whether it lives, and how often in a row it may fail to answer. */
const PING_MS = 5000
const MOST_UNANSWERED = 3
/** A worker that dies this often in a minute takes its parent along. */
const MOST_DEATHS = 10
const DEATHS_WITHIN_MS = 60_000
/** Before the second start in a row, and as much more before each further one. */
const RESTART_PAUSE_MS = 200

/** What a worker process has to do with its parent. */
export interface WorkerProcessDeps {
  readonly clock: Clock
  /** Starts the process. */
  readonly begin: () => RunningProcess
  /** What is no answer. */
  readonly onMessage: (message: Unprompted) => void
  /** The process is gone, unasked; another one is started when `isLast` is false. */
  readonly onDeath: (how: string, isLast: boolean) => void
}

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (cause: Error) => void
}

/** One worker: a process, started again when it dies, that answers questions and takes sockets. */
export class WorkerProcess {
  readonly #deps: WorkerProcessDeps
  readonly #calls = new Map<number, Pending>()
  /** Sockets on their way to the process. */
  readonly #sockets = new Map<Socket, () => void>()
  readonly #waiting = new Set<() => void>()
  #child: RunningProcess | undefined
  #isUp = false
  #isStopping = false
  #unanswered = 0
  #deathsMs: number[] = []
  #lastId = 0

  constructor(deps: WorkerProcessDeps) {
    this.#deps = deps
  }

  /** Whether it serves now. */
  get isUp(): boolean {
    return this.#isUp
  }

  /** Resolves when it serves. @throws DaemonError TARGET_UNAVAILABLE */
  async start(): Promise<void> {
    this.#begin()
    await this.#serving()
  }

  /** Asks the process something. @throws DaemonError as the worker did, or TARGET_UNAVAILABLE when it is gone */
  async call<Name extends WorkerCall>(
    name: Name,
    ...args: Parameters<WorkerCalls[Name]>
  ): Promise<Awaited<ReturnType<WorkerCalls[Name]>>> {
    const child = await this.#serving()
    const id = ++this.#lastId
    const answer = new Promise<unknown>((resolve, reject) => this.#calls.set(id, { resolve, reject }))
    this.#send(child, { kind: 'call', id, name, args })
    return (await answer) as Awaited<ReturnType<WorkerCalls[Name]>> // by WorkerCalls, which the worker implements
  }

  /** Says something to the process, if it is there. */
  tell(message: ToWorker): void {
    if (this.#child !== undefined) this.#send(this.#child, message)
  }

  /** Gives a socket that is not being read away; it is closed here. @throws DaemonError TARGET_UNAVAILABLE */
  async give(message: ToWorker, socket: Socket): Promise<void> {
    const child = await this.#serving()
    const sent = new Promise<void>((resolve) => {
      this.#sockets.set(socket, resolve)
      // What the process does not get any more ends with it.
      child.send(message, socket, { keepOpen: true }, () => resolve())
    })
    await sent
    this.#sockets.delete(socket)
    socket.destroy()
  }

  /** Ends the process in good order. */
  async stop(): Promise<void> {
    this.#isStopping = true
    const child = this.#child
    if (child === undefined) return
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGTERM')
    await atMost(this.#deps.clock, STOP_LIMIT_MS, gone)
    if (this.#child === undefined) return
    child.kill('SIGKILL')
    await gone
  }

  #begin(): void {
    const child = this.#deps.begin()
    this.#child = child
    child.on('message', (message: FromWorker) => {
      // What a dead process asked for it needs no more; what it saw has happened.
      if (this.#child === child || message.kind === 'event') this.#onMessage(message)
    })
    child.on('error', () => undefined) // 'exit' follows, or the send that failed is told
    child.once('exit', (status, signal) => this.#onExit(signal ?? `status ${status ?? 0}`))
  }

  #send(child: RunningProcess, message: ToWorker): void {
    child.send(message, () => undefined) // of a process that has gone everybody is told by its exit
  }

  #onMessage(message: FromWorker): void {
    this.#unanswered = 0
    switch (message.kind) {
      case 'ready':
        this.#isUp = true
        this.#watch()
        this.#wake()
        break
      case 'pong':
        break
      case 'answer':
        this.#taken(message.id)?.resolve(message.value)
        break
      case 'failure':
        this.#taken(message.id)?.reject(asError(message.failure))
        break
      default:
        this.#deps.onMessage(message)
    }
  }

  // One that hangs would keep its servers waiting for ever. Asking again before the end gives an answer that waits in
  // the channel, because it was this process that stood still, the time to be read.
  #watch(child = this.#child): void {
    this.#deps.clock.after(PING_MS, () => {
      if (child === undefined || this.#child !== child || this.#isStopping) return
      if (this.#unanswered === MOST_UNANSWERED) {
        child.kill('SIGKILL')
        return
      }
      this.#unanswered++
      this.#send(child, { kind: 'ping' })
      this.#watch(child)
    })
  }

  #taken(id: number): Pending | undefined {
    const pending = this.#calls.get(id)
    this.#calls.delete(id)
    return pending
  }

  #onExit(how: string): void {
    this.#child = undefined
    this.#isUp = false
    for (const { reject } of this.#calls.values()) reject(unavailable(`a worker ended (${how})`))
    this.#calls.clear()
    for (const resolve of this.#sockets.values()) resolve()
    if (this.#isStopping) this.#wake()
    else this.#again(how)
  }

  #again(how: string): void {
    const { clock, onDeath } = this.#deps
    const nowMs = clock.monotonicMs()
    this.#deathsMs = [...this.#deathsMs.filter((ms) => nowMs - ms < DEATHS_WITHIN_MS), nowMs]
    const isLast = this.#deathsMs.length > MOST_DEATHS
    if (isLast) this.#isStopping = true
    onDeath(how, isLast)
    if (isLast) this.#wake()
    else
      clock.after((this.#deathsMs.length - 1) * RESTART_PAUSE_MS, () => {
        if (!this.#isStopping) this.#begin()
      })
  }

  async #serving(): Promise<RunningProcess> {
    if (!this.#isUp && !this.#isStopping) {
      let wake: () => void = () => undefined
      const up = new Promise<void>((resolve) => (wake = resolve))
      this.#waiting.add(wake)
      await atMost(this.#deps.clock, PATIENCE_MS, up)
      this.#waiting.delete(wake)
    }
    if (this.#isUp && this.#child !== undefined) return this.#child
    throw unavailable('a worker does not come up: its log says why')
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }
}

function unavailable(message: string): DaemonError {
  return new DaemonError('TARGET_UNAVAILABLE', message)
}

function asError({ code, message }: CallFailure): Error {
  return code === undefined ? new Error(message) : new DaemonError(code, message)
}

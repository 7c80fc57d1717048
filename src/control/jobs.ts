import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Clock } from '../clock.js'
import type { JobRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'

/** Progress is written to the registry at most this often. */
const PROGRESS_EVERY_MS = 500

/** What a running job is handed. */
export interface JobContext {
  readonly signal: AbortSignal
  /** @param fraction 0..1 */
  readonly progress: (fraction: number, message?: string) => void
}

/** Runs long work as jobs in the registry: seen while it runs, and never half-done after a crash. */
export class Jobs {
  readonly #registry: Registry
  readonly #clock: Clock
  readonly #log: Logger
  readonly #stopping = new AbortController()
  readonly #running = new Set<Promise<void>>()

  constructor(deps: { registry: Registry; clock: Clock; log: Logger }) {
    this.#registry = deps.registry
    this.#clock = deps.clock
    this.#log = deps.log
  }

  /** Starts `work` and returns its job at once. A thrown error becomes status FAIL with the error's sentence. */
  start(kind: string, subject: string, work: (context: JobContext) => Promise<void>): JobRecord {
    const job: JobRecord = {
      id: randomUUID(),
      kind,
      status: 'RUNNING',
      subject,
      progress: 0,
      message: '',
      createdMs: this.#clock.nowMs(),
      endedMs: undefined,
    }
    this.#registry.jobs.insert(job)
    const run = this.#run(job, work).finally(() => this.#running.delete(run))
    this.#running.add(run)
    return job
  }

  /** Aborts what runs and waits for it. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#running)
  }

  async #run(job: JobRecord, work: (context: JobContext) => Promise<void>): Promise<void> {
    let writtenMs = 0
    const progress = (fraction: number, message = ''): void => {
      const nowMs = this.#clock.monotonicMs()
      if (nowMs - writtenMs < PROGRESS_EVERY_MS) return
      writtenMs = nowMs
      this.#registry.jobs.update({ ...job, progress: fraction, message })
    }
    try {
      await work({ signal: this.#stopping.signal, progress })
      this.#end(job, 'SUCCESS', '')
    } catch (err) {
      this.#log.warn({ job: job.id, kind: job.kind, err }, 'job failed')
      this.#fail(job, err instanceof Error ? err.message : String(err))
    }
  }

  #end(job: JobRecord, status: 'SUCCESS' | 'FAIL', message: string): void {
    const progress = status === 'SUCCESS' ? 1 : (this.#registry.jobs.get(job.id)?.progress ?? 0)
    this.#registry.jobs.update({ ...job, status, progress, message, endedMs: this.#clock.nowMs() })
  }

  /** The disk that failed the job may refuse the registry too: then the next start of the daemon ends the job. */
  #fail(job: JobRecord, message: string): void {
    try {
      this.#end(job, 'FAIL', message)
    } catch (err) {
      this.#log.error({ job: job.id, err }, 'the end of a failed job could not be recorded')
    }
  }
}

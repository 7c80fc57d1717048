import type { Database, Statement } from 'better-sqlite3'
import { DaemonError } from '../errors.js'
import type { JobRecord } from './records.js'
import { refusing } from './refusal.js'
import { fromOptionalRow, fromRow, type Row } from './row.js'

const SELECT = `SELECT id, kind, status, subject, progress, message, created_ms AS createdMs, ended_ms AS endedMs
  FROM jobs`

/** The jobs table. */
export class Jobs {
  readonly #insert: Statement<[JobRecord]>
  readonly #update: Statement<[JobRecord]>
  readonly #get: Statement<[string], Row<JobRecord>>
  readonly #list: Statement<[], Row<JobRecord>>
  readonly #failRunning: Statement<[{ message: string; nowMs: number }]>

  constructor(db: Database) {
    this.#insert = db.prepare(`INSERT INTO jobs
      (id, kind, status, subject, progress, message, created_ms, ended_ms)
      VALUES (@id, @kind, @status, @subject, @progress, @message, @createdMs, @endedMs)`)
    this.#update = db.prepare(`UPDATE jobs SET status = @status, subject = @subject, progress = @progress,
      message = @message, ended_ms = @endedMs WHERE id = @id`)
    this.#get = db.prepare(`${SELECT} WHERE id = ?`)
    this.#list = db.prepare(`${SELECT} ORDER BY created_ms, rowid`)
    this.#failRunning = db.prepare(`UPDATE jobs SET status = 'FAIL', message = @message, ended_ms = @nowMs
      WHERE status = 'RUNNING'`)
  }

  insert(job: JobRecord): void {
    refusing(job, () => this.#insert.run(job))
  }

  /** Writes all but id, kind and creation time. @throws DaemonError NOT_FOUND */
  update(job: JobRecord): void {
    const { changes } = refusing(job, () => this.#update.run(job))
    if (changes === 0) throw new DaemonError('NOT_FOUND', `no job has the id ${job.id}`)
  }

  get(id: string): JobRecord | undefined {
    return fromOptionalRow(this.#get.get(id))
  }

  /** All, oldest first. */
  list(): JobRecord[] {
    return this.#list.all().map((row) => fromRow(row))
  }

  /** Marks every RUNNING job as FAIL: for start-up, when nobody can be working on one. How many there were. */
  failRunning(message: string, nowMs: number): number {
    return refusing({}, () => this.#failRunning.run({ message, nowMs }).changes)
  }
}

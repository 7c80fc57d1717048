import type { Database, Statement } from 'better-sqlite3'
import type { BootRecord } from './records.js'
import { refusing } from './refusal.js'

const SELECT = 'SELECT id, server_id AS serverId, started_ms AS startedMs FROM boots'

/** The boots table. */
export class Boots {
  readonly #insert: Statement<[BootRecord]>
  readonly #latest: Statement<[string], BootRecord>
  readonly #list: Statement<[string], BootRecord>

  constructor(db: Database) {
    this.#insert = db.prepare(
      'INSERT INTO boots (id, server_id, started_ms) VALUES (@id, @serverId, @startedMs)',
    )
    this.#latest = db.prepare(`${SELECT} WHERE server_id = ? ORDER BY started_ms DESC, rowid DESC LIMIT 1`)
    this.#list = db.prepare(`${SELECT} WHERE server_id = ? ORDER BY started_ms, rowid`)
  }

  /** @throws DaemonError NOT_FOUND when the server does not exist */
  insert(boot: BootRecord): void {
    refusing(boot, () => this.#insert.run(boot))
  }

  /** The server's last boot. */
  latest(serverId: string): BootRecord | undefined {
    return this.#latest.get(serverId)
  }

  /** The server's boots, oldest first. */
  list(serverId: string): BootRecord[] {
    return this.#list.all(serverId)
  }
}

import type { Database, Statement } from 'better-sqlite3'
import type { BootRecord } from './records.js'
import { refusing } from './refusal.js'

const SELECT = 'SELECT id, server_id AS serverId, started_ms AS startedMs FROM boots'

/** The boots table. */
export class Boots {
  readonly #insert: Statement<[BootRecord]>
  readonly #latest: Statement<[string], BootRecord>
  readonly #list: Statement<[string], BootRecord>
  readonly #chapSecret: Statement<[string], string | null>
  readonly #setChapSecret: Statement<[{ id: string; secret: string }]>

  constructor(db: Database) {
    this.#insert = db.prepare(
      'INSERT INTO boots (id, server_id, started_ms) VALUES (@id, @serverId, @startedMs)',
    )
    this.#latest = db.prepare(`${SELECT} WHERE server_id = ? ORDER BY started_ms DESC, rowid DESC LIMIT 1`)
    this.#chapSecret = db
      .prepare<[string], string | null>(
        'SELECT chap_secret FROM boots WHERE server_id = ? ORDER BY started_ms DESC, rowid DESC LIMIT 1',
      )
      .pluck()
    this.#setChapSecret = db.prepare('UPDATE boots SET chap_secret = @secret WHERE id = @id')
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

  /** The CHAP secret that is good for the server's last boot only, if that boot has one. */
  chapSecret(serverId: string): string | undefined {
    return this.#chapSecret.get(serverId) ?? undefined
  }

  setChapSecret(id: string, secret: string): void {
    this.#setChapSecret.run({ id, secret })
  }

  /** The server's boots, oldest first. */
  list(serverId: string): BootRecord[] {
    return this.#list.all(serverId)
  }
}

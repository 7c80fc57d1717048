import type { Database, Statement } from 'better-sqlite3'
import type { LeaseRecord } from './records.js'
import { refusing } from './refusal.js'
import { fromOptionalRow, fromRow, type Row } from './row.js'

const SELECT = 'SELECT ip, mac, client_id AS clientId, expires_ms AS expiresMs FROM leases'

/** The leases table: on disk before a client is told (RFC 2131 §4.3.1). */
export class Leases {
  readonly #db: Database
  readonly #all: Statement<[], Row<LeaseRecord>>
  readonly #findByIp: Statement<[string], Row<LeaseRecord>>
  readonly #forgetOther: Statement<[LeaseRecord]>
  readonly #upsert: Statement<[LeaseRecord]>
  readonly #remove: Statement<[string]>

  constructor(db: Database) {
    this.#db = db
    this.#all = db.prepare(`${SELECT} ORDER BY ip`)
    this.#findByIp = db.prepare(`${SELECT} WHERE ip = ?`)
    this.#forgetOther = db.prepare('DELETE FROM leases WHERE mac = @mac AND ip <> @ip')
    this.#upsert = db.prepare(`INSERT INTO leases (ip, mac, client_id, expires_ms)
      VALUES (@ip, @mac, @clientId, @expiresMs)
      ON CONFLICT (ip) DO UPDATE SET mac = excluded.mac, client_id = excluded.client_id,
        expires_ms = excluded.expires_ms`)
    this.#remove = db.prepare('DELETE FROM leases WHERE ip = ?')
  }

  all(): LeaseRecord[] {
    return this.#all.all().map((row) => fromRow(row))
  }

  findByIp(ip: string): LeaseRecord | undefined {
    return fromOptionalRow(this.#findByIp.get(ip))
  }

  /**
   * Stores all of them or none, durable when it returns; one call for many is one disk sync (group commit).
   * An address has one lease and a client one address: the newest wins.
   */
  save(leases: readonly LeaseRecord[]): void {
    const saveAll = this.#db.transaction(() => {
      for (const lease of leases) {
        this.#forgetOther.run(lease)
        this.#upsert.run(lease)
      }
    })
    refusing({}, () => saveAll.immediate())
  }

  /** Whether there was one to remove. */
  remove(ip: string): boolean {
    return refusing({}, () => this.#remove.run(ip).changes > 0)
  }
}

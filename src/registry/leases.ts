import type { Database, Statement } from 'better-sqlite3'
import type { LeaseChange, LeaseRecord } from './records.js'
import { refusing } from './refusal.js'
import { fromOptionalRow, fromRow, type Row } from './row.js'
import { unsynced } from './unsynced.js'

const SELECT = 'SELECT ip, mac, client_id AS clientId, expires_ms AS expiresMs FROM leases'

/** The leases table: what the lease journal has brought into it so far. */
export class Leases {
  readonly #db: Database
  readonly #all: Statement<[], Row<LeaseRecord>>
  readonly #findByIp: Statement<[string], Row<LeaseRecord>>
  readonly #forgetOther: Statement<[string, string]>
  readonly #upsert: Statement<[string, string, string | null, number]>
  readonly #remove: Statement<[string]>

  constructor(db: Database) {
    this.#db = db
    this.#all = db.prepare(`${SELECT} ORDER BY ip`)
    this.#findByIp = db.prepare(`${SELECT} WHERE ip = ?`)
    this.#forgetOther = db.prepare('DELETE FROM leases WHERE mac = ? AND ip <> ?')
    this.#upsert = db.prepare(`INSERT INTO leases (ip, mac, client_id, expires_ms) VALUES (?, ?, ?, ?)
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
   * Makes all of `changes` true or none. An address has one lease and a client one address: the newest wins.
   * @param isDurable whether this and everything before it is on disk when it returns; else it survives the
   *   process only, for changes that somebody else keeps until a durable call
   */
  apply(changes: readonly LeaseChange[], isDurable = true): void {
    const applyAll = this.#db.transaction(() => {
      for (const [ip, lease] of changes) {
        if (lease === undefined) this.#remove.run(ip)
        else this.#put(lease)
      }
    })
    const write = (): void => refusing({}, () => applyAll.immediate())
    if (isDurable) write()
    else unsynced(this.#db, write)
  }

  #put({ ip, mac, clientId, expiresMs }: LeaseRecord): void {
    this.#forgetOther.run(mac, ip)
    this.#upsert.run(ip, mac, clientId ?? null, expiresMs)
  }
}

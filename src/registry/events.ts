import type { Database, Statement } from 'better-sqlite3'
import type { EventRecord } from './records.js'
import { refusing } from './refusal.js'
import { fromRow, type Row } from './row.js'

const SELECT = `SELECT seq, at_ms AS atMs, kind, message, stage, machine_id AS machineId, server_id AS serverId,
  boot_id AS bootId, mac, ip, iqn FROM events`

/** Which events; all that are given must hold. */
export interface EventQuery {
  readonly serverId?: string
  readonly machineId?: string
  readonly bootId?: string
  /** Only events after this one. */
  readonly afterSeq?: number
  readonly limit: number
}

/** A filter's SQL; `afterSeq` is in the order clause's hands too. */
const FILTERS = {
  serverId: 'server_id = @serverId',
  machineId: 'machine_id = @machineId',
  bootId: 'boot_id = @bootId',
  afterSeq: 'seq > @afterSeq',
} as const

/** The events table. */
export class Events {
  readonly #db: Database
  readonly #insert: Statement<[Omit<EventRecord, 'seq'>]>
  readonly #trim: Statement<[number]>
  readonly #lists = new Map<string, Statement<[EventQuery], Row<EventRecord>>>()

  constructor(db: Database) {
    this.#db = db
    this.#insert = db.prepare(`INSERT INTO events
      (at_ms, kind, message, stage, machine_id, server_id, boot_id, mac, ip, iqn)
      VALUES (@atMs, @kind, @message, @stage, @machineId, @serverId, @bootId, @mac, @ip, @iqn)`)
    this.#trim = db.prepare(
      'DELETE FROM events WHERE seq <= (SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET ?)',
    )
  }

  /** Appends; the sequence number it got. Numbers only grow and are never used twice. */
  insert(event: Omit<EventRecord, 'seq'>): number {
    return refusing(event, () => Number(this.#insert.run(event).lastInsertRowid))
  }

  /** Oldest first: the next `limit` after `afterSeq` when that is given, else the newest `limit`. */
  list(query: EventQuery): EventRecord[] {
    const rows = this.#listStatement(query).all(query)
    if (query.afterSeq === undefined) rows.reverse()
    return rows.map((row) => fromRow(row))
  }

  /** Deletes all but the newest `keepCount`; how many went. */
  trim(keepCount: number): number {
    return refusing({}, () => this.#trim.run(keepCount).changes)
  }

  /** One statement for each set of filters, so that every one can use its index; prepared at first use. */
  #listStatement(query: EventQuery): Statement<[EventQuery], Row<EventRecord>> {
    const filters = Object.entries(FILTERS).filter(
      ([name]) => query[name as keyof typeof FILTERS] !== undefined,
    )
    const where = ['1', ...filters.map(([, sql]) => sql)].join(' AND ')
    const known = this.#lists.get(where)
    if (known !== undefined) return known
    const order = query.afterSeq === undefined ? 'DESC' : 'ASC'
    const statement = this.#db.prepare<[EventQuery], Row<EventRecord>>(
      `${SELECT} WHERE ${where} ORDER BY seq ${order} LIMIT @limit`,
    )
    this.#lists.set(where, statement)
    return statement
  }
}

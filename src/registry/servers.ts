import type { Database, Statement } from 'better-sqlite3'
import { DaemonError } from '../errors.js'
import type { ServerRecord } from './records.js'
import { refusing } from './refusal.js'
import { fromRow, type Row } from './row.js'

/** A row as it is stored: the keys are JSON text. */
type ServerRow = Omit<Row<ServerRecord>, 'keys'> & { readonly keys: string }

/** Columns by field, in the order of the table; those that never change come first. */
const FIXED = {
  id: 'id',
  machineId: 'machine_id',
  bootIntent: 'boot_intent',
  iqn: 'iqn',
  initiatorIqn: 'initiator_iqn',
  chapUser: 'chap_user',
  addressing: 'addressing',
  seedSecret: 'seed_secret',
  createdMs: 'created_ms',
} as const
const CHANGEABLE = {
  name: 'name',
  imageId: 'image_id',
  volumeId: 'volume_id',
  status: 'status',
  instanceId: 'instance_id',
  rescue: 'rescue',
  chapSecret: 'chap_secret',
  bootToken: 'boot_token',
  keys: 'keys',
  network: 'network',
  userData: 'user_data',
  adminPasswordHash: 'admin_password_hash',
  sealedPassword: 'sealed_password',
  cloneMs: 'clone_ms',
} as const
const COLUMNS: readonly (readonly [field: string, column: string])[] = Object.entries({
  ...FIXED,
  ...CHANGEABLE,
})

/** What may change in a server's life. */
export type ServerChange = Partial<Pick<ServerRecord, keyof typeof CHANGEABLE>>

const SELECT = `SELECT ${COLUMNS.map(([field, column]) => `${column} AS ${field}`).join(', ')} FROM servers`
const INSERT = `INSERT INTO servers (${COLUMNS.map(([, column]) => column).join(', ')})
  VALUES (${COLUMNS.map(([field]) => `@${field}`).join(', ')})`
const UPDATE = `UPDATE servers SET ${Object.entries(CHANGEABLE)
  .map(([field, column]) => `${column} = @${field}`)
  .join(', ')} WHERE id = @id`

/** The servers table. */
export class Servers {
  readonly #insert: Statement<[ServerRow]>
  readonly #get: Statement<[string], ServerRow>
  readonly #findByName: Statement<[string], ServerRow>
  readonly #findByToken: Statement<[string], ServerRow>
  readonly #findByInstance: Statement<[string], ServerRow>
  readonly #findByMachine: Statement<[string], ServerRow>
  readonly #findByIqn: Statement<[string], ServerRow>
  readonly #list: Statement<[], ServerRow>
  readonly #setStatus: Statement<[{ id: string; status: string }]>
  readonly #change: Statement<[ServerRow]>
  readonly #delete: Statement<[string]>

  constructor(db: Database) {
    this.#insert = db.prepare(INSERT)
    this.#get = db.prepare(`${SELECT} WHERE id = ?`)
    this.#findByName = db.prepare(`${SELECT} WHERE name = ?`)
    this.#findByToken = db.prepare(`${SELECT} WHERE boot_token = ?`)
    this.#findByInstance = db.prepare(`${SELECT} WHERE instance_id = ?`)
    this.#findByMachine = db.prepare(`${SELECT} WHERE machine_id = ?`)
    this.#findByIqn = db.prepare(`${SELECT} WHERE iqn = ?`)
    this.#list = db.prepare(`${SELECT} ORDER BY name`)
    this.#setStatus = db.prepare('UPDATE servers SET status = @status WHERE id = @id')
    this.#change = db.prepare(UPDATE)
    this.#delete = db.prepare('DELETE FROM servers WHERE id = ?')
  }

  /** @throws DaemonError NAME_TAKEN; WRONG_STATE when machine or volume has a server; NOT_FOUND when one is missing */
  insert(server: ServerRecord): void {
    refusing(server, () => this.#insert.run(toRow(server)))
  }

  get(id: string): ServerRecord | undefined {
    return toRecord(this.#get.get(id))
  }

  /** By id first, else by name. */
  find(idOrName: string): ServerRecord | undefined {
    return this.get(idOrName) ?? toRecord(this.#findByName.get(idOrName))
  }

  /** The server whose URLs carry this boot token. */
  findByToken(bootToken: string): ServerRecord | undefined {
    return toRecord(this.#findByToken.get(bootToken))
  }

  /** The server of a deploy: what its seed calls itself by. */
  findByInstance(instanceId: string): ServerRecord | undefined {
    return toRecord(this.#findByInstance.get(instanceId))
  }

  findByMachine(machineId: string): ServerRecord | undefined {
    return toRecord(this.#findByMachine.get(machineId))
  }

  /** The server of a target name. */
  findByIqn(iqn: string): ServerRecord | undefined {
    return toRecord(this.#findByIqn.get(iqn))
  }

  /** All, by name. */
  list(): ServerRecord[] {
    return this.#list.all().map((row) => present(row))
  }

  /** @throws DaemonError NOT_FOUND */
  setStatus(id: string, status: ServerRecord['status']): void {
    const { changes } = refusing({ id }, () => this.#setStatus.run({ id, status }))
    if (changes === 0) throw new DaemonError('NOT_FOUND', `no server has the id ${id}`)
  }

  /**
   * Writes what is named, and nothing else; naming a field with undefined takes its value away.
   * @throws DaemonError NOT_FOUND, NAME_TAKEN
   */
  change(id: string, wanted: ServerChange): void {
    const before = this.get(id)
    if (before === undefined) throw new DaemonError('NOT_FOUND', `no server has the id ${id}`)
    const after = { ...before, ...wanted }
    refusing(after, () => this.#change.run(toRow(after)))
  }

  /** Whether there was one to delete; its boots go with it, its events stay. */
  delete(id: string): boolean {
    return refusing({ id }, () => this.#delete.run(id).changes > 0)
  }
}

function toRecord(row: ServerRow | undefined): ServerRecord | undefined {
  return row === undefined ? undefined : present(row)
}

function toRow(server: ServerRecord): ServerRow {
  return {
    ...server,
    keys: JSON.stringify(server.keys),
    rescue: server.rescue ?? null,
    network: server.network ?? null,
    userData: server.userData ?? null,
    adminPasswordHash: server.adminPasswordHash ?? null,
    sealedPassword: server.sealedPassword ?? null,
  }
}

function present(row: ServerRow): ServerRecord {
  const keys = JSON.parse(row.keys) as ServerRecord['keys'] // written by toRow, nobody else writes
  return fromRow<ServerRecord>({ ...row, keys })
}

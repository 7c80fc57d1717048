import type { Database, Statement } from 'better-sqlite3'
import { DaemonError } from '../errors.js'
import type { ServerRecord } from './records.js'
import { refusing } from './refusal.js'
import { fromRow, type Row } from './row.js'

type ServerRow = Omit<Row<ServerRecord>, 'sshKeys'> & { readonly sshKeys: string }

/** What changes from boot to boot. */
type Changeable = Pick<ServerRow, 'bootToken' | 'chapSecret' | 'rescue'>

const SELECT = `SELECT id, name, machine_id AS machineId, image_id AS imageId, volume_id AS volumeId, status,
  instance_id AS instanceId, boot_intent AS bootIntent, rescue, iqn, initiator_iqn AS initiatorIqn,
  chap_user AS chapUser, chap_secret AS chapSecret, boot_token AS bootToken, addressing,
  ssh_keys AS sshKeys, user_data AS userData, clone_ms AS cloneMs, created_ms AS createdMs FROM servers`
const INSERT = `INSERT INTO servers (id, name, machine_id, image_id, volume_id, status, instance_id, boot_intent, rescue,
  iqn, initiator_iqn, chap_user, chap_secret, boot_token, addressing, ssh_keys, user_data, clone_ms, created_ms)
  VALUES (@id, @name, @machineId, @imageId, @volumeId, @status, @instanceId, @bootIntent, @rescue,
  @iqn, @initiatorIqn, @chapUser, @chapSecret, @bootToken, @addressing, @sshKeys, @userData, @cloneMs, @createdMs)`

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
  readonly #change: Statement<[Changeable & { readonly id: string }]>
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
    this.#change = db.prepare(
      'UPDATE servers SET boot_token = @bootToken, chap_secret = @chapSecret, rescue = @rescue WHERE id = @id',
    )
    this.#delete = db.prepare('DELETE FROM servers WHERE id = ?')
  }

  /** @throws DaemonError NAME_TAKEN; WRONG_STATE when machine or volume has a server; NOT_FOUND when one is missing */
  insert(server: ServerRecord): void {
    const row = {
      ...server,
      sshKeys: JSON.stringify(server.sshKeys),
      userData: server.userData ?? null,
      rescue: server.rescue ?? null,
    }
    refusing(server, () => this.#insert.run(row))
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

  /** Changes what a boot has of its own. @throws DaemonError NOT_FOUND */
  change(id: string, wanted: Partial<Pick<ServerRecord, keyof Changeable>>): void {
    const before = this.get(id)
    if (before === undefined) throw new DaemonError('NOT_FOUND', `no server has the id ${id}`)
    const { bootToken, chapSecret, rescue } = { ...before, ...wanted }
    refusing({ id }, () => this.#change.run({ id, bootToken, chapSecret, rescue: rescue ?? null }))
  }

  /** Whether there was one to delete; its boots go with it, its events stay. */
  delete(id: string): boolean {
    return refusing({ id }, () => this.#delete.run(id).changes > 0)
  }
}

function toRecord(row: ServerRow | undefined): ServerRecord | undefined {
  return row === undefined ? undefined : present(row)
}

function present(row: ServerRow): ServerRecord {
  const sshKeys = JSON.parse(row.sshKeys) as string[] // written by insert, nobody else writes
  return fromRow<ServerRecord>({ ...row, sshKeys })
}

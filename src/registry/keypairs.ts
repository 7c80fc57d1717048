import type { Database, Statement } from 'better-sqlite3'
import type { KeypairRecord } from './records.js'
import { refusing } from './refusal.js'

const SELECT =
  'SELECT name, kind, public_key AS publicKey, fingerprint, created_ms AS createdMs FROM keypairs'

/** The keypairs table: public keys by name. A server keeps copies, so a row goes without asking anyone. */
export class Keypairs {
  readonly #insert: Statement<[KeypairRecord]>
  readonly #get: Statement<[string], KeypairRecord>
  readonly #list: Statement<[], KeypairRecord>
  readonly #delete: Statement<[string]>

  constructor(db: Database) {
    this.#insert = db.prepare(`INSERT INTO keypairs (name, kind, public_key, fingerprint, created_ms)
      VALUES (@name, @kind, @publicKey, @fingerprint, @createdMs)`)
    this.#get = db.prepare(`${SELECT} WHERE name = ?`)
    this.#list = db.prepare(`${SELECT} ORDER BY name`)
    this.#delete = db.prepare('DELETE FROM keypairs WHERE name = ?')
  }

  /** @throws DaemonError NAME_TAKEN */
  insert(keypair: KeypairRecord): void {
    refusing(keypair, () => this.#insert.run(keypair))
  }

  get(name: string): KeypairRecord | undefined {
    return this.#get.get(name)
  }

  /** All, by name. */
  list(): KeypairRecord[] {
    return this.#list.all()
  }

  /** Whether there was one to delete. */
  delete(name: string): boolean {
    return refusing({ name }, () => this.#delete.run(name).changes > 0)
  }
}

import type { Database, Statement } from 'better-sqlite3'
import { refusing } from './refusal.js'

/**
 * The doomed_layers table: layers that are none any more and whose files have to go. A row is written in the
 * transaction that takes the layer away, so that a daemon that dies before it removed the files does so later.
 */
export class DoomedLayers {
  readonly #insert: Statement<[string]>
  readonly #list: Statement<[], string>
  readonly #delete: Statement<[string]>

  constructor(db: Database) {
    this.#insert = db.prepare('INSERT INTO doomed_layers (layer_id) VALUES (?)')
    this.#list = db.prepare<[], string>('SELECT layer_id FROM doomed_layers ORDER BY rowid').pluck()
    this.#delete = db.prepare('DELETE FROM doomed_layers WHERE layer_id = ?')
  }

  insert(layerId: string): void {
    refusing({ layerId }, () => this.#insert.run(layerId))
  }

  /** Ids, oldest first. */
  list(): string[] {
    return this.#list.all()
  }

  /** The files are gone. */
  delete(layerId: string): void {
    refusing({ layerId }, () => this.#delete.run(layerId))
  }
}

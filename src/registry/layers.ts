import type { Database, Statement } from 'better-sqlite3'
import { DaemonError } from '../errors.js'
import type { LayerRecord } from './records.js'
import { refusing, refusingInUse } from './refusal.js'
import { fromRow, type Row } from './row.js'

type LayerRow = Omit<Row<LayerRecord>, 'isImmutable'> & { readonly isImmutable: number }

const COLUMNS = `layers.id, layers.parent_id AS parentId, layers.size_bytes AS sizeBytes,
  layers.immutable AS isImmutable, layers.created_ms AS createdMs`

/** The layers table: which set of clusters lies over which. */
export class Layers {
  readonly #insert: Statement<[LayerRow]>
  readonly #get: Statement<[string], LayerRow>
  readonly #chain: Statement<[string], LayerRow>
  readonly #list: Statement<[], LayerRow>
  readonly #children: Statement<[string], LayerRow>
  readonly #setParent: Statement<[string | null, string]>
  readonly #setSize: Statement<[number, string]>
  readonly #setImmutable: Statement<[string]>
  readonly #delete: Statement<[string]>
  readonly #dependants: Statement<[{ id: string }], string>

  constructor(db: Database) {
    this.#insert = db.prepare(`INSERT INTO layers (id, parent_id, size_bytes, immutable, created_ms)
      VALUES (@id, @parentId, @sizeBytes, @isImmutable, @createdMs)`)
    this.#get = db.prepare(`SELECT ${COLUMNS} FROM layers WHERE id = ?`)
    this.#list = db.prepare(`SELECT ${COLUMNS} FROM layers ORDER BY created_ms, id`)
    this.#chain = db.prepare(`
      WITH RECURSIVE chain (id, depth) AS (
        SELECT id, 0 FROM layers WHERE id = ?
        UNION ALL
        SELECT layers.parent_id, chain.depth + 1 FROM chain JOIN layers ON layers.id = chain.id
          WHERE layers.parent_id IS NOT NULL
      )
      SELECT ${COLUMNS} FROM chain JOIN layers ON layers.id = chain.id ORDER BY chain.depth`)
    this.#children = db.prepare(`SELECT ${COLUMNS} FROM layers WHERE parent_id = ? ORDER BY created_ms, id`)
    this.#setParent = db.prepare('UPDATE layers SET parent_id = ? WHERE id = ?')
    this.#setSize = db.prepare('UPDATE layers SET size_bytes = ? WHERE id = ?')
    this.#setImmutable = db.prepare('UPDATE layers SET immutable = 1 WHERE id = ?')
    this.#delete = db.prepare('DELETE FROM layers WHERE id = ?')
    this.#dependants = db
      .prepare<[{ id: string }], string>(
        `SELECT 'layer ' || id FROM layers WHERE parent_id = @id
         UNION ALL SELECT 'image ' || name FROM images WHERE layer_id = @id
         UNION ALL SELECT 'volume ' || name FROM volumes WHERE layer_id = @id
         UNION ALL SELECT 'snapshot ' || name FROM snapshots WHERE layer_id = @id LIMIT 10`,
      )
      .pluck()
  }

  /** @throws DaemonError NOT_FOUND when the parent does not exist */
  insert(layer: LayerRecord): void {
    const row = { ...layer, parentId: layer.parentId ?? null, isImmutable: layer.isImmutable ? 1 : 0 }
    refusing(layer, () => this.#insert.run(row))
  }

  get(id: string): LayerRecord | undefined {
    const row = this.#get.get(id)
    return row === undefined ? undefined : toRecord(row)
  }

  /** The layer and everything under it, top first; empty when there is no such layer. */
  chain(layerId: string): LayerRecord[] {
    return this.#chain.all(layerId).map(toRecord)
  }

  /** All, oldest first. */
  list(): LayerRecord[] {
    return this.#list.all().map(toRecord)
  }

  /** The layers that lie directly over this one, oldest first. */
  children(id: string): LayerRecord[] {
    return this.#children.all(id).map(toRecord)
  }

  /** Puts a layer over another one, or over nothing. @throws DaemonError NOT_FOUND */
  setParent(id: string, parentId: string | undefined): void {
    expectLayer(
      id,
      refusing({ parentId }, () => this.#setParent.run(parentId ?? null, id).changes),
    )
  }

  /** @throws DaemonError NOT_FOUND */
  setSize(id: string, sizeBytes: number): void {
    expectLayer(
      id,
      refusing({ sizeBytes }, () => this.#setSize.run(sizeBytes, id).changes),
    )
  }

  /** No volume writes it from now on. @throws DaemonError NOT_FOUND */
  setImmutable(id: string): void {
    expectLayer(
      id,
      refusing({}, () => this.#setImmutable.run(id).changes),
    )
  }

  /**
   * Whether there was one to delete.
   * @throws DaemonError IN_USE while a layer, image or volume stands on it
   */
  delete(id: string): boolean {
    const dependants = (): string[] => this.#dependants.all({ id })
    return refusingInUse(`layer ${id}`, dependants, () => this.#delete.run(id).changes > 0)
  }
}

function toRecord(row: LayerRow): LayerRecord {
  return fromRow<LayerRecord>({ ...row, isImmutable: row.isImmutable === 1 })
}

function expectLayer(id: string, changes: number): void {
  if (changes === 0) throw new DaemonError('NOT_FOUND', `no layer has the id ${id}`)
}

import type { Database, Statement } from 'better-sqlite3'
import type { VolumeRecord } from './records.js'
import { refusing, refusingInUse } from './refusal.js'
import { fromOptionalRow, fromRow, type Row } from './row.js'

const SELECT = `SELECT id, name, layer_id AS layerId, naa, size_bytes AS sizeBytes, image_id AS imageId,
  created_ms AS createdMs FROM volumes`

/** The volumes table. */
export class Volumes {
  readonly #insert: Statement<[VolumeRecord]>
  readonly #get: Statement<[string], Row<VolumeRecord>>
  readonly #findByName: Statement<[string], Row<VolumeRecord>>
  readonly #list: Statement<[], Row<VolumeRecord>>
  readonly #countByImage: Statement<[string], number>
  readonly #delete: Statement<[string]>
  readonly #dependants: Statement<[string], string>

  constructor(db: Database) {
    this.#insert = db.prepare(`INSERT INTO volumes (id, name, layer_id, naa, size_bytes, image_id, created_ms)
      VALUES (@id, @name, @layerId, @naa, @sizeBytes, @imageId, @createdMs)`)
    this.#get = db.prepare(`${SELECT} WHERE id = ?`)
    this.#findByName = db.prepare(`${SELECT} WHERE name = ?`)
    this.#list = db.prepare(`${SELECT} ORDER BY name`)
    this.#countByImage = db
      .prepare<[string], number>('SELECT count(*) FROM volumes WHERE image_id = ?')
      .pluck()
    this.#delete = db.prepare('DELETE FROM volumes WHERE id = ?')
    this.#dependants = db
      .prepare<[string], string>(`SELECT 'server ' || name FROM servers WHERE volume_id = ?`)
      .pluck()
  }

  /** @throws DaemonError NAME_TAKEN; NOT_FOUND when the layer or image does not exist */
  insert(volume: VolumeRecord): void {
    refusing(volume, () => this.#insert.run(volume))
  }

  get(id: string): VolumeRecord | undefined {
    return fromOptionalRow(this.#get.get(id))
  }

  /** By id first, else by name. */
  find(idOrName: string): VolumeRecord | undefined {
    return this.get(idOrName) ?? fromOptionalRow(this.#findByName.get(idOrName))
  }

  /** All, by name. */
  list(): VolumeRecord[] {
    return this.#list.all().map((row) => fromRow(row))
  }

  /** How many volumes were cloned from the image. */
  countByImage(imageId: string): number {
    return this.#countByImage.get(imageId) ?? 0
  }

  /**
   * Whether there was one to delete.
   * @throws DaemonError IN_USE while a server uses it
   */
  delete(id: string): boolean {
    const dependants = (): string[] => this.#dependants.all(id)
    return refusingInUse(`volume ${id}`, dependants, () => this.#delete.run(id).changes > 0)
  }
}

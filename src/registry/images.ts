import type { Database, Statement } from 'better-sqlite3'
import { DaemonError } from '../errors.js'
import type { ImageRecord } from './records.js'
import { refusing, refusingInUse } from './refusal.js'
import { fromOptionalRow, fromRow, type Row } from './row.js'

const SELECT = `SELECT id, name, status, os_type AS osType, os_version AS osVersion, size_bytes AS sizeBytes,
  layer_id AS layerId, sha256, kernel_arguments AS kernelArguments, created_ms AS createdMs FROM images`

/** What makes an image usable: its layer, the SHA-256 of the whole disk (hex), the disk's size, its kernel. */
export interface ActiveImage {
  readonly layerId: string
  readonly sha256: string
  readonly sizeBytes: number
  readonly kernelArguments: string | undefined
}

/** The images table. */
export class Images {
  readonly #insert: Statement<[ImageRecord]>
  readonly #get: Statement<[string], Row<ImageRecord>>
  readonly #findByName: Statement<[string], Row<ImageRecord>>
  readonly #list: Statement<[], Row<ImageRecord>>
  readonly #setActive: Statement<[ActiveImage & { id: string }]>
  readonly #setStatus: Statement<[{ id: string; status: string }]>
  readonly #delete: Statement<[string]>
  readonly #dependants: Statement<[{ id: string }], string>

  constructor(db: Database) {
    this.#insert = db.prepare(`INSERT INTO images
      (id, name, status, os_type, os_version, size_bytes, layer_id, sha256, kernel_arguments, created_ms)
      VALUES (@id, @name, @status, @osType, @osVersion, @sizeBytes, @layerId, @sha256, @kernelArguments,
       @createdMs)`)
    this.#get = db.prepare(`${SELECT} WHERE id = ?`)
    this.#findByName = db.prepare(`${SELECT} WHERE name = ?`)
    this.#list = db.prepare(`${SELECT} ORDER BY name`)
    this.#setActive = db.prepare(`UPDATE images SET status = 'active', layer_id = @layerId, sha256 = @sha256,
      size_bytes = @sizeBytes, kernel_arguments = @kernelArguments WHERE id = @id`)
    this.#setStatus = db.prepare('UPDATE images SET status = @status WHERE id = @id')
    this.#delete = db.prepare('DELETE FROM images WHERE id = ?')
    this.#dependants = db
      .prepare<[{ id: string }], string>(
        `SELECT 'server ' || name FROM servers WHERE image_id = @id
         UNION ALL SELECT 'volume ' || name FROM volumes WHERE image_id = @id LIMIT 10`,
      )
      .pluck()
  }

  /** @throws DaemonError NAME_TAKEN */
  insert(image: ImageRecord): void {
    refusing(image, () => this.#insert.run(image))
  }

  get(id: string): ImageRecord | undefined {
    return fromOptionalRow(this.#get.get(id))
  }

  findByName(name: string): ImageRecord | undefined {
    return fromOptionalRow(this.#findByName.get(name))
  }

  /** By id first, else by name. */
  find(idOrName: string): ImageRecord | undefined {
    return this.get(idOrName) ?? this.findByName(idOrName)
  }

  /** All, by name. */
  list(): ImageRecord[] {
    return this.#list.all().map((row) => fromRow(row))
  }

  /** @throws DaemonError NOT_FOUND when the image or the layer does not exist */
  setActive(id: string, active: ActiveImage): void {
    expectImage(
      id,
      refusing(active, () => this.#setActive.run({ ...active, id }).changes),
    )
  }

  /** @throws DaemonError NOT_FOUND */
  setStatus(id: string, status: ImageRecord['status']): void {
    expectImage(
      id,
      refusing({ id }, () => this.#setStatus.run({ id, status }).changes),
    )
  }

  /**
   * Whether there was one to delete.
   * @throws DaemonError IN_USE while a server or volume was made from it
   */
  delete(id: string): boolean {
    const dependants = (): string[] => this.#dependants.all({ id })
    return refusingInUse(`image ${id}`, dependants, () => this.#delete.run(id).changes > 0)
  }
}

function expectImage(id: string, changes: number): void {
  if (changes === 0) throw new DaemonError('NOT_FOUND', `no image has the id ${id}`)
}

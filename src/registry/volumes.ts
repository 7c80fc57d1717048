import type { Database, Statement } from 'better-sqlite3'
import { DaemonError } from '../errors.js'
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
  readonly #findByLayer: Statement<[string], Row<VolumeRecord>>
  readonly #update: Statement<[VolumeRecord]>
  readonly #delete: Statement<[string]>
  readonly #dependants: Statement<[{ id: string }], string>

  constructor(db: Database) {
    this.#insert = db.prepare(`INSERT INTO volumes (id, name, layer_id, naa, size_bytes, image_id, created_ms)
      VALUES (@id, @name, @layerId, @naa, @sizeBytes, @imageId, @createdMs)`)
    this.#get = db.prepare(`${SELECT} WHERE id = ?`)
    this.#findByName = db.prepare(`${SELECT} WHERE name = ?`)
    this.#list = db.prepare(`${SELECT} ORDER BY name`)
    this.#countByImage = db
      .prepare<[string], number>('SELECT count(*) FROM volumes WHERE image_id = ?')
      .pluck()
    this.#findByLayer = db.prepare(`${SELECT} WHERE layer_id = ?`)
    this.#update =
      db.prepare(`UPDATE volumes SET layer_id = @layerId, size_bytes = @sizeBytes, image_id = @imageId
      WHERE id = @id`)
    this.#delete = db.prepare('DELETE FROM volumes WHERE id = ?')
    this.#dependants = db
      .prepare<[{ id: string }], string>(
        `SELECT 'server ' || name FROM servers WHERE volume_id = @id
         UNION ALL SELECT 'server ' || servers.name FROM attachments JOIN servers ON servers.id = server_id
           WHERE attachments.volume_id = @id
         UNION ALL SELECT 'snapshot ' || name FROM snapshots WHERE volume_id = @id LIMIT 10`,
      )
      .pluck()
  }

  /** @throws DaemonError NAME_TAKEN; NOT_FOUND when the layer or image does not exist */
  insert(volume: VolumeRecord): void {
    refusing(volume, () => this.#insert.run(volume))
  }

  get(id: string): VolumeRecord | undefined {
    return fromOptionalRow(this.#get.get(id))
  }

  /** The volume that writes this layer. */
  findByLayer(layerId: string): VolumeRecord | undefined {
    return fromOptionalRow(this.#findByLayer.get(layerId))
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

  /** Writes its layer, size and image. @throws DaemonError NOT_FOUND when it or one of those does not exist */
  update(volume: VolumeRecord): void {
    const { changes } = refusing(volume, () => this.#update.run(volume))
    if (changes === 0) throw new DaemonError('NOT_FOUND', `no volume has the id ${volume.id}`)
  }

  /** What uses a volume: `server NAME`, `snapshot NAME`, at most ten. */
  dependants(id: string): string[] {
    return this.#dependants.all({ id })
  }

  /**
   * Whether there was one to delete.
   * @throws DaemonError IN_USE while a server has it or it has snapshots
   */
  delete(id: string): boolean {
    const dependants = (): string[] => this.dependants(id)
    return refusingInUse(`volume ${id}`, dependants, () => this.#delete.run(id).changes > 0)
  }
}

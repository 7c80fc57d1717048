import type { Database, Statement } from 'better-sqlite3'
import { DaemonError } from '../errors.js'
import type { ImageRecord } from './records.js'
import { refusing, refusingInUse } from './refusal.js'
import { fromRow, type Row } from './row.js'

type ImageRow = Omit<Row<ImageRecord>, 'properties'> & { readonly properties: string }

const SELECT = `SELECT id, name, status, os_type AS osType, os_version AS osVersion, size_bytes AS sizeBytes,
  layer_id AS layerId, sha256, kernel_arguments AS kernelArguments, properties, inspection, created_ms AS createdMs FROM images`

/** What makes an image usable: its layer, the SHA-256 of the whole disk (hex), the disk's size, its kernel. */
export interface ActiveImage {
  readonly layerId: string
  readonly sha256: string
  readonly sizeBytes: number
  readonly kernelArguments: string | undefined
}

/** What may change of an image that is there. */
export type ImageChange = Partial<
  Pick<ImageRecord, 'name' | 'osType' | 'osVersion' | 'properties' | 'inspection'>
>

/** The images table. */
export class Images {
  readonly #insert: Statement<[ImageRow]>
  readonly #get: Statement<[string], ImageRow>
  readonly #findByName: Statement<[string], ImageRow>
  readonly #list: Statement<[], ImageRow>
  readonly #setActive: Statement<[ActiveImage & { id: string }]>
  readonly #setStatus: Statement<[{ id: string; status: string }]>
  readonly #change: Statement<[ImageRow]>
  readonly #delete: Statement<[string]>
  readonly #dependants: Statement<[{ id: string }], string>

  constructor(db: Database) {
    this.#insert = db.prepare(`INSERT INTO images
      (id, name, status, os_type, os_version, size_bytes, layer_id, sha256, kernel_arguments, properties, inspection,
       created_ms)
      VALUES (@id, @name, @status, @osType, @osVersion, @sizeBytes, @layerId, @sha256, @kernelArguments,
       @properties, @inspection, @createdMs)`)
    this.#get = db.prepare(`${SELECT} WHERE id = ?`)
    this.#findByName = db.prepare(`${SELECT} WHERE name = ?`)
    this.#list = db.prepare(`${SELECT} ORDER BY name`)
    this.#setActive = db.prepare(`UPDATE images SET status = 'active', layer_id = @layerId, sha256 = @sha256,
      size_bytes = @sizeBytes, kernel_arguments = @kernelArguments WHERE id = @id`)
    this.#setStatus = db.prepare('UPDATE images SET status = @status WHERE id = @id')
    this.#change = db.prepare(`UPDATE images SET name = @name, os_type = @osType, os_version = @osVersion,
      properties = @properties, inspection = @inspection WHERE id = @id`)
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
    refusing(image, () => this.#insert.run(toRow(image)))
  }

  get(id: string): ImageRecord | undefined {
    return toRecord(this.#get.get(id))
  }

  findByName(name: string): ImageRecord | undefined {
    return toRecord(this.#findByName.get(name))
  }

  /** By id first, else by name. */
  find(idOrName: string): ImageRecord | undefined {
    return this.get(idOrName) ?? this.findByName(idOrName)
  }

  /** All, by name. */
  list(): ImageRecord[] {
    return this.#list.all().map(present)
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

  /** Writes what is named, and nothing else. @throws DaemonError NOT_FOUND, NAME_TAKEN */
  change(id: string, wanted: ImageChange): void {
    const before = this.get(id)
    if (before === undefined) throw new DaemonError('NOT_FOUND', `no image has the id ${id}`)
    const after = { ...before, ...wanted }
    refusing(after, () => this.#change.run(toRow(after)))
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

function toRow(image: ImageRecord): ImageRow {
  return {
    ...image,
    properties: JSON.stringify(image.properties),
    layerId: image.layerId ?? null,
    sha256: image.sha256 ?? null,
    kernelArguments: image.kernelArguments ?? null,
    inspection: image.inspection ?? null,
  }
}

function toRecord(row: ImageRow | undefined): ImageRecord | undefined {
  return row === undefined ? undefined : present(row)
}

function present(row: ImageRow): ImageRecord {
  const properties = JSON.parse(row.properties) as ImageRecord['properties'] // written by toRow, nobody else writes
  return fromRow<ImageRecord>({ ...row, properties })
}

function expectImage(id: string, changes: number): void {
  if (changes === 0) throw new DaemonError('NOT_FOUND', `no image has the id ${id}`)
}

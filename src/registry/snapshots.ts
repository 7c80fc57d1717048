import type { Database, Statement } from 'better-sqlite3'
import { DaemonError } from '../errors.js'
import type { SnapshotRecord } from './records.js'
import { refusing } from './refusal.js'

const SELECT = `SELECT id, name, volume_id AS volumeId, layer_id AS layerId, status, size_bytes AS sizeBytes,
  created_ms AS createdMs FROM snapshots`

/** The snapshots table. */
export class Snapshots {
  readonly #insert: Statement<[SnapshotRecord]>
  readonly #get: Statement<[string], SnapshotRecord>
  readonly #findByName: Statement<[string], SnapshotRecord>
  readonly #findByLayer: Statement<[string], SnapshotRecord>
  readonly #list: Statement<[], SnapshotRecord>
  readonly #setStatus: Statement<[{ id: string; status: string }]>
  readonly #delete: Statement<[string]>

  constructor(db: Database) {
    this.#insert =
      db.prepare(`INSERT INTO snapshots (id, name, volume_id, layer_id, status, size_bytes, created_ms)
      VALUES (@id, @name, @volumeId, @layerId, @status, @sizeBytes, @createdMs)`)
    this.#get = db.prepare(`${SELECT} WHERE id = ?`)
    this.#findByName = db.prepare(`${SELECT} WHERE name = ?`)
    this.#findByLayer = db.prepare(`${SELECT} WHERE layer_id = ?`)
    this.#list = db.prepare(`${SELECT} ORDER BY created_ms, rowid`)
    this.#setStatus = db.prepare('UPDATE snapshots SET status = @status WHERE id = @id')
    this.#delete = db.prepare('DELETE FROM snapshots WHERE id = ?')
  }

  /** @throws DaemonError NAME_TAKEN; NOT_FOUND when the volume or the layer does not exist */
  insert(snapshot: SnapshotRecord): void {
    refusing(snapshot, () => this.#insert.run(snapshot))
  }

  get(id: string): SnapshotRecord | undefined {
    return this.#get.get(id)
  }

  /** By id first, else by name. */
  find(idOrName: string): SnapshotRecord | undefined {
    return this.get(idOrName) ?? this.#findByName.get(idOrName)
  }

  /** The snapshot that keeps this layer. */
  findByLayer(layerId: string): SnapshotRecord | undefined {
    return this.#findByLayer.get(layerId)
  }

  /** All, oldest first. */
  list(): SnapshotRecord[] {
    return this.#list.all()
  }

  /** @throws DaemonError NOT_FOUND */
  setStatus(id: string, status: SnapshotRecord['status']): void {
    const { changes } = refusing({ id }, () => this.#setStatus.run({ id, status }))
    if (changes === 0) throw new DaemonError('NOT_FOUND', `no snapshot has the id ${id}`)
  }

  /** Whether there was one to delete; its layer stays. */
  delete(id: string): boolean {
    return refusing({ id }, () => this.#delete.run(id).changes > 0)
  }
}

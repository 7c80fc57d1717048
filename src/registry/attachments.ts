import type { Database, Statement } from 'better-sqlite3'
import type { AttachmentRecord } from './records.js'
import { refusing } from './refusal.js'

const SELECT = 'SELECT volume_id AS volumeId, server_id AS serverId, lun FROM attachments'

/** The attachments table: which server sees which data volume, and as which LUN. */
export class Attachments {
  readonly #insert: Statement<[AttachmentRecord]>
  readonly #get: Statement<[string], AttachmentRecord>
  readonly #listByServer: Statement<[string], AttachmentRecord>
  readonly #delete: Statement<[string]>

  constructor(db: Database) {
    this.#insert = db.prepare(
      'INSERT INTO attachments (volume_id, server_id, lun) VALUES (@volumeId, @serverId, @lun)',
    )
    this.#get = db.prepare(`${SELECT} WHERE volume_id = ?`)
    this.#listByServer = db.prepare(`${SELECT} WHERE server_id = ? ORDER BY lun`)
    this.#delete = db.prepare('DELETE FROM attachments WHERE volume_id = ?')
  }

  /** @throws DaemonError IN_USE when a server has the volume; NOT_FOUND when one of them does not exist */
  insert(attachment: AttachmentRecord): void {
    refusing(attachment, () => this.#insert.run(attachment))
  }

  /** The attachment of a volume. */
  get(volumeId: string): AttachmentRecord | undefined {
    return this.#get.get(volumeId)
  }

  /** A server's data volumes, by LUN. */
  listByServer(serverId: string): AttachmentRecord[] {
    return this.#listByServer.all(serverId)
  }

  /** Whether there was one to delete. */
  delete(volumeId: string): boolean {
    return refusing({ volumeId }, () => this.#delete.run(volumeId).changes > 0)
  }
}

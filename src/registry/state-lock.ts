import Database from 'better-sqlite3'
import { DaemonError } from '../errors.js'

/** Ownership of a state directory by one process; the kernel releases it when the process dies. */
export interface StateLock {
  release(): void
}

/**
 * Takes the lock `file` together with any number of others, against those who want it alone.
 * @throws DaemonError as `lockState`
 */
export function shareState(file: string, owner: string): StateLock {
  return locked(file, owner, 'BEGIN; SELECT count(*) FROM sqlite_schema') // reading holds a shared lock
}

/**
 * Takes the lock `file` or refuses. It is an SQLite file held in an exclusive transaction, since Node has no flock.
 * @throws DaemonError STATE_LOCKED when another process holds it, STATE_UNUSABLE when the file cannot be made
 */
export function lockState(file: string, owner: string): StateLock {
  return locked(file, owner, 'BEGIN EXCLUSIVE')
}

function locked(file: string, owner: string, statements: string): StateLock {
  let db: Database.Database | undefined
  try {
    db = new Database(file, { timeout: 0 })
    db.exec(statements)
    const held = db
    return { release: () => held.close() }
  } catch (err) {
    db?.close()
    if (err instanceof Database.SqliteError && err.code.startsWith('SQLITE_BUSY')) {
      throw new DaemonError('STATE_LOCKED', `another ${owner} is using ${file}`, { cause: err })
    }
    throw new DaemonError('STATE_UNUSABLE', `cannot make ${file}: ${String(err)}`, { cause: err })
  }
}

import type { Database } from 'better-sqlite3'

/**
 * Runs `write`, which commits transactions of its own, without waiting for the disk: what it wrote survives this process
 * and not the host, until the next commit that waits takes it along (WAL; sqlite.org/pragma.html#pragma_synchronous).
 * Inside a transaction it is part of that one.
 */
export function unsynced<T>(db: Database, write: () => T): T {
  if (db.inTransaction) return write()
  db.pragma('synchronous = NORMAL')
  try {
    return write()
  } finally {
    db.pragma('synchronous = FULL')
  }
}

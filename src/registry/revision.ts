import type { Database } from 'better-sqlite3'

const TABLES = ['machines', 'nics', 'servers', 'images']

/**
 * Counts the changes of machines, NICs, servers and images, whoever makes them (a cascade too): what was looked up at
 * another count may be stale. A change that is rolled back counts as well.
 */
export function countChanges(db: Database): () => number {
  let count = 0
  db.function('ingot_changed', () => {
    count++
    return null
  })
  for (const table of TABLES) {
    for (const change of ['INSERT', 'UPDATE', 'DELETE']) {
      db.exec(`CREATE TEMP TRIGGER ${table}_${change} AFTER ${change} ON main.${table}
        BEGIN SELECT ingot_changed(); END`)
    }
  }
  return () => count
}

import Database from 'better-sqlite3'
import { join } from 'node:path'
import t from 'tap'
import { DaemonError } from '../../src/errors.js'
import { MIGRATIONS } from '../../src/registry/migrations.js'
import { Events } from '../../src/registry/events.js'
import { Machines } from '../../src/registry/machines.js'
import { refusing, storageRefusal } from '../../src/registry/refusal.js'
import { MACHINE } from './sample-records.js'

/** A registry that may not grow, as on a full disk. */
function fullDatabase(path: string): Database.Database {
  const db = new Database(path)
  for (const sql of MIGRATIONS) db.exec(sql)
  db.pragma(`max_page_count = ${String(db.pragma('page_count', { simple: true }))}`)
  return db
}

void t.test('a full disk is DISK_FULL, and what was there stays readable', (t) => {
  const db = fullDatabase(join(t.testdir(), 'registry.sqlite'))
  t.teardown(() => {
    db.close()
  })
  const machines = new Machines(db)
  machines.insert(MACHINE)
  const events = new Events(db)
  const none = { machineId: undefined, serverId: undefined, bootId: undefined, mac: undefined, ip: undefined }
  const event = { ...none, atMs: 0, kind: 'k', message: 'x'.repeat(9000), stage: undefined, iqn: undefined }
  t.throws(() => events.insert(event), { name: 'DaemonError', code: 'DISK_FULL' })
  const nics = Array.from({ length: 500 }, (_, position) => {
    return {
      mac: `mac-${String(position)}`,
      machineId: 'm2',
      position,
      ip: undefined,
      switchPort: undefined,
      role: 'tenant' as const,
    }
  })
  t.throws(
    () => {
      machines.insert({ ...MACHINE, id: 'm2', name: 'm2', nics })
    },
    { code: 'DISK_FULL' },
  )
  t.same(machines.list(), [MACHINE])
  t.same(events.list({ limit: 9 }), [])
  t.end()
})

void t.test('each error of the file below has its code, and names the file', (t) => {
  const codes = {
    SQLITE_IOERR_WRITE: 'STATE_UNUSABLE',
    SQLITE_READONLY_DBMOVED: 'STATE_UNUSABLE',
    SQLITE_CANTOPEN_ISDIR: 'STATE_UNUSABLE',
    SQLITE_CORRUPT_INDEX: 'REGISTRY_DAMAGED',
    SQLITE_NOTADB: 'REGISTRY_DAMAGED',
    SQLITE_BUSY_SNAPSHOT: 'STATE_LOCKED',
    SQLITE_FULL: 'DISK_FULL',
  }
  for (const [sqlite, code] of Object.entries(codes)) {
    const err = Object.assign(new Error('why'), { code: sqlite })
    t.match(storageRefusal(err, 'a.sqlite'), { code, message: /\(a\.sqlite\): why$/, cause: err }, sqlite)
  }
  t.end()
})

void t.test('what is no error of the file passes through as it is', (t) => {
  for (const err of [new Error('other'), new DaemonError('WRONG_STATE', 'no')]) {
    t.equal(storageRefusal(err), undefined)
    let caught: unknown
    try {
      refusing({}, () => {
        throw err
      })
    } catch (thrown) {
      caught = thrown
    }
    t.equal(caught, err)
  }
  t.end()
})

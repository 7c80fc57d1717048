import Database, { type Database as Sqlite } from 'better-sqlite3'
import { DaemonError } from '../errors.js'
import { Attachments } from './attachments.js'
import { Boots } from './boots.js'
import { DoomedLayers } from './doomed-layers.js'
import { Events } from './events.js'
import { Images } from './images.js'
import { Jobs } from './jobs.js'
import { Keypairs } from './keypairs.js'
import { Layers } from './layers.js'
import { Leases } from './leases.js'
import { Machines } from './machines.js'
import { MIGRATIONS } from './migrations.js'
import { storageRefusal } from './refusal.js'
import { countChanges } from './revision.js'
import { Servers } from './servers.js'
import { Snapshots } from './snapshots.js'
import { Volumes } from './volumes.js'
import { unsynced } from './unsynced.js'

/** How long a statement waits for another process's lock: `ingot-targetd` reads while `ingotd` writes. */
const BUSY_TIMEOUT_MS = 5000

/** How the registry is opened. */
export interface OpenOptions {
  /** Neither creates nor migrates; every write is refused. */
  readonly readOnly?: boolean
  /** How long a statement waits for another process's lock; default 5000. */
  readonly busyTimeoutMs?: number
}

/** The open registry: one object per table. Every call is synchronous, and durable when it returns unless it says otherwise. */
export interface Registry {
  readonly images: Images
  readonly layers: Layers
  readonly doomedLayers: DoomedLayers
  readonly volumes: Volumes
  readonly attachments: Attachments
  readonly snapshots: Snapshots
  readonly machines: Machines
  readonly servers: Servers
  readonly keypairs: Keypairs
  readonly leases: Leases
  readonly boots: Boots
  readonly events: Events
  readonly jobs: Jobs
  /** Another number after each change of a machine, a NIC or a server. */
  readonly revision: () => number
  /** Runs `fn` (synchronous) with all its writes or none; inside another it is a savepoint of that one. */
  transaction<T>(fn: () => T): T
  /** The same for what may be lost with the host's power, such as history: it does not wait for the disk. */
  transactionUnsynced<T>(fn: () => T): T
  close(): void
}

/**
 * Opens the registry at `path` (`:memory:` in tests), creating and migrating it unless `readOnly`.
 * @throws DaemonError REGISTRY_NEWER, REGISTRY_DAMAGED, STATE_UNUSABLE, STATE_LOCKED or DISK_FULL
 */
export function openRegistry(path: string, options: OpenOptions = {}): Registry {
  const db = openFile(path, options)
  try {
    prepareDatabase(db, path, options.readOnly ?? false)
    return tables(db, options.readOnly ?? false)
  } catch (err) {
    db.close()
    throw storageRefusal(err, path) ?? err
  }
}

function openFile(path: string, options: OpenOptions): Sqlite {
  const { readOnly = false, busyTimeoutMs = BUSY_TIMEOUT_MS } = options
  try {
    return new Database(path, { readonly: readOnly, timeout: busyTimeoutMs })
  } catch (err) {
    // A missing directory is a TypeError of the library, not an error of SQLite.
    const reason = err instanceof Error ? err.message : String(err)
    const refusal = new DaemonError('STATE_UNUSABLE', `the registry cannot be opened (${path}): ${reason}`, {
      cause: err,
    })
    throw storageRefusal(err, path) ?? refusal
  }
}

function prepareDatabase(db: Sqlite, path: string, readOnly: boolean): void {
  const version = Number(db.pragma('user_version', { simple: true }))
  if (version > MIGRATIONS.length) {
    const expected = `version ${version}, this program knows up to ${MIGRATIONS.length}`
    throw new DaemonError('REGISTRY_NEWER', `the registry ${path} was written by a newer Ingot: ${expected}`)
  }
  checkPages(db, path)
  if (readOnly) {
    expectCurrent(version, path)
    return
  }
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL') // a lease or a server that was answered survives power loss
  db.pragma('foreign_keys = ON')
  migrate(db, version)
}

function checkPages(db: Sqlite, path: string): void {
  const verdict = String(db.pragma('quick_check(1)', { simple: true }))
  if (verdict === 'ok') return
  throw new DaemonError(
    'REGISTRY_DAMAGED',
    `the registry ${path} is damaged, restore it from a backup: ${verdict}`,
  )
}

function expectCurrent(version: number, path: string): void {
  if (version === MIGRATIONS.length) return
  const versions = `version ${version}, expected ${MIGRATIONS.length}`
  throw new DaemonError(
    'STATE_UNUSABLE',
    `the registry ${path} is not migrated yet, start ingotd: ${versions}`,
  )
}

function migrate(db: Sqlite, from: number): void {
  for (const [step, sql] of MIGRATIONS.entries()) {
    if (step < from) continue
    db.transaction(() => {
      db.exec(sql)
      db.pragma(`user_version = ${step + 1}`)
    }).immediate()
  }
}

function tables(db: Sqlite, isReadOnly: boolean): Registry {
  return {
    images: new Images(db),
    layers: new Layers(db),
    doomedLayers: new DoomedLayers(db),
    volumes: new Volumes(db),
    attachments: new Attachments(db),
    snapshots: new Snapshots(db),
    machines: new Machines(db),
    servers: new Servers(db),
    keypairs: new Keypairs(db),
    leases: new Leases(db),
    boots: new Boots(db),
    events: new Events(db),
    jobs: new Jobs(db),
    revision: isReadOnly ? () => 0 : countChanges(db),
    transaction: (fn) => transact(db, fn),
    transactionUnsynced: (fn) => unsynced(db, () => transact(db, fn)),
    close: () => db.close(),
  }
}

/** The commit writes too: a full disk shows there. */
function transact<T>(db: Sqlite, fn: () => T): T {
  try {
    return db.transaction(fn).immediate()
  } catch (err) {
    throw storageRefusal(err) ?? err
  }
}

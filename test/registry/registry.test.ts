import Database from 'better-sqlite3'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MIGRATIONS } from '../../src/registry/migrations.js'
import { openRegistry } from '../../src/registry/registry.js'
import { fill, IMAGE, SERVER } from './sample-records.js'

const FIXTURES = join(import.meta.dirname, '../../fixtures/registry')

void t.test('a new file gets the newest schema, WAL and foreign keys', (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  const registry = openRegistry(path)
  t.teardown(() => {
    registry.close()
  })
  const db = new Database(path)
  t.equal(db.pragma('user_version', { simple: true }), MIGRATIONS.length)
  t.equal(db.pragma('journal_mode', { simple: true }), 'wal')
  db.close()
  t.throws(
    () => {
      registry.layers.insert({ id: 'a', parentId: 'none', sizeBytes: 1, isImmutable: true, createdMs: 0 })
    },
    {
      code: 'NOT_FOUND',
    },
  )
  t.end()
})

void t.test('what was written is there after close and open', (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  const first = openRegistry(path)
  fill(first)
  first.close()
  const second = openRegistry(path)
  t.teardown(() => {
    second.close()
  })
  t.same(second.images.list(), [IMAGE])
  t.same(second.servers.list(), [SERVER])
  t.end()
})

void t.test('what was written is there after a process that never closed (its WAL is replayed)', (t) => {
  const dir = t.testdir()
  const live = openRegistry(join(dir, 'live.sqlite'))
  t.teardown(() => {
    live.close()
  })
  fill(live)
  for (const suffix of ['', '-wal'])
    copyFileSync(join(dir, `live.sqlite${suffix}`), join(dir, `dead.sqlite${suffix}`))
  const survivor = openRegistry(join(dir, 'dead.sqlite'))
  t.teardown(() => {
    survivor.close()
  })
  t.same(survivor.servers.list(), [SERVER])
  t.end()
})

void t.test('a torn last WAL frame loses that transaction only', (t) => {
  const dir = t.testdir()
  const live = openRegistry(join(dir, 'live.sqlite'))
  t.teardown(() => {
    live.close()
  })
  fill(live)
  const walBytes = readFileSync(join(dir, 'live.sqlite-wal')).length
  live.servers.setStatus(SERVER.id, 'ACTIVE')
  for (const suffix of ['', '-wal'])
    copyFileSync(join(dir, `live.sqlite${suffix}`), join(dir, `dead.sqlite${suffix}`))
  truncateSync(join(dir, 'dead.sqlite-wal'), walBytes + 100)
  const survivor = openRegistry(join(dir, 'dead.sqlite'))
  t.teardown(() => {
    survivor.close()
  })
  t.equal(survivor.servers.get(SERVER.id)?.status, 'BUILD')
  t.end()
})

void t.test('every stored older schema is brought to the newest one', (t) => {
  const stored = readdirSync(FIXTURES).filter((name) => name.endsWith('.sqlite'))
  t.ok(stored.includes('schema-v0.sqlite'))
  for (const name of stored) {
    const path = join(t.testdir(), name)
    copyFileSync(join(FIXTURES, name), path)
    chmodSync(path, 0o600)
    const registry = openRegistry(path)
    if (registry.servers.list().length === 0) fill(registry)
    const [server] = registry.servers.list()
    t.equal(server?.seedSecret.length, 32, name)
    t.same({ ...server, seedSecret: SERVER.seedSecret }, SERVER, name)
    registry.close()
    const db = new Database(path)
    t.equal(db.pragma('user_version', { simple: true }), MIGRATIONS.length, name)
    db.close()
  }
  t.end()
})

void t.test('a registry of a newer version is refused and left as it was', (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  const db = new Database(path)
  db.pragma(`user_version = ${String(MIGRATIONS.length + 1)}`)
  db.close()
  const before = readFileSync(path)
  t.throws(() => openRegistry(path), { code: 'REGISTRY_NEWER', message: /written by a newer Ingot: version/ })
  t.same(readFileSync(path), before)
  t.notOk(existsSync(`${path}-wal`))
  t.end()
})

void t.test('a file that is no database is refused as damaged', (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  writeFileSync(path, 'this is not a database, and long enough to be one\n'.repeat(200))
  t.throws(() => openRegistry(path), { code: 'REGISTRY_DAMAGED', message: /not a SQLite database/ })
  t.end()
})

void t.test('a truncated database is refused as damaged', (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  const registry = openRegistry(path)
  fill(registry)
  registry.close()
  truncateSync(path, 4096 * 3 + 17)
  t.throws(() => openRegistry(path), { code: 'REGISTRY_DAMAGED' })
  t.end()
})

void t.test('a database with a page of garbage is refused as damaged', (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  const registry = openRegistry(path)
  fill(registry)
  registry.close()
  const bytes = readFileSync(path)
  bytes.fill(0xee, 4096 * 4, 4096 * 5)
  writeFileSync(path, bytes)
  t.throws(() => openRegistry(path), { code: 'REGISTRY_DAMAGED' })
  t.end()
})

void t.test('a path that cannot be a file is an unusable state directory', (t) => {
  const dir = t.testdir()
  t.throws(() => openRegistry(join(dir, 'none/registry.sqlite')), { code: 'STATE_UNUSABLE' })
  t.throws(() => openRegistry(dir), { code: 'STATE_UNUSABLE' })
  t.throws(() => openRegistry(join(dir, 'none.sqlite'), { readOnly: true }), { code: 'STATE_UNUSABLE' })
  t.end()
})

const asRoot = process.getuid?.() === 0 && 'root may write everything'

void t.test('a file without write permission is an unusable state directory', { skip: asRoot }, (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  openRegistry(path).close()
  chmodSync(path, 0o400)
  t.throws(() => openRegistry(path), { code: 'STATE_UNUSABLE' })
  t.end()
})

void t.test('a read-only reader sees committed writes and may not write', (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  const writer = openRegistry(path)
  t.teardown(() => {
    writer.close()
  })
  const reader = openRegistry(path, { readOnly: true })
  t.teardown(() => {
    reader.close()
  })
  fill(writer)
  t.same(reader.servers.list(), [SERVER])
  t.throws(
    () => {
      reader.servers.setStatus(SERVER.id, 'ACTIVE')
    },
    { code: 'STATE_UNUSABLE' },
  )
  t.end()
})

void t.test(
  'a reader needs no writer: after its clean end, and after its death with a WAL left behind',
  (t) => {
    const dir = t.testdir()
    const writer = openRegistry(join(dir, 'live.sqlite'))
    fill(writer)
    for (const suffix of ['', '-wal'])
      copyFileSync(join(dir, `live.sqlite${suffix}`), join(dir, `dead.sqlite${suffix}`))
    writer.close()
    t.notOk(existsSync(join(dir, 'live.sqlite-wal')))
    for (const name of ['live.sqlite', 'dead.sqlite']) {
      const reader = openRegistry(join(dir, name), { readOnly: true })
      t.same(reader.servers.list(), [SERVER], name)
      reader.close()
    }
    t.end()
  },
)

void t.test('a writer that starts while a reader is open is seen by that reader', (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  openRegistry(path).close()
  const reader = openRegistry(path, { readOnly: true })
  t.teardown(() => {
    reader.close()
  })
  t.same(reader.servers.list(), [])
  const writer = openRegistry(path)
  fill(writer)
  t.same(reader.servers.list(), [SERVER])
  writer.close()
  t.same(reader.servers.list(), [SERVER])
  t.end()
})

void t.test('a reader does not migrate: it says what to start', (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  copyFileSync(join(FIXTURES, 'schema-v0.sqlite'), path)
  t.throws(() => openRegistry(path, { readOnly: true }), { code: 'STATE_UNUSABLE', message: /start ingotd/ })
  t.end()
})

void t.test('a registry locked by another process is told as such', (t) => {
  const path = join(t.testdir(), 'registry.sqlite')
  const db = new Database(path, { timeout: 0 })
  db.exec('BEGIN EXCLUSIVE')
  t.teardown(() => db.close())
  t.throws(() => openRegistry(path, { busyTimeoutMs: 1 }), { code: 'STATE_LOCKED' })
  t.end()
})

void t.test('a transaction that throws leaves nothing', (t) => {
  const registry = openRegistry(':memory:')
  const failing = (): void => {
    fill(registry)
    throw new Error('no')
  }
  t.throws(
    () => {
      registry.transaction(failing)
    },
    { message: 'no' },
  )
  t.same(registry.layers.list(), [])
  registry.close()
  t.end()
})

void t.test('a failed inner transaction leaves the outer one whole', (t) => {
  const registry = openRegistry(':memory:')
  registry.transaction(() => {
    fill(registry)
    t.throws(() =>
      registry.transaction(() => {
        registry.servers.delete(SERVER.id)
        throw new Error('no')
      }),
    )
  })
  t.same(registry.servers.list(), [SERVER])
  registry.close()
  t.end()
})

void t.test('a transaction gives what its function gives', (t) => {
  const registry = openRegistry(':memory:')
  t.equal(
    registry.transaction(() => 7),
    7,
  )
  registry.close()
  t.end()
})

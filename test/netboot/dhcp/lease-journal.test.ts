import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import type { Test } from 'tap'
import type { DaemonEvent } from '../../../src/events.js'
import { encodeRecord, journalHeader } from '../../../src/netboot/dhcp/journal-codec.js'
import { JournalFiles } from '../../../src/netboot/dhcp/journal-files.js'
import { LeaseJournal, type LeaseJournalDeps } from '../../../src/netboot/dhcp/lease-journal.js'
import type { LeaseRecord } from '../../../src/registry/records.js'
import { openRegistry, type Registry } from '../../../src/registry/registry.js'
import { ManualClock } from '../../fakes/manual-clock.js'

interface Bench {
  readonly journal: LeaseJournal
  readonly registry: Registry
  readonly clock: ManualClock
  readonly events: DaemonEvent[]
  readonly directory: string
  /** Another process's journal over the same files and registry. */
  readonly again: () => LeaseJournal
}

/** Real files; `fault` is asked before each write. */
class FaultyFiles extends JournalFiles {
  fault: (() => Error | undefined) | undefined
  readonly sizes: number[] = []

  override append(record: Buffer, done: (err: Error | null) => void): void {
    this.sizes.push(record.length)
    const err = this.fault?.()
    if (err === undefined) super.append(record, done)
    else setImmediate(done, err)
  }
}

function bench(t: Test, deps: Partial<LeaseJournalDeps> = {}): Bench & { readonly files: FaultyFiles } {
  const directory = join(t.testdir(), 'leases')
  const registry = openRegistry(':memory:')
  const clock = new ManualClock()
  const events: DaemonEvent[] = []
  const files = new FaultyFiles(directory)
  const make = (of: JournalFiles): LeaseJournal =>
    new LeaseJournal({
      ...{ files: of, table: registry.leases, clock, log: pino({ level: 'silent' }) },
      emit: (event) => events.push(event),
      ...deps,
    })
  const again = (): LeaseJournal => make(new JournalFiles(directory))
  return { journal: make(files), registry, clock, events, directory, again, files }
}

function lease(last: number, mac = `52:54:00:00:00:${String(last).padStart(2, '0')}`): LeaseRecord {
  return { ip: `198.18.0.${String(last)}`, mac, clientId: undefined, expiresMs: 1000 + last }
}

function saved(journal: LeaseJournal, one: LeaseRecord): Promise<void> {
  return new Promise((resolve, reject) => {
    journal.save(one, (cause) => {
      if (cause === undefined) resolve()
      else reject(cause)
    })
  })
}

function sorted(leases: Iterable<LeaseRecord>): string[] {
  return [...leases].map(({ ip, mac }) => `${ip} ${mac}`).sort()
}

void t.test('a lease that was told saved is there for the next process, without any stop', async (t) => {
  const { journal, again, registry } = bench(t)
  await journal.start()
  await saved(journal, lease(10))
  t.same(registry.leases.all(), [], 'the table lags behind')
  t.same([...journal.all()], [lease(10)])
  t.same(journal.find('198.18.0.10'), lease(10))
  const next = again()
  await next.start()
  t.same([...next.all()], [lease(10)])
})

void t.test('what comes in one turn is one write, and so is what comes while it is on its way', async (t) => {
  const { journal, files } = bench(t)
  await journal.start()
  const first = [1, 2, 3].map((n) => saved(journal, lease(n)))
  await turn()
  const second = [4, 5].map((n) => saved(journal, lease(n)))
  await Promise.all([...first, ...second])
  t.same(
    files.sizes,
    [3, 2].map((n) => encodeRecord(Array(n).fill([lease(1).ip, lease(1)])).length),
  )
})

void t.test('order is kept: an address that moved on is its newest owner’s after a kill', async (t) => {
  const { journal, again } = bench(t)
  await journal.start()
  await saved(journal, lease(1, 'a'))
  journal.remove(lease(1).ip)
  await saved(journal, lease(1, 'b'))
  await saved(journal, lease(2, 'a'))
  await saved(journal, lease(3, 'a'))
  journal.remove('198.18.0.77')
  await saved(journal, lease(4, 'c'))
  const expected = ['198.18.0.1 b', '198.18.0.3 a', '198.18.0.4 c']
  t.same(sorted(journal.all()), expected)
  const next = again()
  await next.start()
  t.same(sorted(next.all()), expected)
  await next.stop()
  t.same(sorted(next.all()), expected, 'and in the table')
})

void t.test('a lease is found before and after it comes into the table, until it is forgotten', async (t) => {
  const { journal, clock, registry } = bench(t)
  await journal.start()
  await saved(journal, lease(1))
  t.same([registry.leases.all(), journal.find('198.18.0.1')], [[], lease(1)])
  clock.advance(30_000)
  while (registry.leases.all().length === 0) await turn()
  t.same(journal.find('198.18.0.1'), lease(1))
  journal.remove('198.18.0.1')
  await saved(journal, lease(2))
  t.equal(journal.find('198.18.0.1'), undefined, 'though the table has it still')
  await journal.stop()
})

void t.test('a clean stop leaves everything in the table and no file', async (t) => {
  const { journal, registry, directory } = bench(t)
  await journal.start()
  const last = saved(journal, lease(7))
  await journal.stop()
  await last
  t.same(registry.leases.all(), [lease(7)])
  t.same(readdirSync(directory), [])
  await journal.start()
  await saved(journal, lease(8))
  t.same(sorted(journal.all()).length, 2)
  await journal.stop()
})

void t.test('after half a minute the table has what the files had, and they go', async (t) => {
  const { journal, registry, clock, directory } = bench(t)
  await journal.start()
  for (let n = 1; n < 10; n++) await saved(journal, lease(n))
  t.equal(readdirSync(directory).length, 1)
  clock.advance(30_000)
  while (registry.leases.all().length < 9) await turn()
  while (readdirSync(directory).length > 0) await turn()
  await saved(journal, lease(1, 'another'))
  t.equal(sorted(journal.all())[0], '198.18.0.1 another')
  await journal.stop()
})

void t.test('a file that is full ends, and saving goes on while it is brought into the table', async (t) => {
  const { journal, registry, again } = bench(t, { fileBytes: 1000 })
  await journal.start()
  const calls = Array.from({ length: 250 }, (_, n) => saved(journal, lease(n)))
  await Promise.all(calls)
  while (registry.leases.all().length < 250) {
    await saved(journal, lease(251))
    t.equal(sorted(journal.all()).length, 251)
  }
  const next = again()
  await next.start()
  t.equal(sorted(next.all()).length, 251)
  await journal.stop()
})

void t.test(
  'a disk that refuses: nobody is told, one event, and it goes on when there is room',
  async (t) => {
    const { journal, files, events, again } = bench(t)
    await journal.start()
    await saved(journal, lease(1))
    files.fault = () => Object.assign(new Error('no space left'), { code: 'ENOSPC' })
    for (const n of [2, 3]) await t.rejects(saved(journal, lease(n)), { code: 'ENOSPC' })
    files.fault = undefined
    await saved(journal, lease(4))
    t.same(
      events.map(({ kind }) => kind),
      ['dhcp.leases-unsaved', 'dhcp.leases-saved'],
    )
    t.same(sorted(journal.all()), sorted([lease(1), lease(4)]))
    const next = again()
    await next.start()
    t.same(sorted(next.all()), sorted([lease(1), lease(4)]))
  },
)

void t.test('a registry that refuses is asked again later, and nothing is lost meanwhile', async (t) => {
  let isFull = true
  const taken: string[] = []
  const table: LeaseJournalDeps['table'] = {
    all: () => [],
    findByIp: () => undefined,
    apply: (changes) => {
      if (isFull) throw new Error('database or disk is full')
      taken.push(...changes.map(([ip]) => ip))
    },
  }
  const { journal, clock, directory } = bench(t, { table })
  await journal.start()
  await saved(journal, lease(1))
  clock.advance(30_000)
  await turn()
  await saved(journal, lease(2))
  t.same(sorted(journal.all()), sorted([lease(1), lease(2)]))
  isFull = false
  clock.advance(30_000)
  while (readdirSync(directory).length > 1) await turn()
  t.same(taken, [lease(1).ip], 'first what is older')
  await journal.stop()
  t.same(taken, [lease(1).ip, lease(2).ip])
  t.same(readdirSync(directory), [])
})

void t.test('the torn end of a killed process’s file is cut off', async (t) => {
  const { journal, again, directory } = bench(t)
  await journal.start()
  await saved(journal, lease(1))
  const whole = journalHeader().length + encodeRecord([[lease(1).ip, lease(1)]]).length
  await saved(journal, lease(2))
  const [name = ''] = readdirSync(directory)
  truncateSync(join(directory, name), whole + 20)
  const next = again()
  await next.start()
  t.same([...next.all()], [lease(1)])
  await saved(next, lease(3))
  await next.stop()
  t.same(sorted(next.all()), sorted([lease(1), lease(3)]))
})

void t.test('a file damaged in the middle is refused by name, and left as it is', async (t) => {
  const { journal, again, directory } = bench(t)
  await journal.start()
  for (const n of [1, 2]) await saved(journal, lease(n))
  const file = join(directory, readdirSync(directory)[0] ?? '')
  const bytes = readFileSync(file)
  bytes[30] = (bytes[30] ?? 0) ^ 1
  writeFileSync(file, bytes)
  await t.rejects(again().start(), { code: 'REGISTRY_DAMAGED', message: /journal is damaged/ })
  t.same(readFileSync(file), bytes)
})

void t.test('no more than 16,384 leases wait for a disk that hangs', async (t) => {
  const files = new (class extends FaultyFiles {
    override append(): void {
      hung.push('write')
    }
  })(join(t.testdir(), 'hung'))
  const hung: string[] = []
  const { journal } = bench(t, { files })
  await journal.start()
  journal.save(lease(1), () => undefined)
  await turn()
  for (let n = 0; n < 16_384; n++) journal.save(lease(2), () => undefined)
  await t.rejects(saved(journal, lease(3)), /too many/)
  t.same(hung, ['write'])
})

void t.test('100,000 leases are read back', async (t) => {
  const { again, directory } = bench(t)
  const files = new JournalFiles(directory)
  await files.list()
  const records = Array.from({ length: 1000 }, (_, batch) =>
    Array.from({ length: 100 }, (__, i): [string, LeaseRecord] => {
      const number = batch * 100 + i
      const ip = `10.${String(number >> 16)}.${String((number >> 8) & 255)}.${String(number & 255)}`
      return [ip, { ip, mac: `m${String(number)}`, clientId: '01525400000001', expiresMs: 1 }]
    }),
  )
  const written = new Promise<Error | null>((resolve) => {
    files.append(Buffer.concat(records.map(encodeRecord)), resolve)
  })
  t.equal(await written, null)
  const next = again()
  const startMs = performance.now()
  await next.start()
  t.comment(`read in ${(performance.now() - startMs).toFixed(0)} ms`)
  t.equal([...next.all()].length, 100_000)
  const stopMs = performance.now()
  await next.stop()
  t.comment(`brought into the table in ${(performance.now() - stopMs).toFixed(0)} ms`)
})

import t from 'tap'
import type { LeaseRecord } from '../../../src/registry/records.js'
import { LeaseCommit } from '../../../src/netboot/dhcp/lease-commit.js'

const NEVER = (): never => {
  throw new Error('unexpected')
}

function lease(ip: string, mac: string): LeaseRecord {
  return { ip, mac, clientId: undefined, expiresMs: 1 }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

void t.test('the leases of one turn are one transaction, and are told after it', async (t) => {
  const seen: string[] = []
  const save = (leases: readonly LeaseRecord[]): void => void seen.push(`save ${String(leases.length)}`)
  const commit = new LeaseCommit({ all: () => [], save, remove: NEVER }, NEVER)
  commit.add(lease('10.0.0.1', 'a'), () => seen.push('ack a'))
  commit.add(lease('10.0.0.2', 'b'), () => seen.push('ack b'))
  t.same(seen, [])
  await turn()
  t.same(seen, ['save 2', 'ack a', 'ack b'])
})

void t.test('of two leases of one MAC or one address the later is saved', async (t) => {
  const saved: LeaseRecord[] = []
  const commit = new LeaseCommit(
    { all: () => [], save: (some) => void saved.push(...some), remove: NEVER },
    NEVER,
  )
  const ignore = (): void => undefined
  commit.add(lease('10.0.0.1', 'a'), ignore)
  commit.add(lease('10.0.0.2', 'a'), ignore)
  commit.add(lease('10.0.0.2', 'b'), ignore)
  commit.add(lease('10.0.0.3', 'a'), ignore)
  await turn()
  t.same(saved.map(({ ip, mac }) => `${mac} ${ip}`).sort(), ['a 10.0.0.3', 'b 10.0.0.2'])
})

void t.test('a lease released in the turn that gave it is not saved', (t) => {
  const removed: string[] = []
  const commit = new LeaseCommit({ all: () => [], save: NEVER, remove: (ip) => void removed.push(ip) }, NEVER)
  commit.add(lease('10.0.0.1', 'a'), () => undefined)
  commit.remove('10.0.0.1')
  commit.flush()
  t.same(removed, ['10.0.0.1'])
  t.end()
})

void t.test('a failed transaction acknowledges nothing and is told once', (t) => {
  const failures: number[] = []
  const store = { all: () => [], save: NEVER, remove: NEVER }
  const commit = new LeaseCommit(store, (_cause, count) => void failures.push(count))
  commit.add(lease('10.0.0.1', 'a'), NEVER)
  commit.add(lease('10.0.0.2', 'b'), NEVER)
  commit.flush()
  commit.flush()
  t.same(failures, [2])
  t.end()
})

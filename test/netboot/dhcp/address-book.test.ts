import fc from 'fast-check'
import t from 'tap'
import { AddressBook } from '../../../src/netboot/dhcp/address-book.js'
import { formatIpv4 } from '../../../src/wire/ipv4.js'

const RANGE = { first: 100, last: 102 }
const A = '52:54:00:00:00:0a'
const B = '52:54:00:00:00:0b'

function book(isFixed: (ip: string) => boolean = () => false): AddressBook {
  return new AddressBook(RANGE, [], [], isFixed)
}

void t.test('an offered address is kept for its client and given to nobody else', (t) => {
  const it = book()
  it.offer(100, A, 60)
  t.equal(it.held(A, 10), 100)
  t.equal(it.candidate(100, 10), 101)
  t.equal(it.held(A, 60), undefined, 'until the offer ends')
  t.equal(it.candidate(100, 60), 100)
  t.end()
})

void t.test('a lease that ended is still its client’s until the address is needed', (t) => {
  const it = book()
  it.lease(100, A, 50)
  it.lease(101, B, 1000)
  it.lease(102, '52:54:00:00:00:0c', 1000)
  t.equal(it.held(A, 60), 100)
  t.equal(it.candidate(undefined, 40), undefined, 'no free address while all leases run')
  t.equal(it.candidate(undefined, 60), 100)
  it.lease(100, 'new', 900)
  t.equal(it.held(A, 60), undefined)
  t.end()
})

void t.test('a released address is used last', (t) => {
  const it = book()
  it.lease(100, A, 50)
  it.release(100)
  t.equal(it.candidate(undefined, 0), 101)
  t.equal(it.freeCount, 3)
  t.end()
})

void t.test('a declined address rests', (t) => {
  const it = book()
  it.lease(100, A, 50)
  it.quarantine(100, 500)
  t.equal(it.held(A, 10), undefined)
  t.equal(it.candidate(100, 10), 101)
  t.equal(it.candidate(100, 500), 100)
  t.end()
})

void t.test('an offer that the client did not choose is free at once', (t) => {
  const it = book()
  it.offer(100, A, 60)
  it.withdraw(A)
  t.equal(it.candidate(100, 1), 100)
  it.lease(100, A, 60)
  it.withdraw(A)
  t.equal(it.held(A, 1), 100, 'a lease is not withdrawn')
  t.end()
})

void t.test('an address that became a machine’s is neither kept nor given', (t) => {
  const fixed = new Set<string>()
  const it = book((ip) => fixed.has(ip))
  it.lease(100, A, 1000)
  fixed.add(formatIpv4(100)).add(formatIpv4(101))
  t.equal(it.held(A, 1), undefined)
  t.equal(it.candidate(101, 1), 102)
  t.end()
})

void t.test('a client that was given a fixed address leaves its pool address', (t) => {
  const it = book()
  it.lease(100, A, 1000)
  it.lease(7, A, 1000)
  t.equal(it.held(A, 1), undefined)
  t.equal(it.freeCount, 3)
  t.end()
})

void t.test('leases of before the restart are kept, and our own addresses left out', (t) => {
  const leases = [
    { ip: formatIpv4(101), mac: A, clientId: undefined, expiresMs: 1000 },
    { ip: formatIpv4(9), mac: B, clientId: undefined, expiresMs: 1000 },
  ]
  const it = new AddressBook(RANGE, [100], leases, () => false)
  t.equal(it.held(A, 1), 101)
  t.equal(it.held(B, 1), undefined, 'not of this pool')
  t.equal(it.candidate(100, 1), 102)
  t.end()
})

void t.test('without a pool nothing is given', (t) => {
  t.equal(new AddressBook(undefined, [], [], () => false).candidate(5, 0), undefined)
  t.end()
})

void t.test('no address ever has two owners', (t) => {
  const step = fc.record({ what: fc.nat({ max: 4 }), mac: fc.nat({ max: 6 }), waitMs: fc.nat({ max: 40 }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const it = new AddressBook({ first: 100, last: 104 }, [], [], () => false)
      let nowMs = 0
      for (const { what, mac, waitMs } of steps) {
        nowMs += waitMs
        const name = `m${String(mac)}`
        const ip = it.held(name, nowMs) ?? it.candidate(undefined, nowMs)
        if (ip === undefined) continue
        if (what === 0) it.offer(ip, name, nowMs + 60)
        else if (what === 1) it.lease(ip, name, nowMs + 100)
        else if (what === 2) it.withdraw(name)
        else if (it.held(name, nowMs) !== ip) continue
        else if (what === 3) it.release(ip)
        else it.quarantine(ip, nowMs + 50)
      }
      const owned = Array.from({ length: 7 }, (_, mac) => it.held(`m${String(mac)}`, nowMs)).filter(
        (ip) => ip !== undefined,
      )
      return new Set(owned).size === owned.length && owned.length + it.freeCount <= 5
    }),
    { numRuns: 500 },
  )
  t.end()
})

void t.test('a pool of sixteen million addresses costs what those in use cost', (t) => {
  const used = Array.from({ length: 1000 }, (_, i) => ({
    ...{
      ip: formatIpv4(0x0a000002 + i * 16_000),
      mac: `m${String(i)}`,
      clientId: undefined,
      expiresMs: 1000,
    },
  }))
  const it = new AddressBook({ first: 0x0a000001, last: 0x0affffff }, [0x0a000001], used, () => false)
  t.equal(it.freeCount, 2 ** 24 - 2 - 1000)
  t.equal(it.candidate(undefined, 0), 0x0a000003, 'the first that nobody has')
  it.release(0x0a000002)
  it.offer(0x0a000003, 'a', 60)
  t.equal(it.candidate(undefined, 0), 0x0a000004, 'one given back comes after all that nobody had')
  t.equal(it.candidate(0x0a000002, 0), 0x0a000002, 'unless it is asked for')
  t.equal(it.candidate(0x0a000002 + 16_000, 0), 0x0a000004, 'one in use is not given')
  t.end()
})

void t.test('when all have been used, the one given back longest ago is next', (t) => {
  const it = book()
  for (const [i, ip] of [100, 101, 102].entries()) it.lease(ip, `m${String(i)}`, 1000)
  it.release(101)
  it.release(100)
  t.equal(it.candidate(undefined, 0), 101)
  it.lease(101, B, 1000)
  t.equal(it.candidate(undefined, 0), 100)
  t.equal(it.freeCount, 1)
  t.end()
})

void t.test('finding an address in a full pool of 65,536 costs no scan', (t) => {
  const it = new AddressBook({ first: 0x0a000000, last: 0x0a00ffff }, [], [], () => false)
  const startMs = performance.now()
  for (let i = 0; i < 65_536; i++) it.lease(it.candidate(undefined, 0) ?? 0, `m${String(i)}`, 1000)
  for (let i = 0; i < 10_000; i++) it.candidate(undefined, 0)
  t.ok(performance.now() - startMs < 5000)
  t.equal(it.candidate(undefined, 0), undefined)
  t.end()
})

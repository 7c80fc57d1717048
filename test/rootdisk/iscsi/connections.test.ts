import t from 'tap'
import { Connections } from '../../../src/rootdisk/iscsi/connections.js'

class FakeConnection {
  isLoggedIn = false
  isDestroyed = false
  readonly remoteAddress: string

  constructor(remoteAddress: string) {
    this.remoteAddress = remoteAddress
  }

  destroy(): void {
    this.isDestroyed = true
  }
}

function made(limits: { total?: number; perAddress?: number; loggingIn?: number }): {
  connections: Connections<FakeConnection>
  crowds: string[]
  enter: (address: string) => FakeConnection
} {
  const crowds: string[] = []
  const all = { total: 100, perAddress: 100, loggingIn: 100, ...limits }
  const connections = new Connections<FakeConnection>(all, (address) => crowds.push(address))
  const enter = (address: string): FakeConnection => {
    const connection = new FakeConnection(address)
    connections.add(connection)
    return connection
  }
  return { connections, crowds, enter }
}

await t.test('an address has room up to its limit, others are not touched', (test) => {
  const { connections, crowds, enter } = made({ perAddress: 2 })
  const first = enter('a')
  enter('a')
  test.same([connections.hasRoom('a'), connections.hasRoom('b')], [false, true])
  connections.delete(first)
  connections.delete(first)
  test.equal(connections.hasRoom('a'), true, 'leaving twice counts once')
  enter('a')
  test.equal(connections.hasRoom('a'), false)
  test.same(crowds, ['a'], 'told once')
  test.end()
})

await t.test('a login too many costs the oldest its place, never one that is logged in', (test) => {
  const { connections, crowds, enter } = made({ loggingIn: 2 })
  const done = enter('host')
  connections.loggedIn(done)
  const flood = Array.from({ length: 5 }, () => enter('flood'))
  test.same(
    flood.map((each) => each.isDestroyed),
    [true, true, true, false, false],
  )
  test.equal(done.isDestroyed, false)
  test.same(crowds, ['flood'])
  test.end()
})

await t.test('a crowd is told again when it comes again', (test) => {
  const { connections, crowds, enter } = made({ total: 2 })
  const both = [enter('a'), enter('b')]
  test.equal(connections.hasRoom('c'), false)
  for (const each of both) connections.delete(each)
  test.equal(connections.hasRoom('c'), true)
  enter('a')
  enter('b')
  test.equal(connections.hasRoom('c'), false)
  test.same(crowds, ['c', 'c'])
  test.end()
})

import t from 'tap'
import { clearPassword, sealPassword } from '../../src/control/sealed-password.js'
import type { DaemonEvent } from '../../src/events.js'
import { openRegistry } from '../../src/registry/registry.js'
import { fill, SERVER } from '../registry/sample-records.js'

void t.test('a guest posts its sealed password once, until it is cleared', (t) => {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  fill(registry)
  const events: DaemonEvent[] = []
  const post = (text: string): void =>
    sealPassword({ registry, emit: (event) => events.push(event) }, SERVER.id, text)
  for (const bad of ['', 'a', 'abc', 'abcd=', '====', 'ab cd', 'abc\n', 'A'.repeat(4100)]) {
    t.throws(() => post(bad), { code: 'INVALID_INPUT' }, JSON.stringify(bad.slice(0, 10)))
  }
  post('A'.repeat(4096))
  t.throws(() => post('QUJD'), { code: 'WRONG_STATE' })
  t.equal(registry.servers.get(SERVER.id)?.sealedPassword, 'A'.repeat(4096))
  clearPassword(registry, SERVER.name)
  post('QUI=')
  t.equal(registry.servers.get(SERVER.id)?.sealedPassword, 'QUI=')
  t.strictSame(
    events.map(({ kind, serverId, stage }) => [kind, serverId, stage]),
    Array(2).fill(['server.password-sealed', SERVER.id, 'ready']),
  )
  t.throws(() => clearPassword(registry, 'nobody'), { code: 'NOT_FOUND' })
  t.end()
})

import t, { type Test } from 'tap'
import { BootCredentials } from '../../src/control/boot-credentials.js'
import type { ServerRecord } from '../../src/registry/records.js'
import { openRegistry, type Registry } from '../../src/registry/registry.js'
import { fill, SERVER } from '../registry/sample-records.js'

interface Bench {
  readonly registry: Registry
  readonly credentials: BootCredentials
  /** The server as it is now. */
  readonly now: () => ServerRecord
}

function bench(t: Test, instead: { hasScript?: boolean; canRotateSecret?: boolean } = {}): Bench {
  const { hasScript = false, canRotateSecret = true } = instead
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  fill(registry)
  const credentials = new BootCredentials({ registry, hasScript: () => hasScript, canRotateSecret })
  return { registry, credentials, now: () => registry.servers.get(SERVER.id) ?? SERVER }
}

void t.test('our own power-on makes a token; the one before is nobody any more', (t) => {
  const { credentials, registry, now } = bench(t)
  credentials.onStage(SERVER.id, 'powered-on')
  t.match(now().bootToken, /^[0-9a-f]{32}$/)
  t.equal(registry.servers.findByToken(SERVER.bootToken), undefined)
  t.equal(registry.servers.findByToken(now().bootToken)?.id, SERVER.id)
  t.equal(now().chapSecret, SERVER.chapSecret, 'whoever is logged in may come back')
  t.end()
})

void t.test('the secret changes when the script is fetched, once a boot', (t) => {
  const { credentials, now } = bench(t)
  credentials.onStage(SERVER.id, 'powered-on')
  credentials.scriptAsked(SERVER.id)
  const { chapSecret, bootToken } = now()
  t.not(chapSecret, SERVER.chapSecret)
  t.match(chapSecret, /^[\w-]{16}$/, 'a secret that iPXE and Windows can carry')
  credentials.scriptAsked(SERVER.id)
  t.match(now(), { chapSecret, bootToken })
  t.end()
})

void t.test('firmware that asks begins another boot only after the script of the one in progress', (t) => {
  const { credentials, now } = bench(t)
  credentials.onStage(SERVER.id, 'powered-on')
  const { bootToken } = now()
  for (let i = 0; i < 3; i++) t.equal(credentials.firmwareAsks(SERVER.id), false)
  t.equal(now().bootToken, bootToken)
  credentials.scriptAsked(SERVER.id)
  const { chapSecret } = now()
  t.equal(credentials.firmwareAsks(SERVER.id), true)
  t.not(now().bootToken, bootToken)
  t.equal(now().chapSecret, chapSecret, 'a packet alone takes no disk away from a running system')
  t.equal(credentials.firmwareAsks(SERVER.id), false)
  t.end()
})

void t.test('a daemon that was restarted knows by the timeline that the script was sent', (t) => {
  const running = bench(t, { hasScript: true })
  running.credentials.scriptAsked(SERVER.id)
  t.equal(running.now().chapSecret, SERVER.chapSecret, 'fetched again in the same boot: the same secret')
  t.equal(running.credentials.firmwareAsks(SERVER.id), true)
  t.end()
})

void t.test('a target that would have to be told keeps its secret', (t) => {
  const { credentials, now } = bench(t, { canRotateSecret: false })
  credentials.onStage(SERVER.id, 'powered-on')
  credentials.scriptAsked(SERVER.id)
  t.equal(now().chapSecret, SERVER.chapSecret)
  t.not(now().bootToken, SERVER.bootToken)
  t.end()
})

void t.test('the rescue menu is there for one boot, however often its script is fetched', (t) => {
  const { credentials, registry, now } = bench(t)
  credentials.scriptAsked(SERVER.id)
  registry.servers.change(SERVER.id, { rescue: 'wanted' })
  credentials.onStage(SERVER.id, 'powered-on')
  t.equal(now().rescue, 'wanted', 'the boot that was asked for has not begun to show it')
  for (let i = 0; i < 2; i++) {
    credentials.scriptAsked(SERVER.id)
    t.equal(now().rescue, 'shown')
  }
  credentials.onStage(SERVER.id, 'powered-on')
  t.equal(now().rescue, undefined)
  t.end()
})

void t.test('a server that is gone is nobody, and later stages change nothing', (t) => {
  const { credentials, now } = bench(t)
  credentials.onStage('none', 'powered-on')
  for (const stage of ['dhcp', 'loader', 'script', 'iscsi-login', 'ready'] as const)
    credentials.onStage(SERVER.id, stage)
  t.match(now(), { bootToken: SERVER.bootToken, chapSecret: SERVER.chapSecret })
  t.end()
})

import { request as httpRequest } from 'node:http'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { DaemonEvent } from '../../src/events.js'
import { HttpListener } from '../../src/http/listener.js'
import { BootFiles } from '../../src/netboot/boot-files.js'
import { bootRoutes } from '../../src/netboot/boot-routes.js'
import { loadScriptTemplates } from '../../src/netboot/ipxe/script.js'
import { bootTarget } from '../fakes/boot-target.js'
import { ManualClock } from '../fakes/manual-clock.js'

async function serve(t: Test): Promise<{ base: string; events: DaemonEvent[]; port: number }> {
  const events: DaemonEvent[] = []
  const routes = bootRoutes({
    findByToken: (token) => (token === 'tok_EN-1' ? bootTarget() : undefined),
    policy: { address: '198.18.0.1', httpPort: 8080 },
    templates: await loadScriptTemplates('boot'),
    files: new BootFiles({
      directories: [t.testdir({ 'snponly.efi': 'L'.repeat(300_000) })],
      cachedFileBytes: 1000,
    }),
    emit: (event) => events.push(event),
    clock: new ManualClock(),
  })
  const listener = new HttpListener({
    options: { name: 'boot', endpoint: { host: '127.0.0.1', port: 0 } },
    routes: [routes],
    log: pino({ level: 'silent' }),
  })
  await listener.start((err) => t.fail(err.message))
  t.teardown(() => listener.stop())
  const port = listener.port ?? 0
  return { base: `http://127.0.0.1:${String(port)}/boot`, events, port }
}

void t.test('the script is text, not cached, and a step of the boot', async (t) => {
  const { base, events } = await serve(t)
  const reply = await fetch(`${base}/tok_EN-1/script`)
  t.equal(reply.status, 200)
  t.equal(reply.headers.get('cache-control'), 'no-store')
  t.match(await reply.text(), /^#!ipxe\n/)
  t.match(events, [{ kind: 'boot.script', stage: 'script', serverId: 's-1', ip: '127.0.0.1' }])
})

void t.test('a failed script is told with its step and error, made harmless', async (t) => {
  const { base, events } = await serve(t)
  await fetch(`${base}/tok_EN-1/failed?step=sanboot&errno=0x280a6011&try=2`)
  await fetch(`${base}/tok_EN-1/failed?step=%0Ax%1b[2J&errno=${'9'.repeat(500)}`)
  t.match(events[0], {
    kind: 'boot.script-failed',
    serverId: 's-1',
    message: /sanboot, try 2, iPXE error 0x280a6011 \(network unreachable\)$/,
  })
  t.match(events[1]?.message, /at \?x\?\?2J, try unknown, iPXE error 9{64}$/)
})

void t.test('phone home works by GET, by cloud-init form and by any other body', async (t) => {
  const { base, events } = await serve(t)
  const form = new URLSearchParams({ hostname: 'web1', instance_id: 'i-1', pub_key_rsa: 'ssh-rsa AAAA' })
  const bodies: RequestInit[] = [
    {},
    { method: 'POST', body: form },
    { method: 'POST' },
    { method: 'POST', body: '{broken', headers: { 'content-type': 'application/json' } },
    { method: 'POST', body: Buffer.from([0xff, 0]), headers: { 'content-type': 'not/a;;type' } },
  ]
  for (const init of bodies) t.equal((await fetch(`${base}/tok_EN-1/ready`, init)).status, 200)
  t.equal(events.filter((event) => event.stage === 'ready' && event.serverId === 's-1').length, bodies.length)
  t.match(events[1]?.message, 'as web1')
})

void t.test('a phone-home body beyond 64 KiB is refused', async (t) => {
  const { base, events } = await serve(t)
  const reply = await fetch(`${base}/tok_EN-1/ready`, { method: 'POST', body: 'x'.repeat(70_000) })
  t.equal(reply.status, 413)
  t.match(await reply.json(), { error: { code: 'INVALID_INPUT' } })
  t.same(events, [])
})

void t.test('an unknown token is a 404 everywhere and one event, however often it is tried', async (t) => {
  const { base, events } = await serve(t)
  for (let i = 0; i < 3; i++) {
    for (const path of ['script', 'failed', 'ready']) {
      const reply = await fetch(`${base}/guess${String(i)}/${path}`)
      t.equal(reply.status, 404)
      t.match(await reply.json(), { error: { code: 'NOT_FOUND' } })
    }
  }
  t.match(events, [{ kind: 'boot.unknown-token', ip: '127.0.0.1' }])
  t.equal(events.length, 1)
})

void t.test('a loader comes whole with its length, HEAD tells only the length', async (t) => {
  const { base, events } = await serve(t)
  const head = await fetch(`${base}/loaders/snponly.efi`, { method: 'HEAD' })
  t.equal(head.headers.get('content-length'), '300000')
  t.same(events, [])
  const reply = await fetch(`${base}/loaders/snponly.efi`)
  t.equal(reply.headers.get('content-length'), '300000')
  t.equal((await reply.text()).length, 300_000)
  t.match(events, [{ kind: 'boot.loader', stage: 'loader', ip: '127.0.0.1' }])
})

void t.test('no path leads out of the loader directories', async (t) => {
  const { port } = await serve(t)
  for (const name of ['none', '..%2f..%2fetc%2fpasswd', '%2fetc%2fpasswd', '..', '%00', '../../etc/passwd']) {
    const status = await new Promise((resolve, reject) => {
      const path = `/boot/loaders/${name}`
      httpRequest({ host: '127.0.0.1', port, path }, (reply) => {
        resolve(reply.resume().statusCode)
      })
        .on('error', reject)
        .end()
    })
    t.equal(status, 404, name)
  }
})

import { request as httpRequest } from 'node:http'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { DaemonEvent } from '../../src/events.js'
import { HttpListener } from '../../src/http/listener.js'
import { BootFiles } from '../../src/netboot/boot-files.js'
import { bootRoutes } from '../../src/netboot/boot-routes.js'
import type { BootTarget } from '../../src/netboot/decide.js'
import { loadScriptTemplates } from '../../src/netboot/ipxe/script.js'
import { bootTarget } from '../fakes/boot-target.js'
import { ManualClock } from '../fakes/manual-clock.js'

const TOKEN = 'tok_EN-1'
const MAC = '52:54:00:12:34:56'
/** 300,000 bytes, each telling where it is. */
const CONTENT = Array.from({ length: 30_000 }, (_, i) => String(i).padStart(10, '0')).join('')

interface Served {
  readonly base: string
  readonly port: number
  readonly events: DaemonEvent[]
  /** What was told to the parts behind the routes, in order. */
  readonly told: string[]
  /** Whether scripts are withheld: the machine is in a loop. */
  isLooping: boolean
  /** The address that the machine has. */
  allowed: string
  /** The token of the boot in progress. */
  bootToken: string
}

async function serve(t: Test): Promise<Served> {
  const events: DaemonEvent[] = []
  const told: string[] = []
  const server = { chapSecret: 'old' }
  const clock = new ManualClock()
  const routes = bootRoutes({
    findByToken: (token) => (token === served.bootToken ? target() : undefined),
    findByInstance: (id) => (id === 'i-1' ? bootTarget() : undefined),
    findByNic: (mac, ip) => (mac === MAC && ip === served.allowed ? target() : undefined),
    firmwareAsks: (serverId) => told.push(`firmware ${serverId}`),
    scriptAsked: (serverId) => {
      told.push(`script ${serverId}`)
      server.chapSecret = 'new'
    },
    desk: {
      maySendScript: () => !served.isLooping,
      onStage: (serverId, stage) => told.push(`${stage} ${serverId}`),
    },
    policy: { address: '198.18.0.1', httpPort: 8080 },
    templates: await loadScriptTemplates('boot'),
    files: new BootFiles({
      directories: [t.testdir({ 'snponly.efi': CONTENT, small: 'ten bytes.' })],
      cachedFileBytes: 1000,
    }),
    emit: (event) => events.push(event),
    clock,
  })
  const listener = new HttpListener({
    options: { name: 'boot', endpoint: { host: '127.0.0.1', port: 0 } },
    routes: [routes],
    log: pino({ level: 'silent' }),
  })
  await listener.start((err) => t.fail(err.message))
  t.teardown(() => listener.stop())
  const port = listener.port ?? 0
  const base = `http://127.0.0.1:${String(port)}/boot`
  const served = { base, events, port, told, isLooping: false, allowed: '127.0.0.1', bootToken: TOKEN }
  const target = (): BootTarget => bootTarget({ ...server, bootToken: served.bootToken })
  return served
}

void t.test('the script is text, not cached, and a step of the boot', async (t) => {
  const { base, events } = await serve(t)
  const reply = await fetch(`${base}/tok_EN-1/script`)
  t.equal(reply.status, 200)
  t.equal(reply.headers.get('cache-control'), 'no-store')
  t.match(await reply.text(), /^#!ipxe\n/)
  t.match(events, [{ kind: 'boot.script', stage: 'script', serverId: 's-1', ip: '127.0.0.1' }])
})

void t.test('a script has the secret that was made for its boot; HEAD makes none', async (t) => {
  const { base, told, events } = await serve(t)
  const hex = (text: string): string => `set password:hexraw ${Buffer.from(text).toString('hex')}\n`
  t.equal((await fetch(`${base}/${TOKEN}/script`, { method: 'HEAD' })).status, 200)
  t.same([told, events], [[], []])
  t.match(await (await fetch(`${base}/${TOKEN}/script`)).text(), hex('new'))
  t.same(told, ['script s-1'])
})

void t.test('a machine in a loop is told so on its screen, and given no secret', async (t) => {
  const served = await serve(t)
  served.isLooping = true
  const text = await (await fetch(`${served.base}/${TOKEN}/script`)).text()
  t.match(text, 'code LOOP-1, server web1')
  t.notMatch(text, 'password')
  t.same([served.told, served.events], [[], []])
})

void t.test('a machine whose DHCP is not ours starts by its MAC, from its own address only', async (t) => {
  const served = await serve(t)
  t.match(await (await fetch(`${served.base}/start/${MAC}`)).text(), 'sanboot')
  t.same(served.told, ['firmware s-1', 'script s-1'])
  t.match(await (await fetch(`${served.base}/start/52-54-00-12-34-99`)).text(), 'code MAC-1')
  t.match(await (await fetch(`${served.base}/start/x%0aecho`)).text(), 'code MAC-1')
  served.allowed = '198.18.0.11'
  t.notMatch(await (await fetch(`${served.base}/start/${MAC}`)).text(), 'sanboot')
  t.same(served.told, ['firmware s-1', 'script s-1'])
  t.equal(
    served.events.filter(({ kind }) => kind === 'boot.unknown-machine').length,
    1,
    'one event in a moment',
  )
})

void t.test('a failed script is told with its step, code and error, made harmless', async (t) => {
  const { base, events, told } = await serve(t)
  await fetch(`${base}/tok_EN-1/failed?step=sanboot&code=SAN-2&text=no-disk&errno=0x280a6011&try=2`)
  await fetch(`${base}/tok_EN-1/failed?step=%0Ax%1b[2J&errno=${'9'.repeat(500)}&__proto__=x&text[]=y`)
  await fetch(`${base}/tok_EN-1/failed`)
  t.match(events[0], {
    kind: 'boot.script-failed',
    serverId: 's-1',
    message: /at sanboot, code SAN-2, no-disk, try 2, iPXE error 0x280a6011 \(network unreachable\)$/,
  })
  t.match(events[1]?.message, /at \?x\?\?2J, iPXE error 9{64}$/)
  t.match(events[2]?.message, /at an unnamed step$/)
  t.same(told, ['reported s-1', 'reported s-1', 'reported s-1'])
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
  for (const init of bodies) t.equal((await fetch(`${base}/i-1/ready`, init)).status, 200)
  t.equal(events.filter((event) => event.stage === 'ready' && event.serverId === 's-1').length, bodies.length)
  t.match(events[1]?.message, 'as web1')
})

void t.test('a phone-home body beyond 64 KiB is refused', async (t) => {
  const { base, events } = await serve(t)
  const reply = await fetch(`${base}/i-1/ready`, { method: 'POST', body: 'x'.repeat(70_000) })
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

void t.test(
  'ready goes by the deploy, the rest by the boot: neither name is good for the other',
  async (t) => {
    const { base } = await serve(t)
    t.equal((await fetch(`${base}/${TOKEN}/ready`)).status, 404)
    for (const path of ['script', 'failed', 'loaders/small'])
      t.equal((await fetch(`${base}/i-1/${path}`)).status, 404)
  },
)

void t.test('a loader comes whole with its length, HEAD tells only the length', async (t) => {
  const { base, events } = await serve(t)
  const head = await fetch(`${base}/${TOKEN}/loaders/snponly.efi`, { method: 'HEAD' })
  t.equal(head.headers.get('content-length'), '300000')
  t.equal(head.headers.get('accept-ranges'), 'bytes')
  t.same(events, [])
  const reply = await fetch(`${base}/${TOKEN}/loaders/snponly.efi`)
  t.equal(reply.headers.get('content-length'), '300000')
  t.equal(reply.headers.get('etag'), head.headers.get('etag'))
  t.equal(await reply.text(), CONTENT)
  t.match(events, [{ kind: 'boot.loader', stage: 'loader', ip: '127.0.0.1', serverId: 's-1' }])
})

void t.test('a loader is served to the boot in progress only', async (t) => {
  const { base } = await serve(t)
  for (const path of ['loaders/snponly.efi', 'old/loaders/snponly.efi', '%2e%2e/loaders/snponly.efi'])
    t.equal((await fetch(`${base}/${path}`)).status, 404, path)
})

for (const [range, expected] of [
  ['bytes=0-9', [206, 'bytes 0-9/300000', CONTENT.slice(0, 10)]],
  ['bytes=299990-', [206, 'bytes 299990-299999/300000', CONTENT.slice(-10)]],
  ['bytes=-5', [206, 'bytes 299995-299999/300000', CONTENT.slice(-5)]],
  ['bytes=262140-262150', [206, 'bytes 262140-262150/300000', CONTENT.slice(262_140, 262_151)]],
  ['bytes=300000-', [416, 'bytes */300000', '']],
  ['bytes=5-1', [200, null, CONTENT]],
  ['bytes=0-1,5-6', [200, null, CONTENT]],
] as const) {
  void t.test(`a loader asked for with Range: ${range}, by GET and by HEAD`, async (t) => {
    const { base } = await serve(t)
    for (const method of ['GET', 'HEAD']) {
      const reply = await fetch(`${base}/${TOKEN}/loaders/snponly.efi`, { method, headers: { range } })
      const [status, contentRange, body] = expected
      t.equal(reply.status, status)
      t.equal(reply.headers.get('content-range'), contentRange)
      if (status !== 416) t.equal(reply.headers.get('content-length'), String(body.length))
      t.equal(await reply.text(), method === 'GET' ? body : '')
    }
  })
}

void t.test(
  'the rest of a file is sent only of the version that the client has the beginning of',
  async (t) => {
    const { base, events } = await serve(t)
    const url = `${base}/${TOKEN}/loaders/small`
    const etag = (await fetch(url, { method: 'HEAD' })).headers.get('etag') ?? ''
    const rest = await fetch(url, { headers: { range: 'bytes=4-', 'if-range': etag } })
    t.same([rest.status, await rest.text()], [206, 'bytes.'])
    const other = await fetch(url, { headers: { range: 'bytes=4-', 'if-range': '"other"' } })
    t.same([other.status, await other.text()], [200, 'ten bytes.'])
    const same = await fetch(url, { headers: { 'if-none-match': `"x", W/${etag}` } })
    t.same([same.status, await same.text()], [304, ''])
    t.equal(events.length, 1, 'neither the rest of a file nor none of it is a loader of its own')
  },
)

void t.test('no path leads out of the loader directories, and only the first refusal is told', async (t) => {
  const { port, events } = await serve(t)
  const names = [
    'none',
    '..%2f..%2fetc%2fpasswd',
    '%2fetc%2fpasswd',
    '..',
    '%00',
    '../../etc/passwd',
    '__proto__',
  ]
  for (const name of [...names, '%c0%ae%c0%ae%2fetc', '%ff', 'x'.repeat(5000), '..%5c..%5cetc%5cpasswd']) {
    const reply = await rawGet(port, `/boot/${TOKEN}/loaders/${name}`)
    t.ok([400, 404, 414].includes(reply.status), `${name.slice(0, 20)}: ${String(reply.status)}`)
    t.notMatch(reply.body, /root:|directory/)
  }
  t.equal(events.filter(({ kind }) => kind === 'boot.no-such-file').length, 1)
})

function rawGet(port: number, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    httpRequest({ host: '127.0.0.1', port, path }, (reply) => {
      let body = ''
      reply.setEncoding('utf8').on('data', (piece: string) => (body += piece))
      reply.on('end', () => resolve({ status: reply.statusCode ?? 0, body }))
    })
      .on('error', reject)
      .end()
  })
}

void t.test('a token that was stolen in a boot serves nothing after it, and is one event', async (t) => {
  const served = await serve(t)
  t.equal((await fetch(`${served.base}/${TOKEN}/script`)).status, 200)
  served.bootToken = 'of-the-next-boot'
  served.told.length = 0
  served.events.length = 0
  for (const what of ['script', 'loaders/small', 'loaders/snponly.efi', 'failed?step=x', 'ready']) {
    const reply = await fetch(`${served.base}/${TOKEN}/${what}`)
    t.equal(reply.status, 404, what)
    t.notMatch(await reply.text(), /password|ten bytes|noted/)
  }
  t.same(served.told, [], 'nor does anything follow from it')
  t.match(served.events, [{ kind: 'boot.unknown-token', ip: '127.0.0.1' }])
  t.equal(served.events.length, 1)
})

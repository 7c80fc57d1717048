import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import { DaemonError } from '../../src/errors.js'
import { HttpListener, type HttpListenerOptions, type RoutePlugin } from '../../src/http/listener.js'

const routes: RoutePlugin = (app) => {
  app.get('/hello', () => ({ hello: 'rack' }))
  app.get('/refused', () => {
    throw new DaemonError('IN_USE', 'image web is used by server web1')
  })
  app.get('/broken', () => {
    throw new Error('secret detail')
  })
  app.post('/echo', (request) => request.body)
  app.get('/slow', () => new Promise(() => undefined))
}

function listener(more: Partial<HttpListenerOptions> = {}, lines: string[] = []): HttpListener {
  return new HttpListener({
    options: { name: 'test', endpoint: { host: '127.0.0.1', port: 0 }, ...more },
    routes: [routes],
    log: pino({ level: 'error' }, { write: (line: string) => void lines.push(line) }),
  })
}

async function serve(
  t: Test,
  more: Partial<HttpListenerOptions> = {},
  lines: string[] = [],
): Promise<string> {
  const http = listener(more, lines)
  await http.start((err) => t.fail(err.message))
  t.teardown(() => http.stop())
  return `http://127.0.0.1:${String(http.port ?? 0)}`
}

void t.test('GET answers and HEAD gives the same headers without a body', async (t) => {
  const base = await serve(t)
  t.same(await (await fetch(`${base}/hello`)).json(), { hello: 'rack' })
  const head = await fetch(`${base}/hello`, { method: 'HEAD' })
  t.equal(head.status, 200)
  t.equal(head.headers.get('content-length'), '16')
  t.equal(await head.text(), '')
})

void t.test('a DaemonError is its status and its sentence', async (t) => {
  const reply = await fetch(`${await serve(t)}/refused`)
  t.equal(reply.status, 409)
  t.same(await reply.json(), { error: { code: 'IN_USE', message: 'image web is used by server web1' } })
})

void t.test('any other error is a 500 that the log explains and the peer does not learn', async (t) => {
  const lines: string[] = []
  const reply = await fetch(`${await serve(t, {}, lines)}/broken`)
  t.equal(reply.status, 500)
  t.notMatch(await reply.text(), 'secret')
  t.match(lines.join(''), 'secret detail')
})

void t.test('an unknown path, a bad body and a large body have error bodies of the one form', async (t) => {
  const base = await serve(t, { bodyLimitBytes: 100 })
  const post = (body: string): RequestInit => ({
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  })
  const cases: [string, RequestInit, number, string][] = [
    ['/none', {}, 404, 'NOT_FOUND'],
    ['/%zz', {}, 400, 'INVALID_INPUT'],
    ['/echo', post('{'), 400, 'INVALID_INPUT'],
    ['/echo', post(`"${'x'.repeat(200)}"`), 413, 'INVALID_INPUT'],
  ]
  for (const [path, init, status, code] of cases) {
    const reply = await fetch(base + path, init)
    t.equal(reply.status, status, path)
    t.match(await reply.json(), { error: { code, message: String } }, path)
  }
})

void t.test(
  'bytes that are no HTTP get a 400 with the same body, and the next request is served',
  async (t) => {
    const base = await serve(t)
    const socket = connect(Number(new URL(base).port), '127.0.0.1')
    socket.end('\x16\x03\x01 rubbish\r\n\r\n')
    let text = ''
    socket.on('data', (chunk) => (text += chunk.toString()))
    await once(socket, 'close')
    t.match(text, /^HTTP\/1\.1 400 Bad Request\r\n/)
    t.match(text, '{"error":{"code":"INVALID_INPUT"')
    t.equal((await fetch(`${base}/hello`)).status, 200)
  },
)

void t.test('connections beyond the limit are closed', async (t) => {
  const base = await serve(t, { maxConnections: 1, graceMs: 50 })
  const first = connect(Number(new URL(base).port), '127.0.0.1')
  first.on('error', () => undefined)
  await once(first, 'connect')
  const second = connect(Number(new URL(base).port), '127.0.0.1')
  second.on('error', () => undefined)
  await once(second, 'close')
  first.destroy()
  t.pass('the second was closed')
})

void t.test('stop cuts an answer that does not end', async (t) => {
  const http = listener({ graceMs: 50 })
  await http.start((err) => t.fail(err.message))
  const slow = fetch(`http://127.0.0.1:${String(http.port ?? 0)}/slow`)
  const cut = t.rejects(slow)
  const idle = connect(http.port ?? 0, '127.0.0.1')
  idle.on('error', () => undefined)
  await once(idle, 'connect')
  await http.stop()
  await cut
  t.equal(http.port, undefined)
})

void t.test('a listener starts again after it was stopped', async (t) => {
  const http = listener()
  for (let i = 0; i < 2; i++) {
    await http.start((err) => t.fail(err.message))
    t.equal((await fetch(`http://127.0.0.1:${String(http.port ?? 0)}/hello`)).status, 200)
    await http.stop()
  }
})

void t.test('a Unix socket belongs to its owner alone, and a stale one is replaced', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'http-'))
  t.teardown(() => {
    rmSync(directory, { recursive: true })
  })
  const socketPath = join(directory, 's')
  const http = listener({ endpoint: { socketPath } })
  await http.start((err) => t.fail(err.message))
  t.equal(statSync(socketPath).mode & 0o777, 0o600)
  const reply = request({ socketPath, path: '/hello' }).end()
  const [response] = (await once(reply, 'response')) as [{ statusCode: number; resume: () => void }]
  response.resume()
  t.equal(response.statusCode, 200)
  await t.rejects(
    listener({ endpoint: { socketPath } }).start(() => undefined),
    { code: 'STATE_LOCKED' },
  )
  await http.stop()
  const plain = join(directory, 'plain')
  writeFileSync(plain, '')
  await t.rejects(
    listener({ endpoint: { socketPath: plain } }).start(() => undefined),
    { code: 'STATE_LOCKED' },
  )
})

void t.test('a taken port is an error that leaves nothing open', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => void taken.close())
  const address = taken.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const http = listener({ endpoint: { host: '127.0.0.1', port } })
  await t.rejects(
    http.start(() => undefined),
    { code: 'EADDRINUSE' },
  )
})

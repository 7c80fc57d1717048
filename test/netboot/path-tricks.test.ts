// The same tricks by TFTP and by HTTP, against one directory that has a secret beside it.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { DaemonEvent } from '../../src/events.js'
import { HttpListener } from '../../src/http/listener.js'
import { BootFiles } from '../../src/netboot/boot-files.js'
import { bootRoutes } from '../../src/netboot/boot-routes.js'
import { loadScriptTemplates } from '../../src/netboot/ipxe/script.js'
import { TftpServer } from '../../src/netboot/tftp/tftp-server.js'
import { IDLE_BOOTS } from '../fakes/idle-boots.js'
import { download } from '../fakes/lossy-tftp-client.js'
import { ManualClock } from '../fakes/manual-clock.js'

const HOST = '127.0.0.1'
const SECRET = 'nobody may read this'
const GOOD = 'a loader'

/** Each is one character per byte. */
const TRICKS: readonly string[] = [
  '../secret',
  '../../../../../../../../../../etc/passwd',
  'sub/../../secret',
  './/..//secret',
  '..',
  '.',
  '/',
  'sub',
  'sub/',
  'good.efi/',
  'good.efi/../../secret',
  '/etc/passwd',
  '//etc/passwd',
  'file:///etc/passwd',
  '..\\secret',
  'sub\\..\\..\\secret',
  'C:\\secret',
  'link',
  'folder/secret',
  'loop',
  'beside-link/secret', // a directory whose name begins like ours
  '\xc0\xae\xc0\xae/secret', // ".." in overlong UTF-8
  '\xe0\x80\xae\xe0\x80\xae/secret',
  '\xef\xbc\x8e\xef\xbc\x8e/secret', // full-width dots
  '\xff\xfe',
  'good.efi\n',
  'good.efi\x7f',
  '__proto__',
  'constructor',
  'hasOwnProperty/x',
  '%2e%2e%2fsecret',
  '%252e%252e%252fsecret',
  'x'.repeat(300), // longer than a name may be
  'y/'.repeat(250) + 'z',
]

interface Served {
  readonly directory: string
  readonly events: DaemonEvent[]
}

function lay(t: Test): Served {
  const root = t.testdir({
    secret: SECRET,
    inside: { 'good.efi': GOOD, sub: { deep: GOOD } },
    'inside-2': {},
  })
  const directory = join(root, 'inside')
  writeFileSync(join(root, 'inside-2', 'secret'), SECRET)
  mkdirSync(join(root, 'beside'))
  writeFileSync(join(root, 'beside', 'secret'), SECRET)
  symlinkSync('../secret', join(directory, 'link'))
  symlinkSync(join(root, 'beside'), join(directory, 'folder'))
  symlinkSync('../inside-2', join(directory, 'beside-link'))
  symlinkSync('loop', join(directory, 'loop'))
  return { directory, events: [] }
}

async function serveTftp(t: Test): Promise<Served & { readonly port: number }> {
  const served = lay(t)
  const server = new TftpServer({
    options: { address: HOST, port: 0 },
    files: new BootFiles({ directories: [served.directory] }),
    emit: (event) => served.events.push(event),
    clock: new ManualClock(),
    log: pino({ level: 'silent' }),
  })
  await server.start((err) => t.fail(err.message))
  t.teardown(() => server.stop())
  return { ...served, port: server.port ?? 0 }
}

async function serveHttp(t: Test): Promise<Served & { readonly port: number }> {
  const served = lay(t)
  const listener = new HttpListener({
    options: { name: 'boot', endpoint: { host: HOST, port: 0 } },
    routes: [
      bootRoutes({
        ...IDLE_BOOTS,
        policy: { address: HOST, httpPort: 8080 },
        templates: await loadScriptTemplates('boot'),
        files: new BootFiles({ directories: [served.directory] }),
        emit: (event) => served.events.push(event),
        clock: new ManualClock(),
      }),
    ],
    log: pino({ level: 'silent' }),
  })
  await listener.start((err) => t.fail(err.message))
  t.teardown(() => listener.stop())
  return { ...served, port: listener.port ?? 0 }
}

/** A request as it stands: fetch() would tidy the path. */
async function rawGet(port: number, path: string, method = 'GET'): Promise<{ status: number; text: string }> {
  const socket = connect(port, HOST)
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: boot\r\nConnection: close\r\n\r\n`, 'latin1')
  const parts: Buffer[] = []
  for await (const part of socket) parts.push(part as Buffer)
  const text = Buffer.concat(parts).toString('latin1')
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]), text }
}

const percent = (name: string): string =>
  [...Buffer.from(name, 'latin1')].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')

function isHarmless(events: readonly DaemonEvent[]): boolean {
  return events.every(({ message }) => /^[\x20-\x7e]{1,200}$/.test(message))
}

void t.test('no trick by TFTP finds a file, and all of them are one event', async (t) => {
  const { port, events } = await serveTftp(t)
  for (const filename of ['', ...TRICKS]) {
    t.match(await download({ host: HOST, port, filename }), { error: 1 }, JSON.stringify(filename))
  }
  t.same(
    events.map(({ kind }) => kind),
    ['tftp.not-found'],
  )
  t.ok(isHarmless(events), 'whose words are printable and short')
  t.match(await download({ host: HOST, port, filename: 'sub/deep' }), { data: Buffer.from(GOOD) })
})

void t.test(
  'no trick by HTTP finds a file, bare or in percents, and all of them are one event',
  async (t) => {
    const { port, events } = await serveHttp(t)
    const bare = TRICKS.filter((name) => !/[\x00-\x20\x7f]/.test(name))
    const paths = [...bare, ...TRICKS.map(percent), ...TRICKS.map((name) => percent(percent(name)))]
    for (const path of [
      ...paths,
      '%00',
      'good.efi%00',
      'good.efi%00.txt',
      '%',
      '%zz',
      '%u002e',
      '..;/secret',
    ]) {
      const { status, text } = await rawGet(port, `/boot/token/loaders/${path}`)
      t.ok([400, 404, 414].includes(status), `${String(status)} ${path.slice(0, 60)}`)
      t.notMatch(text, SECRET)
      t.notMatch(text, 'root:')
    }
    const kinds = events.map(({ kind }) => kind)
    t.same(kinds, [...new Set(kinds)])
    t.ok(isHarmless(events), 'whose words are printable and short')
    t.match(await rawGet(port, '/boot/token/loaders/good.efi'), { status: 200, text: GOOD })
  },
)

void t.test('tricks in place of a token or of the whole path are 404', async (t) => {
  const { port } = await serveHttp(t)
  for (const path of [
    '/boot/__proto__/script',
    '/boot/constructor/ready',
    '/boot/..%2fsecret/script',
    '/boot/%00/script',
    '/boot/../secret',
    '/../secret',
    '//etc/passwd',
    'http://elsewhere/../secret',
    '/boot/token/loaders/../../secret',
    '/boot/loaders/good.efi',
    '/boot/other/loaders/good.efi',
    `/boot/${'x'.repeat(5000)}/script`,
  ]) {
    for (const method of ['GET', 'HEAD']) {
      const { status, text } = await rawGet(port, path, method)
      t.ok([400, 404, 414].includes(status), `${String(status)} ${method} ${path.slice(0, 60)}`)
      t.notMatch(text, SECRET)
    }
  }
})

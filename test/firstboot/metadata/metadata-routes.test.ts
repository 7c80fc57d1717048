import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import pino from 'pino'
import t, { type Test } from 'tap'
import { DaemonError } from '../../../src/errors.js'
import type { DaemonEvent } from '../../../src/events.js'
import type { CallerFacts } from '../../../src/firstboot/metadata/caller.js'
import { MetadataRoutes, type MetadataServer } from '../../../src/firstboot/metadata/metadata-routes.js'
import { metadataPages } from '../../../src/firstboot/metadata/pages.js'
import { HttpListener } from '../../../src/http/listener.js'
import { ManualClock } from '../../fakes/manual-clock.js'
import { FULL_SEED, SMALL_SEED } from '../seed/sample-seed.js'

const MACS = { alice: '52:54:00:00:00:0a', bob: '52:54:00:00:00:0b' } as const
/** On Linux every address of 127.0.0.0/8 is this host's: two servers ask from two of them. */
const ALICE = '127.0.0.10'
const BOB = '127.0.0.20'

interface Stand {
  readonly port: number
  readonly clock: ManualClock
  readonly routes: MetadataRoutes
  readonly events: DaemonEvent[]
  /** What the network says of an address; changed by tests. */
  readonly facts: Map<string, Partial<CallerFacts>>
  readonly passwords: Map<string, string>
}

async function serve(t: Test): Promise<Stand> {
  const clock = new ManualClock()
  const events: DaemonEvent[] = []
  const passwords = new Map<string, string>()
  const facts = new Map<string, Partial<CallerFacts>>(
    (
      [
        [ALICE, MACS.alice],
        [BOB, MACS.bob],
      ] as const
    ).map(([address, mac]) => [
      address,
      { neighbourMac: mac, lease: { mac, expiresMs: clock.nowMs() + 3_600_000 } },
    ]),
  )
  const routes = new MetadataRoutes({
    factsOf: (address) => {
      const none = { neighbourMac: undefined, lease: undefined, fixedMac: undefined }
      return Promise.resolve({ address, way: 'segment' as const, ...none, ...facts.get(address) })
    },
    serverOf: (mac) => {
      const found = Object.entries(MACS).find(([, own]) => own === mac)
      return found && server(found[0], passwords)
    },
    sealPassword: (serverId, sealed) => {
      if (sealed === '') throw new DaemonError('INVALID_INPUT', 'password: nothing')
      if (passwords.has(serverId)) throw new DaemonError('WRONG_STATE', 'password: there is one')
      passwords.set(serverId, sealed)
    },
    hosts: new Set(['127.0.0.1']),
    emit: (event) => events.push(event),
    clock,
  })
  const listener = new HttpListener({
    options: { name: 'metadata', endpoint: { host: '127.0.0.1', port: 0 } },
    routes: [routes.plugin],
    log: pino({ level: 'silent' }),
  })
  await listener.start((err) => t.fail(err.message))
  t.teardown(() => listener.stop())
  return { port: listener.port ?? 0, clock, routes, events, facts, passwords }
}

function server(name: string, passwords: ReadonlyMap<string, string>): MetadataServer {
  const seed = name === 'alice' ? FULL_SEED : SMALL_SEED
  return {
    serverId: name,
    serverName: name,
    instanceId: seed.instanceId,
    macs: [name === 'alice' ? MACS.alice : MACS.bob],
    ownAddresses: [],
    pages: () => metadataPages(seed, passwords.get(name)),
    readStage: name === 'alice' ? 'seed-read' : 'ready',
  }
}

interface Asked {
  readonly from?: string
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly agent?: Agent
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly headers: IncomingMessage['headers']
}

function ask({ port }: Stand, path: string, asked: Asked = {}): Promise<Answer> {
  const { from = ALICE, method = 'GET', headers = {}, body, agent } = asked
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method, headers, localAddress: from }
    const call = httpRequest({ ...options, agent: agent ?? false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text, headers: response.headers }))
    })
    call.on('error', reject).end(body)
  })
}

const DOCUMENT = '/openstack/latest/meta_data.json'
const INSTANCE = '/latest/meta-data/instance-id'

void t.test('each server reads its own documents, over kept connections too', async (t) => {
  const stand = await serve(t)
  for (let round = 0; round < 3; round++) {
    t.equal((await ask(stand, INSTANCE)).text, FULL_SEED.instanceId)
    t.equal((await ask(stand, INSTANCE, { from: BOB })).text, SMALL_SEED.instanceId)
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const { status, text, headers } = await ask(stand, DOCUMENT, { agent })
  t.match(
    { status, type: headers['content-type'], cache: headers['cache-control'] },
    {
      ...{ status: 200, type: 'application/json', cache: 'no-store' },
    },
  )
  t.match(JSON.parse(text), { uuid: FULL_SEED.instanceId, launch_index: 0, availability_zone: 'az-1' })
  stand.facts.set(ALICE, { ...stand.facts.get(BOB) })
  t.equal((await ask(stand, INSTANCE, { agent })).text, SMALL_SEED.instanceId, 'the address is another’s now')
  stand.facts.delete(ALICE)
  t.equal((await ask(stand, DOCUMENT, { agent })).status, 404, 'a connection is no proof')
})

void t.test('a read is told once in a boot', async (t) => {
  const stand = await serve(t)
  await ask(stand, '/openstack')
  await ask(stand, DOCUMENT)
  await ask(stand, INSTANCE, { from: BOB })
  t.match(stand.events, [
    { kind: 'metadata.read', stage: 'seed-read', serverId: 'alice', ip: ALICE },
    { kind: 'metadata.read', stage: 'ready', serverId: 'bob' },
  ])
  stand.routes.bootBegins('alice')
  await ask(stand, DOCUMENT)
  await ask(stand, INSTANCE, { from: BOB })
  t.equal(stand.events.length, 3)
})

const REFUSED: readonly [string, Asked, Partial<CallerFacts>][] = [
  ['an address without a lease', { from: '127.0.0.30' }, {}],
  ['a server that took an address of nobody', { from: '127.0.0.30' }, { neighbourMac: MACS.alice }],
  ['another MAC with the address of a server', {}, { neighbourMac: '52:54:00:00:00:99' }],
  ['another server with the address of a server', {}, { neighbourMac: MACS.bob }],
  ['an ended lease', {}, { lease: { mac: MACS.alice, expiresMs: 0 } }],
  ['an address of no subnet', {}, { way: 'none' }],
  ['a forwarded request', { headers: { 'X-Forwarded-For': '198.18.0.9' } }, {}],
  ['a request through a proxy', { headers: { Via: '1.1 proxy' } }, {}],
  ['a Host of somebody else', { headers: { Host: 'attacker.example' } }, {}],
]

for (const [who, asked, facts] of REFUSED) {
  void t.test(`${who} gets the 404 of an unknown path, and one event`, async (t) => {
    const stand = await serve(t)
    const unknown = await ask(stand, '/no/such/path')
    const from = asked.from ?? ALICE
    stand.facts.set(from, { ...stand.facts.get(from), ...facts })
    for (const path of [DOCUMENT, '/', '/latest/user-data', '/nocloud/user-data', '/no/such/path']) {
      const { status, text } = await ask(stand, path, asked)
      t.same([status, text], [404, unknown.text], path)
    }
    const posted = await ask(stand, '/openstack/latest/password', { ...asked, method: 'POST', body: 'AAAA' })
    t.same([posted.status, posted.text], [404, unknown.text])
    const headers = { ...asked.headers, 'x-aws-ec2-metadata-token-ttl-seconds': '60' }
    t.equal((await ask(stand, '/latest/api/token', { ...asked, method: 'PUT', headers })).status, 404)
    t.match(stand.events, [{ kind: 'metadata.refused', ip: from, message: /^metadata refused to 127/ }])
    t.equal(stand.events.length, 1)
    t.equal(stand.passwords.size, 0)
    stand.clock.advance(10_000)
    await ask(stand, DOCUMENT, asked)
    t.equal(stand.events.length, 2, 'it is told again when it goes on')
  })
}

void t.test('nothing of another server is in any page of one', async (t) => {
  const stand = await serve(t)
  const pages = [...metadataPages(SMALL_SEED, undefined).keys()]
  for (const path of pages) {
    const { status, text } = await ask(stand, `/${path}`, { from: BOB })
    t.equal(status, 200, path)
    t.notMatch(text, /web-1|i-20261123|admin@example|héllo/, path)
  }
  t.equal((await ask(stand, '/openstack/latest/user_data', { from: BOB })).status, 404)
})

void t.test('a session token is given for its time to its peer; what is none is told so', async (t) => {
  const stand = await serve(t)
  const issue = (ttl: string, from = ALICE): Promise<Answer> => {
    const headers = { 'X-aws-ec2-metadata-token-ttl-seconds': ttl }
    return ask(stand, '/latest/api/token', { method: 'PUT', from, headers })
  }
  const read = async (token: string, from = ALICE): Promise<number> => {
    return (await ask(stand, INSTANCE, { from, headers: { 'X-aws-ec2-metadata-token': token } })).status
  }
  const { status, text, headers } = await issue('60')
  t.same([status, headers['x-aws-ec2-metadata-token-ttl-seconds']], [200, '60'])
  t.equal(await read(text), 200)
  t.equal(await read(text, BOB), 401)
  t.equal(await read('made-up'), 401)
  stand.clock.advance(60_000)
  t.equal(await read(text), 401)
  t.equal((await ask(stand, INSTANCE)).status, 200, 'EC2’s first version is served too')
  for (const ttl of ['0', '21601', '-1', 'x', '1e3']) t.equal((await issue(ttl)).status, 400, ttl)
  t.equal((await ask(stand, '/latest/api/token', { method: 'PUT' })).status, 400)
  t.equal((await ask(stand, '/latest/api/token')).status, 404)
})

void t.test('a password is taken once', async (t) => {
  const stand = await serve(t)
  const post = async (body: string, path = '/openstack/2013-04-04/password'): Promise<number> => {
    return (await ask(stand, path, { method: 'POST', body })).status
  }
  t.equal(await post(''), 400)
  t.equal(await post('A'.repeat(9000)), 413)
  t.equal(await post('AAAA', '/openstack/latest/meta_data.json'), 404)
  t.equal((await ask(stand, '/openstack/latest/password')).text, '')
  t.equal(await post('c2VhbGVk\n'), 200)
  t.equal((await ask(stand, '/openstack/latest/password')).text, 'c2VhbGVk')
  t.equal(await post('AAAA'), 409)
  t.same([...stand.passwords], [['alice', 'c2VhbGVk']])
  t.equal((await ask(stand, '/openstack/latest/password', { from: BOB })).text, '')
})

void t.test('other methods and broken paths are no pages', async (t) => {
  const stand = await serve(t)
  for (const method of ['DELETE', 'PUT', 'PATCH', 'OPTIONS']) {
    t.equal((await ask(stand, DOCUMENT, { method })).status, 404, method)
  }
  for (const path of [
    '/openstack/../latest',
    '/__proto__',
    '/constructor',
    '/latest/meta-data/_name',
    '//',
  ]) {
    t.not((await ask(stand, path)).status, 500, path)
  }
  t.equal((await ask(stand, DOCUMENT, { method: 'HEAD' })).text, '')
})

void t.test('who asks far too often is served no more in that second', async (t) => {
  const stand = await serve(t)
  for (let count = 0; count < 200; count++) await ask(stand, '/openstack')
  t.equal((await ask(stand, DOCUMENT)).status, 404)
  t.equal((await ask(stand, DOCUMENT, { from: BOB })).status, 200, 'others are')
  stand.clock.advance(1000)
  t.equal((await ask(stand, DOCUMENT)).status, 200)
  t.equal(stand.events.filter(({ kind }) => kind === 'metadata.refused').length, 1)
})

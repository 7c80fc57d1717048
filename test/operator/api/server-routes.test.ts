import fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Keypairs } from '../../../src/control/keypairs.js'
import { sealPassword } from '../../../src/control/sealed-password.js'
import { DaemonError } from '../../../src/errors.js'
import { errorBody } from '../../../src/http/error-reply.js'
import { apiRoutes, type ApiDeps } from '../../../src/operator/api/routes.js'
import { addMachine, bench, type Bench } from '../../control/server-bench.js'

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

interface Api extends Bench {
  readonly call: (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, body?: object) => Promise<Answer>
}

/** The API over the bench of control, with the listener's rules for bodies. */
function api(t: Test): Api {
  const made = bench(t)
  addMachine(made.machines, 1)
  const app = fastify({ ajv: { customOptions: { removeAdditional: false } } })
  app.setErrorHandler((err, _request, reply) => {
    const isOurs = err instanceof DaemonError
    const message = err instanceof Error ? err.message : String(err)
    return reply.code(isOurs ? err.status : 400).send(errorBody(isOurs ? err.code : 'INVALID_INPUT', message))
  })
  const keypairs = new Keypairs(made.deps)
  const allocatedBytes = (): Promise<number> => Promise.resolve(0)
  apiRoutes({ ...made, keypairs, allocatedBytes } as unknown as ApiDeps)(app)
  t.teardown(() => app.close())
  return { ...made, call: caller(app) }
}

function caller(app: FastifyInstance): Api['call'] {
  return async (method, url, body) => {
    const { statusCode, payload } = await app.inject({
      method,
      url,
      ...(body !== undefined && { payload: body }),
    })
    return { status: statusCode, body: (payload === '' ? {} : JSON.parse(payload)) as Answer['body'] }
  }
}

const NEW = { name: 'web1', image: 'debian' }
const LINE = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhbGFuY2VzYmFsYW5jZXNiYWxhbmNlc2JhbGFuY2Vz'

void t.test(
  'a server is created with key pairs, bare keys, a network and a password, of which it shows no secret',
  async (t) => {
    const { call, registry } = api(t)
    const made = await call('POST', '/keypairs', { name: 'mine' })
    t.equal(made.status, 201)
    t.match(made.body, { kind: 'ssh-ed25519', private_key: /^-----BEGIN OPENSSH PRIVATE KEY-----\n/ })
    t.notOk('private_key' in (await call('GET', '/keypairs/mine')).body, 'the private key is told once')
    const network = { links: [{ kind: 'nic', id: 'a', mac: '52:54:00:00:00:01' }] }
    const wish = { ...NEW, keys: ['mine'], ssh_keys: [LINE], network, admin_password: 'Correct-Horse9' }
    const created = await call('POST', '/servers', wish)
    t.equal(created.status, 201)
    const expected = {
      keys: ['mine', 'key-0'],
      network,
      has_admin_password: true,
      has_sealed_password: false,
    }
    t.match(created.body, expected)
    t.notMatch(JSON.stringify(created.body), /\$6\$|Horse/)
    t.match(registry.servers.find('web1')?.keys[1], { name: 'key-0', publicKey: LINE })
    t.equal((await call('POST', '/servers', { ...NEW, name: 'web2', keys: ['nobody'] })).status, 404)
  },
)

void t.test('PATCH changes what is named, null takes away, and the rest stays', async (t) => {
  const { call, registry } = api(t)
  const userData = Buffer.from('#cloud-config\n').toString('base64')
  await call('POST', '/servers', { ...NEW, ssh_keys: [LINE], user_data: userData, network: { links: [] } })
  const before = registry.servers.find('web1')
  t.equal((await call('PATCH', '/servers/web1', { name: 'web2' })).body['name'], 'web2')
  t.same(registry.servers.find('web2'), { ...before, name: 'web2' })
  const changed = await call('PATCH', '/servers/web2', { user_data: null, network: null, ssh_keys: [] })
  t.match(changed, { status: 200, body: { network: null, keys: [] } })
  t.equal(registry.servers.find('web2')?.userData, undefined)
  const refused: readonly object[] = [
    { user_data: 'not base64!' },
    { unknown: 1 },
    { name: 'Web' },
    { keys: 'x y' },
  ]
  for (const body of refused) t.match((await call('PATCH', '/servers/web2', body)).status, /^40[04]$/)
  t.equal((await call('PATCH', '/servers/nobody', { name: 'x' })).status, 404)
})

void t.test('a sealed password is shown until it is cleared', async (t) => {
  const { call, registry, deps } = api(t)
  await call('POST', '/servers', NEW)
  t.equal((await call('GET', '/servers/web1/password')).status, 404)
  sealPassword(deps, registry.servers.find('web1')?.id ?? '', 'QUJD')
  t.match(await call('GET', '/servers/web1/password'), { status: 200, body: { password: 'QUJD' } })
  t.equal((await call('DELETE', '/servers/web1/password')).status, 204)
  t.equal((await call('GET', '/servers/web1/password')).status, 404)
})

void t.test('a server is deployed again by its route', async (t) => {
  const { call, power } = api(t)
  const { body: before } = await call('POST', '/servers', NEW)
  power.state = 'on'
  t.equal((await call('POST', '/servers/web1/redeploy', {})).status, 409)
  const { status, body } = await call('POST', '/servers/web1/redeploy', { force: true, image: 'debian' })
  t.equal(status, 200)
  t.not(body['instance_id'], before['instance_id'])
  t.equal(body['id'], before['id'])
})

void t.test('roles of NICs and properties of images are set by PATCH', async (t) => {
  const { call } = api(t)
  const nics = [
    { mac: '52:54:00:00:01:01', ip: '198.18.0.50', role: 'storage' },
    { mac: '52:54:00:00:01:02' },
  ]
  const made = await call('POST', '/machines', { name: 'two', nics, inic: 'card' })
  t.match(made.body, { inic: 'card', nics: [{ role: 'storage' }, { role: 'tenant' }] })
  const changed = await call('PATCH', '/machines/two', {
    nics: [{ mac: '52:54:00:00:01:01', role: 'tenant' }],
    inic: 'nic',
  })
  t.match(changed.body, { inic: 'nic', nics: [{ role: 'tenant' }, { role: 'tenant' }] })
  t.equal(
    (await call('PATCH', '/machines/two', { nics: [{ mac: '52:54:00:00:01:01', role: 'other' }] })).status,
    400,
  )
})

import { get } from 'node:http'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { parseConfig } from '../../src/config.js'
import type { DaemonEvent } from '../../src/events.js'
import { openRegistry, type Registry } from '../../src/registry/registry.js'
import { metadataServers, metadataServices } from '../../src/wiring/metadata.js'
import { freePort } from '../rack/daemons.js'
import { fill, IMAGE, MACHINE, SERVER } from '../registry/sample-records.js'

const BOOT = '[boot]\naddress = "198.18.0.1"\n[subnet]\ncidr = "198.18.0.0/24"\n'

function servicesOf(
  t: Test,
  text: string,
): { services: ReturnType<typeof metadataServices>; events: DaemonEvent[] } {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  fill(registry)
  const events: DaemonEvent[] = []
  const services = metadataServices(
    { config: parseConfig(text, 'FILE'), log: pino({ level: 'silent' }) },
    registry,
    {
      leases: { find: () => undefined },
      life: { emit: (event) => events.push(event), watch: () => undefined },
    },
  )
  return { services, events }
}

void t.test('where nobody is to be served there is no service', (t) => {
  t.equal(servicesOf(t, `${BOOT}[metadata]\nenabled = false\n`).services.length, 0)
  t.equal(servicesOf(t, '[boot]\naddress = "198.18.0.1"\ndhcp = false\n').services.length, 0)
  t.equal(servicesOf(t, BOOT).services.length, 1)
  t.end()
})

void t.test('an address that the host does not have is one event, which says what to do', async (t) => {
  const { services, events } = servicesOf(t, `${BOOT}[metadata]\naddress = "203.0.113.7"\n`)
  const [service] = services
  await service?.start((cause) => t.fail(cause.message))
  t.match(events, [
    {
      kind: 'metadata.no-address',
      message: /^cannot listen on 203\.0\.113\.7:80: .*ip address add 203\.0\.113\.7\/32 dev lo$/,
    },
  ])
  await service?.stop()
})

void t.test('this host itself is no server', async (t) => {
  const port = await freePort()
  const { services, events } = servicesOf(t, `${BOOT}[metadata]\naddress = "127.0.0.1"\nport = ${port}\n`)
  const [service] = services
  await service?.start((cause) => t.fail(cause.message))
  t.teardown(() => service?.stop())
  const status = await new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/openstack/latest/meta_data.json' }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode))
    }).on('error', reject)
  })
  t.equal(status, 404)
  t.match(events, [{ kind: 'metadata.refused', message: /127\.0\.0\.1: it is in no subnet that is served$/ }])
})

const [FIRST_MAC, SECOND_MAC] = MACHINE.nics.map(({ mac }) => mac) as [string, string] // it has two
const KEY = { name: 'key', publicKey: `ssh-ed25519 ${'AAAAC3Nza'.repeat(6)}` }

function lookup(t: Test, text = BOOT): { find: ReturnType<typeof metadataServers>; registry: Registry } {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  fill(registry)
  registry.servers.change(SERVER.id, { keys: [KEY] })
  const config = parseConfig(text, 'FILE')
  return { find: metadataServers(registry, { config, registry, networkAgent: undefined }), registry }
}

void t.test('a server is found by each NIC of its machine, and nobody by another', (t) => {
  const { find } = lookup(t)
  for (const mac of [FIRST_MAC, SECOND_MAC])
    t.match(find(mac), { serverId: SERVER.id, macs: [FIRST_MAC, SECOND_MAC] })
  t.equal(find('52:54:00:00:00:99'), undefined)
  t.end()
})

void t.test('a change, a redeploy and the end of a server are seen at once', (t) => {
  const { find, registry } = lookup(t)
  const page = (path: string): string =>
    Buffer.from(find(FIRST_MAC)?.pages().get(path)?.bytes ?? '').toString()
  const first = page('latest/meta-data/instance-id')
  t.equal(first, SERVER.instanceId)
  registry.servers.change(SERVER.id, { instanceId: 'instance-2', name: 'renamed' })
  t.equal(page('latest/meta-data/instance-id'), 'instance-2')
  t.match(page('openstack/latest/meta_data.json'), '"uuid": "instance-2"')
  t.match(page('nocloud/meta-data'), 'instance-2')
  t.equal(page('latest/meta-data/hostname'), 'renamed')
  registry.servers.change(SERVER.id, { sealedPassword: 'c2VhbGVk' })
  t.equal(page('openstack/latest/password'), 'c2VhbGVk')
  registry.images.change(IMAGE.id, { properties: { network_data_bond: 'always' } })
  t.match(page('openstack/latest/network_data.json'), '"bond"')
  registry.servers.delete(SERVER.id)
  t.equal(find(FIRST_MAC), undefined)
  t.end()
})

void t.test(
  'an address without a lease is a server’s own when static, or when it is another’s to lease',
  (t) => {
    const own = (text: string, addressing: 'static' | 'dhcp'): readonly string[] | undefined => {
      const { find, registry } = lookup(t, text)
      registry.servers.delete(SERVER.id)
      registry.servers.insert({ ...SERVER, addressing, keys: [KEY] })
      return find(SECOND_MAC)?.ownAddresses
    }
    t.same(own(BOOT, 'dhcp'), [])
    t.same(own(BOOT, 'static'), ['198.18.0.11'])
    t.same(own(`${BOOT}mode = "proxy"\n`, 'dhcp'), ['198.18.0.11'])
    t.same(own(`${BOOT}mode = "off"\n`, 'dhcp'), ['198.18.0.11'])
    t.end()
  },
)

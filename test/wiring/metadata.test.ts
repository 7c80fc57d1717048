import { get } from 'node:http'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { parseConfig } from '../../src/config.js'
import type { DaemonEvent } from '../../src/events.js'
import { openRegistry } from '../../src/registry/registry.js'
import { metadataServices } from '../../src/wiring/metadata.js'
import { freePort } from '../rack/daemons.js'
import { fill } from '../registry/sample-records.js'

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

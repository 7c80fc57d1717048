import t from 'tap'
import { systemClock } from '../../src/clock.js'
import { Machines } from '../../src/control/machines.js'
import { openRegistry } from '../../src/registry/registry.js'

const NEW = {
  name: 'm1',
  nics: [{ mac: '52:54:00:00:00:01', ip: '198.18.0.11' }],
  firmware: 'uefi',
} as const

const STRANGERS = {
  checkSeed: () => undefined,
  wishes: { applyWhenUp: () => Promise.resolve({ failed: [] }) },
}

void t.test('a machine has the loader it was given, until it has the table one again', (t) => {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  const machines = new Machines({
    registry,
    clock: systemClock,
    rules: { subnets: [], reservedAddresses: [] },
    ...STRANGERS,
  })
  t.equal(machines.add(NEW).loader, undefined)
  t.equal(machines.setLoader('m1', 'shimx64.efi').loader, 'shimx64.efi')
  t.equal(registry.machines.findByMac('52:54:00:00:00:01')?.loader, 'shimx64.efi')
  t.equal(machines.setLoader('m1', undefined).loader, undefined)
  for (const name of ['../x', 'a/b', '', 'a b', '${x}']) {
    t.throws(() => machines.setLoader('m1', name), { code: 'INVALID_INPUT', message: /^loader: / }, name)
  }
  t.throws(() => machines.setLoader('m2', 'x'), { code: 'NOT_FOUND' })
  t.throws(() => machines.add({ ...NEW, name: 'm3', loader: '../x' }), { code: 'INVALID_INPUT' })
  t.end()
})

void t.test(
  'a machine is found by the switch port it was enrolled with, until it is known by MAC alone',
  (t) => {
    const registry = openRegistry(':memory:')
    t.teardown(() => registry.close())
    const rules = { subnets: [], reservedAddresses: [] }
    const machines = new Machines({ registry, clock: systemClock, rules, ...STRANGERS })
    const nics = NEW.nics.map((nic) => ({ ...nic, switchPort: { circuitId: 'swp1', remoteId: '0x01' } }))
    t.equal(machines.add({ ...NEW, nics }).nics[0]?.switchPort, '73777031/01')
    t.equal(registry.machines.findBySwitchPort('73777031/01')?.name, NEW.name)
    t.equal(machines.setSwitchPort(NEW.name, { circuitId: 'swp2' }).nics[0]?.switchPort, '73777032/')
    t.equal(machines.setSwitchPort(NEW.name, undefined).nics[0]?.switchPort, undefined)
    for (const port of [{}, { circuitId: '' }, { remoteId: 'x'.repeat(300) }]) {
      t.throws(() => machines.setSwitchPort(NEW.name, port), { code: 'INVALID_INPUT' })
    }
    t.end()
  },
)

void t.test('a machine whose disk a card shows needs no address, until it boots over its NIC', async (t) => {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  const rules = { subnets: [], reservedAddresses: [] }
  const machines = new Machines({ registry, clock: systemClock, rules, ...STRANGERS })
  const nics = [{ mac: '52:54:00:00:00:01' }]
  const wanted = { code: 'INVALID_INPUT', message: /^nics\[0\]\.ip: / }
  t.throws(() => machines.add({ ...NEW, nics }), wanted)
  t.equal(machines.add({ ...NEW, nics, inic: 'card' }).nics[0]?.ip, undefined)
  await t.rejects(machines.setWiring(NEW.name, { inic: 'nic' }), wanted)
  t.equal(machines.get(NEW.name).inic, 'card')
})

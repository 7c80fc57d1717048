import t from 'tap'
import { openRegistry } from '../../src/registry/registry.js'
import { cachedLookup } from '../../src/wiring/lookup-cache.js'
import { fill, MACHINE, SERVER } from '../registry/sample-records.js'

void t.test('what was found, or not found, is remembered until the revision changes', (t) => {
  const asked: string[] = []
  let revision = 1
  const find = cachedLookup(
    (key) => {
      asked.push(key)
      return key === 'known' ? revision : undefined
    },
    () => revision,
  )
  t.same([find('known'), find('known'), find('stranger'), find('stranger')], [1, 1, undefined, undefined])
  t.same(asked, ['known', 'stranger'])
  revision = 2
  t.equal(find('known'), 2)
  t.same(asked, ['known', 'stranger', 'known'])
  t.end()
})

void t.test('strangers do not fill the memory', (t) => {
  let asked = 0
  const find = cachedLookup(
    () => ++asked,
    () => 0,
  )
  for (let i = 0; i < 65_536; i++) find(String(i))
  find('0')
  t.equal(asked, 65_537, 'all were forgotten')
  t.end()
})

void t.test('the registry has another revision after each change that a boot answer depends on', (t) => {
  const registry = openRegistry(':memory:')
  const seen = [registry.revision()]
  const isAnother = (what: string): void => {
    t.notOk(seen.includes(registry.revision()), what)
    seen.push(registry.revision())
  }
  fill(registry)
  isAnother('machines and servers added')
  registry.servers.setStatus(SERVER.id, 'ACTIVE')
  isAnother('a server changed')
  registry.machines.setLoader(MACHINE.id, 'shimx64.efi')
  isAnother('a machine changed')
  registry.machines.setSwitchPort(MACHINE.id, 'eth1')
  isAnother('a NIC changed')
  registry.servers.delete(SERVER.id)
  isAnother('a server gone')
  registry.machines.delete(MACHINE.id)
  isAnother('a machine gone, and its NICs with it')
  registry.leases.apply([['198.18.0.9', undefined]])
  t.equal(registry.revision(), seen.at(-1), 'leases are not among them')
  t.end()
})

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { renderNetworkConfig } from '../../../src/firstboot/network/network-config.js'
import { renderNetworkData } from '../../../src/firstboot/network/network-data.js'
import { writeYaml } from '../../../src/firstboot/yaml.js'
import { NETWORKS, sampleNetwork, sampleNetworks } from './sample-networks.js'

/** Under UPDATE_FIXTURES the golden is written anew and the run fails, so that nobody forgets to look. */
function golden(test: Test, path: string, text: string): void {
  const file = join(NETWORKS, path)
  if (process.env['UPDATE_FIXTURES'] === '1') {
    writeFileSync(file, text)
    test.fail(`${path} was rewritten`)
    return
  }
  test.equal(text, existsSync(file) ? readFileSync(file, 'utf8') : 'no such fixture', path)
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

for (const { name, nics, model } of sampleNetworks()) {
  void t.test(`the documents of the network ${name} are the golden ones`, (t) => {
    golden(t, `${name}/network-config.yaml`, writeYaml(renderNetworkConfig(model, 2)))
    golden(t, `${name}/network-config-v1.yaml`, writeYaml(renderNetworkConfig(model, 1)))
    const plain = json(renderNetworkData(model, { bondAlways: false, windows: false }))
    golden(t, `${name}/network_data.json`, plain)
    const dialects = {
      'bond-always': json(renderNetworkData(model, { bondAlways: true, windows: false })),
      windows: json(renderNetworkData(model, { bondAlways: false, windows: true })),
    }
    for (const [dialect, text] of Object.entries(dialects)) {
      const path = `${name}/network_data-${dialect}.json`
      if (text === plain) t.notOk(existsSync(join(NETWORKS, path)), `${path} would say the same again`)
      else golden(t, path, text)
    }
    t.end()
  })

  void t.test(`no document of the network ${name} names a storage NIC or renames the root NIC`, (t) => {
    const config = renderNetworkConfig(model, 2)
    const data = renderNetworkData(model, { bondAlways: true, windows: true })
    for (const nic of nics) {
      if (nic.role === 'storage') t.notMatch(json([config, data]), nic.mac)
      if (!nic.isRoot) continue
      const entries = Object.values((config['ethernets'] ?? {}) as Record<string, Record<string, unknown>>)
      const own = entries.find(({ match }) => json(match).includes(nic.mac))
      t.notOk(own !== undefined && 'set-name' in own, 'set-name')
      const link = data.links.find((entry) => entry['ethernet_mac_address'] === nic.mac)
      t.notOk(link !== undefined && 'name' in link, 'name')
    }
    t.end()
  })
}

void t.test('the document of a real server of the cloud is what our model of it says', (t) => {
  const real: unknown = JSON.parse(readFileSync(join(NETWORKS, 'cloud/real-network_data.json'), 'utf8'))
  const clouds = { interface0: { id: 'fc282960-6dd3-4797-8e6d-33389de9671d', gateway: '192.168.66.1' } }
  const { model } = sampleNetwork('cloud')
  t.strictSame(renderNetworkData(model, { bondAlways: true, windows: false, clouds }), real)
  t.end()
})

import t from 'tap'
import { renderNetworkConfig } from '../../src/firstboot/network/network-config.js'
import { renderSeedDisk } from '../../src/firstboot/seed/seed-disk.js'
import { vendorData } from '../../src/firstboot/seed/vendor-data.js'
import { FULL_SEED } from '../firstboot/seed/sample-seed.js'
import { cloudInitCode } from './cloud-init-oracle.js'
import { putDisk, readAll } from './datasources.js'

const isRoot = process.getuid?.() === 0
const skip = cloudInitCode.skip || !isRoot
const note = isRoot ? cloudInitCode.note : ' (skipped: needs root for namespaces)'

// cloud-init finds the NICs of OpenStack's document by their MACs.
const NICS = `mount -t sysfs sysfs /sys
ip link add eth0 address 52:54:00:12:34:56 type veth peer name eth1 address 52:54:00:ab:cd:ef
exec "$@"`
const INSIDE = ['unshare', '--net', '--mount', 'sh', '-ec', NICS, 'sh']

void t.test(`cloud-init reads from the seed disk what went in${note}`, { skip }, async (t) => {
  const folder = t.testdir()
  putDisk(folder, renderSeedDisk(FULL_SEED))
  const [noCloud, configDrive] = await readAll(folder, ['NoCloud', 'ConfigDrive'], INSIDE)
  const same = {
    instanceId: FULL_SEED.instanceId,
    hostname: FULL_SEED.hostname,
    sshKeys: FULL_SEED.keys.map(({ publicKey }) => publicKey),
    userData: Buffer.from(FULL_SEED.userData ?? []).toString('base64'),
    vendorData: Buffer.from(vendorData(FULL_SEED)).toString('base64'),
    availabilityZone: FULL_SEED.availabilityZone,
  }
  t.match(noCloud, { source: 'DataSourceNoCloud', ...same })
  t.match(configDrive, { source: 'DataSourceConfigDrive', ...same, launchIndex: 0 })
  t.strictSame(noCloud?.network, JSON.parse(JSON.stringify(renderNetworkConfig(FULL_SEED.network))))
  t.match(configDrive?.network, {
    config: [
      { name: 'eth0', mac_address: '52:54:00:12:34:56', mtu: 8888, subnets: [{ address: '198.18.0.10' }] },
      { name: 'eth1', mac_address: '52:54:00:ab:cd:ef', subnets: [{ type: 'dhcp4' }] },
      ...['198.18.0.53', '198.18.0.54'].map((address) => ({ type: 'nameserver', address })),
    ],
  })
  t.not(configDrive?.randomSeed, '')
})

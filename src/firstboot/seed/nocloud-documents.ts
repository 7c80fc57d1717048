import { renderNetworkConfig } from '../network/network-config.js'
import { writeYaml } from '../yaml.js'
import type { SeedFile } from './seed-file.js'
import type { SeedInput } from './seed-input.js'
import { readUserData } from './user-data.js'
import { vendorData } from './vendor-data.js'

// NoCloud is found by two files, of which this is one; it may not be empty.
const NO_USER_DATA = Buffer.from('#cloud-config\n{}\n')

/** NoCloud's documents of a checked seed; the same input gives the same bytes. */
export function noCloudDocuments(input: SeedInput): SeedFile[] {
  const metaData = writeYaml({
    'instance-id': input.instanceId,
    'local-hostname': input.hostname,
    'availability-zone': input.availabilityZone,
    'public-keys': input.keys.length === 0 ? undefined : input.keys.map(({ publicKey }) => publicKey),
    'server-id': input.serverId,
  })
  const userData = readUserData(input.userData ?? new Uint8Array(0), input.osType ?? 'linux').bytes
  return [
    { path: 'meta-data', bytes: Buffer.from(metaData) },
    { path: 'user-data', bytes: userData.length === 0 ? NO_USER_DATA : Buffer.from(userData) },
    // Cloudbase-Init reads no vendor data.
    ...(input.osType === 'windows' ? [] : [{ path: 'vendor-data', bytes: Buffer.from(vendorData(input)) }]),
    { path: 'network-config', bytes: Buffer.from(writeYaml(renderNetworkConfig(input.network))) },
  ]
}

import { hkdfSync } from 'node:crypto'
import { renderNetworkData, type NetworkData } from '../network/network-data.js'
import { jsonDocument, type SeedFile } from './seed-file.js'
import type { SeedInput } from './seed-input.js'
import { readUserData } from './user-data.js'
import { vendorData } from './vendor-data.js'
import { windowsHostname } from './windows.js'

/** Versions of OpenStack's metadata, oldest first (Nova, api/metadata/base.py, OPENSTACK_VERSIONS). */
export const OPENSTACK_VERSIONS = [
  '2012-08-10',
  '2013-04-04',
  '2013-10-17',
  '2015-10-15',
  '2016-06-30',
  '2016-10-06',
  '2017-02-22',
  '2018-08-27',
  'latest',
] as const

type Version = (typeof OPENSTACK_VERSIONS)[number]

// The version that brought each ("Metadata service" in Nova's documentation). Readers take the newest version they
// know and expect in it what it has.
const SINCE = {
  'meta_data.json': '2012-08-10',
  user_data: '2012-08-10',
  'vendor_data.json': '2013-10-17',
  'network_data.json': '2015-10-15',
  'vendor_data2.json': '2016-10-06',
} as const
const RANDOM_SEED_SINCE = '2013-04-04'
const PROJECT_SINCE = '2015-10-15'

const RANDOM_SEED_BYTES = 512 // as many as Nova's

/**
 * OpenStack's documents of a checked seed in every version, as `openstack/VERSION/NAME`; without user data there is
 * no `user_data`. The same input gives the same bytes.
 */
export function openStackDocuments(input: SeedInput): SeedFile[] {
  const timeless = timelessDocuments(input)
  return OPENSTACK_VERSIONS.flatMap((version) => {
    const documents = [
      { name: 'meta_data.json', bytes: jsonDocument(metaData(input, version)) } as const,
      ...timeless,
    ]
    return documents
      .filter(({ name }) => has(version, SINCE[name]))
      .map(({ name, bytes }) => ({ path: `openstack/${version}/${name}`, bytes }))
  })
}

interface Document {
  readonly name: keyof typeof SINCE
  readonly bytes: Buffer
}

function timelessDocuments(input: SeedInput): Document[] {
  const isWindows = input.osType === 'windows'
  const userData = readUserData(input.userData ?? new Uint8Array(0), input.osType ?? 'linux')
  return [
    ...(userData.bytes.length === 0
      ? []
      : [{ name: 'user_data', bytes: Buffer.from(userData.bytes) } as const]),
    { name: 'network_data.json', bytes: jsonDocument(networkData(input)) },
    // Cloudbase-Init reads no vendor data.
    { name: 'vendor_data.json', bytes: jsonDocument(isWindows ? {} : { 'cloud-init': vendorData(input) }) },
    { name: 'vendor_data2.json', bytes: jsonDocument({}) },
  ]
}

function networkData({ network, networkQuirks, osType }: SeedInput): NetworkData {
  const bondAlways = networkQuirks?.bondAlways ?? false
  return renderNetworkData(network, { bondAlways, windows: osType === 'windows' })
}

/** `latest` sorts after every date. */
function has(version: Version, since: string): boolean {
  return version >= since
}

/** There is no `admin_pass`: a guest gets a hash by vendor data, or makes its own password. */
function metaData(input: SeedInput, version: Version): Readonly<Record<string, unknown>> {
  const isWindows = input.osType === 'windows'
  const { availabilityZone, projectId, keys } = input
  return {
    // cloud-init's instance id on this path, and "first boot again?" hangs on it: not the server's id.
    uuid: input.instanceId,
    hostname: isWindows ? windowsHostname(input.hostname) : input.hostname,
    name: input.hostname.split('.')[0],
    launch_index: 0,
    ...(availabilityZone === undefined ? {} : { availability_zone: availabilityZone }),
    ...(projectId === undefined || !has(version, PROJECT_SINCE) ? {} : { project_id: projectId }),
    ...(has(version, RANDOM_SEED_SINCE) ? randomSeed(input) : {}),
    ...(keys.length === 0
      ? {}
      : {
          public_keys: Object.fromEntries(keys.map(({ name, publicKey }) => [name, publicKey])),
          keys: keys.map(({ name, publicKey }) => ({ name, type: 'ssh', data: publicKey })),
        }),
    meta: { ...input.metadata, server_id: input.serverId },
  }
}

/**
 * What cloud-init feeds to the kernel's pool. The same for one deploy however often it is read, another for the next
 * one, and nobody's guess: an instance id is no secret, so it is only the salt (RFC 5869).
 */
function randomSeed({ seedSecret, instanceId }: SeedInput): { random_seed?: string } {
  if (seedSecret === undefined) return {}
  const seed = hkdfSync('sha256', seedSecret, instanceId, 'ingot random_seed', RANDOM_SEED_BYTES)
  return { random_seed: Buffer.from(seed).toString('base64') }
}

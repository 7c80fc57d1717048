import { renderNetworkConfig } from '../network/network-config.js'
import { renderNetworkData } from '../network/network-data.js'
import { checkSeedInput, type SeedInput } from './seed-input.js'
import { writeYaml } from '../yaml.js'
import { vendorData } from './vendor-data.js'

/** One document, at its path inside its volume. */
export interface SeedFile {
  readonly path: string
  readonly bytes: Buffer
}

/** The same facts for two families of readers. */
export interface SeedFiles {
  /** OpenStack's config drive: cloud-init's ConfigDrive, cloudbase-init. Volume label `config-2`. */
  readonly configDrive: readonly SeedFile[]
  /** cloud-init's NoCloud, which Debian and Ubuntu ask first. Volume label `cidata`. */
  readonly noCloud: readonly SeedFile[]
}

/**
 * Versions of OpenStack's metadata, oldest first. Each holds the same documents: readers pick the newest
 * they know, and some know none after 2015-10-15.
 */
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

const NO_USER_DATA = Buffer.from('#cloud-config\n{}\n')

/**
 * Every document of a server's seed; the same input gives the same bytes.
 * @throws DaemonError INVALID_INPUT whose message starts with the field
 */
export function renderSeed(input: SeedInput): SeedFiles {
  checkSeedInput(input)
  const documents = openStackDocuments(input)
  return {
    configDrive: OPENSTACK_VERSIONS.flatMap((version) =>
      documents.map(({ path, bytes }) => ({ path: `openstack/${version}/${path}`, bytes })),
    ),
    noCloud: noCloudDocuments(input),
  }
}

function openStackDocuments(input: SeedInput): SeedFile[] {
  const metaData = {
    // cloud-init's instance id on this path, and "first boot again?" hangs on it: not the server's id.
    uuid: input.instanceId,
    hostname: input.hostname,
    name: input.hostname.split('.')[0],
    launch_index: 0,
    ...(input.availabilityZone === undefined ? {} : { availability_zone: input.availabilityZone }),
    ...(input.sshKeys.length === 0 ? {} : { public_keys: namedKeys(input.sshKeys) }),
    meta: { server_id: input.serverId },
  }
  return [
    { path: 'meta_data.json', bytes: json(metaData) },
    { path: 'user_data', bytes: userDataOf(input) },
    { path: 'network_data.json', bytes: json(renderNetworkData(input.network)) },
    { path: 'vendor_data.json', bytes: json({ 'cloud-init': vendorData(input.phoneHomeUrl) }) },
    { path: 'vendor_data2.json', bytes: json({}) },
  ]
}

function noCloudDocuments(input: SeedInput): SeedFile[] {
  const metaData = writeYaml({
    'instance-id': input.instanceId,
    'local-hostname': input.hostname,
    'availability-zone': input.availabilityZone,
    'public-keys': input.sshKeys.length === 0 ? undefined : input.sshKeys,
    'server-id': input.serverId,
  })
  return [
    { path: 'meta-data', bytes: Buffer.from(metaData) },
    { path: 'user-data', bytes: userDataOf(input) },
    { path: 'vendor-data', bytes: Buffer.from(vendorData(input.phoneHomeUrl)) },
    { path: 'network-config', bytes: Buffer.from(writeYaml(renderNetworkConfig(input.network))) },
  ]
}

function userDataOf({ userData }: SeedInput): Buffer {
  return userData === undefined ? NO_USER_DATA : Buffer.from(userData)
}

function namedKeys(keys: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(keys.map((key, index) => [`key-${index}`, key]))
}

function json(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)
}

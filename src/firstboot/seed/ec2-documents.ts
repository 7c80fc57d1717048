import { jsonDocument, type SeedFile } from './seed-file.js'
import type { SeedInput } from './seed-input.js'
import { readUserData } from './user-data.js'
import { windowsHostname } from './windows.js'

/** A folder of EC2's metadata: its leaves are texts. `_name` is what the folder above lists it as. */
export interface Ec2Tree {
  readonly [name: string]: string | Ec2Tree
}

/** EC2's versions that OpenStack's config drive has (Nova, api/metadata/base.py, add_instance_metadata). */
export const EC2_VERSIONS = ['2009-04-04', 'latest'] as const

/** What EC2's `/VERSION/meta-data/` holds for a checked seed, the same in every version. */
export function ec2MetaData(input: SeedInput): Ec2Tree {
  const hostname = input.osType === 'windows' ? windowsHostname(input.hostname) : input.hostname
  const { availabilityZone, localIpv4, keys } = input
  return {
    'ami-launch-index': '0',
    hostname,
    'instance-action': 'none',
    // The same as on every other way, so that a guest that changes its source does not think itself new.
    'instance-id': input.instanceId,
    'local-hostname': hostname,
    ...(localIpv4 === undefined ? {} : { 'local-ipv4': localIpv4 }),
    ...(availabilityZone === undefined ? {} : { placement: { 'availability-zone': availabilityZone } }),
    ...(keys.length === 0 ? {} : { 'public-keys': publicKeys(keys) }),
  }
}

/** EC2's part of a config drive: `ec2/VERSION/meta-data.json`, and `user-data` where there is some. */
export function ec2Documents(input: SeedInput): SeedFile[] {
  const metaData = jsonDocument(ec2MetaData(input))
  const userData = Buffer.from(
    readUserData(input.userData ?? new Uint8Array(0), input.osType ?? 'linux').bytes,
  )
  return EC2_VERSIONS.flatMap((version) => [
    { path: `ec2/${version}/meta-data.json`, bytes: metaData },
    ...(userData.length === 0 ? [] : [{ path: `ec2/${version}/user-data`, bytes: userData }]),
  ])
}

function publicKeys(keys: SeedInput['keys']): Ec2Tree {
  return Object.fromEntries(
    keys.map(({ name, publicKey }, index) => [
      index,
      { _name: `${index}=${name}`, 'openssh-key': publicKey },
    ]),
  )
}

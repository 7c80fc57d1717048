import { ec2Documents } from './ec2-documents.js'
import { noCloudDocuments } from './nocloud-documents.js'
import { openStackDocuments } from './openstack-documents.js'
import type { SeedFile } from './seed-file.js'
import { checkSeedInput } from './seed-check.js'
import type { SeedInput } from './seed-input.js'

/** Where on `config-2` a stock image finds the program that applies its network. */
export const NETWORK_AGENT_PATH = 'ingot/bms-network-config'

/** The same facts for two families of readers. */
export interface SeedFiles {
  /** OpenStack's config drive: cloud-init's ConfigDrive, cloudbase-init. Volume label `config-2`. */
  readonly configDrive: readonly SeedFile[]
  /** cloud-init's NoCloud, which Debian and Ubuntu ask first. Volume label `cidata`. */
  readonly noCloud: readonly SeedFile[]
}

/**
 * Every document of a server's seed; the same input gives the same bytes.
 * @throws DaemonError INVALID_INPUT whose message starts with the field
 */
export function renderSeed(input: SeedInput): SeedFiles {
  checkSeedInput(input)
  const { networkAgent } = input
  const agent =
    networkAgent === undefined ? [] : [{ path: NETWORK_AGENT_PATH, bytes: Buffer.from(networkAgent) }]
  return {
    configDrive: [...openStackDocuments(input), ...ec2Documents(input), ...agent],
    noCloud: noCloudDocuments(input),
  }
}

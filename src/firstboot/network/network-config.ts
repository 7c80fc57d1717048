import type { YamlMapping } from '../yaml.js'
import { networkConfigV1 } from './network-config-v1.js'
import { networkConfigV2 } from './network-config-v2.js'
import type { NetworkModel } from './network.js'

/**
 * A checked network as NoCloud's `network-config`, to be written as YAML. Version 2 is netplan's schema and
 * what our seeds carry; version 1 is for readers that know no other, and renames every NIC to its id.
 */
export function renderNetworkConfig(network: NetworkModel, version: 1 | 2 = 2): YamlMapping {
  return version === 1 ? networkConfigV1(network) : networkConfigV2(network)
}

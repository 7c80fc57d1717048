import { parseMac } from '../../wire/mac.js'
import type { YamlMapping } from '../yaml.js'
import type { NetworkModel, NicLink } from './network.js'

/**
 * A checked network as NoCloud's `network-config`, version 2 (the netplan schema), to be written as YAML.
 * NICs are matched by MAC and never given `set-name`: renaming takes a NIC down, and the root disk with it.
 */
export function renderNetworkConfig(network: NetworkModel): YamlMapping {
  const nics = network.links.filter((link) => link.kind === 'nic')
  const entries = nics.map((link) => [link.id, ethernet(link, network.dns)] as const)
  return { version: 2, ethernets: Object.fromEntries(entries) }
}

function ethernet(link: NicLink, dns: readonly string[]): YamlMapping {
  return {
    match: { macaddress: parseMac(link.mac) },
    ...addressing(link),
    ...(link.mtu === undefined ? {} : { mtu: link.mtu }),
    ...(dns.length === 0 ? {} : { nameservers: { addresses: dns } }),
    // `critical`: networkd keeps address and routes when it stops, so that the root disk outlives it.
    // A machine without its root NIC does not boot; one with another cable unplugged must not wait for it.
    ...(link.isRoot ? { critical: true, optional: false } : { optional: true }),
  }
}

function addressing({ ipv4, isRoot }: NicLink): YamlMapping {
  // The firmware asked by MAC; networkd would ask by DUID and might get another address than the one
  // the root disk's session runs on.
  if (ipv4.kind === 'dhcp') {
    // Two default routes must differ, and the root NIC's (100 unless told) is the one that reaches us.
    const overrides = isRoot ? {} : { 'dhcp4-overrides': { 'route-metric': 200 } }
    return { dhcp4: true, 'dhcp-identifier': 'mac', ...overrides }
  }
  if (ipv4.kind === 'none') return { dhcp4: false }
  const { address, prefixLength, gateway } = ipv4
  return {
    dhcp4: false,
    addresses: [`${address}/${prefixLength}`],
    // Not `gateway4`, which netplan gave up in 0.103; and not `to: default`, on which cloud-init 22.4 dies
    // wherever it writes anything but netplan (ifupdown, networkd, ifcfg, NetworkManager).
    ...(gateway === undefined ? {} : { routes: [{ to: '0.0.0.0/0', via: gateway }] }),
  }
}

import { formatIpv4 } from '../../wire/ipv4.js'
import { parseMac } from '../../wire/mac.js'
import { maskOf } from './check-network.js'
import type { NetworkModel, NicLink } from './network.js'

/** OpenStack's `network_data.json` (Nova spec metadata-service-network-info, Liberty). */
export interface NetworkData {
  readonly links: readonly Readonly<Record<string, unknown>>[]
  readonly networks: readonly Readonly<Record<string, unknown>>[]
  readonly services: readonly { readonly type: 'dns'; readonly address: string }[]
}

/**
 * A checked network as OpenStack's document.
 * Links carry no `name`: cloud-init would rename the NIC to it, under the root disk.
 */
export function renderNetworkData(network: NetworkModel): NetworkData {
  const nics = network.links.filter((link) => link.kind === 'nic')
  return {
    links: nics.map((link) => ({
      id: link.id,
      type: 'phy',
      ethernet_mac_address: parseMac(link.mac),
      ...(link.mtu === undefined ? {} : { mtu: link.mtu }),
    })),
    networks: nics
      .filter((link) => link.ipv4.kind !== 'none')
      .map((link, index) => ({
        id: `network${index}`,
        network_id: `network${index}`,
        link: link.id,
        ...addressing(link),
        // cloud-init's NetworkManager renderer sees only these, not the `services` of the document.
        ...(network.dns.length === 0 ? {} : { dns_nameservers: network.dns }),
      })),
    services: network.dns.map((address) => ({ type: 'dns', address })),
  }
}

function addressing({ ipv4 }: NicLink): Readonly<Record<string, unknown>> {
  if (ipv4.kind !== 'static') return { type: 'ipv4_dhcp' }
  const { address, prefixLength, gateway } = ipv4
  const routes = gateway === undefined ? [] : [{ network: '0.0.0.0', netmask: '0.0.0.0', gateway }]
  // The default route goes here and not in `gateway`: cloudbase-init knows only `routes`.
  return { type: 'ipv4', ip_address: address, netmask: formatIpv4(maskOf(prefixLength)), routes }
}

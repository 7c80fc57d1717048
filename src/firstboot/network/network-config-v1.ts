import type { YamlMapping } from '../yaml.js'
import { Links, nameOf } from './links.js'
import type { BondLink, NetworkLink, NetworkModel } from './network.js'
import { maskedRoutes, subnetsOf, unlessEmpty, type Subnet } from './subnets.js'

// Not `static6`: cloud-init's NetworkManager renderer would take it for a wish to be told by routers.
const TYPE = {
  4: { dhcp: 'dhcp4', slaac: 'dhcp4', static: 'static' },
  6: { dhcp: 'dhcp6', slaac: 'ipv6_slaac', static: 'static' },
} as const

/** A checked network as `network-config` version 1, which knows NICs by name and gives them their ids. */
export function networkConfigV1(network: NetworkModel): YamlMapping {
  const links = new Links(network.links)
  const { dns, search } = network
  const resolvers =
    dns.length === 0 ? [] : [{ type: 'nameserver', address: dns, search: unlessEmpty(search) }]
  // cloud-init makes a placeholder of what a bond or VLAN names before it was told: lower links come first.
  const lowerFirst = (['nic', 'bond', 'vlan'] as const).flatMap((kind) =>
    network.links.filter((link) => link.kind === kind),
  )
  return { version: 1, config: [...lowerFirst.map((link) => item(link, network, links)), ...resolvers] }
}

function item(link: NetworkLink, network: NetworkModel, links: Links): YamlMapping {
  const { ipv6 } = link
  const isMember = links.bondOf(link.id) !== undefined
  return {
    type: link.kind === 'nic' ? 'physical' : link.kind,
    name: nameOf(link.id),
    mac_address: links.macOf(link),
    mtu: links.mtuOf(link),
    ...(link.kind === 'bond' && bond(link)),
    ...(link.kind === 'vlan' && { vlan_link: nameOf(link.parent), vlan_id: link.vlanId }),
    'accept-ra': isMember ? undefined : ipv6.kind === 'slaac' || ipv6.kind === 'dhcp',
    subnets: unlessEmpty(subnetsOf(link).map((subnet) => subnetItem(subnet, network))),
  }
}

function bond(link: BondLink): YamlMapping {
  return {
    bond_interfaces: link.members.map(nameOf),
    params: {
      // One with a hyphen, one without: so cloud-init's NetworkManager renderer looks for them.
      'bond-mode': link.mode,
      bond_miimon: link.miimonMs ?? 100,
      'bond-xmit-hash-policy': link.xmitHashPolicy,
      'bond-primary': link.primary === undefined ? undefined : nameOf(link.primary),
    },
  }
}

function subnetItem({ family, addressing, routes }: Subnet, { dns, search }: NetworkModel): YamlMapping {
  const type = TYPE[family][addressing.kind]
  const isStatic = addressing.kind === 'static'
  return {
    type,
    ...(isStatic && {
      address: `${addressing.address}/${addressing.prefixLength}`,
      gateway: addressing.gateway,
    }),
    dns_nameservers: unlessEmpty(dns),
    dns_search: unlessEmpty(search),
    routes: unlessEmpty(maskedRoutes(routes)),
  }
}

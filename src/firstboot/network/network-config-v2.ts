import type { YamlMapping } from '../yaml.js'
import { parseMac } from '../../wire/mac.js'
import { Links, nameOf } from './links.js'
import type { BondLink, NetworkLink, NetworkModel, NicLink, VlanLink } from './network.js'
import { subnetsOf, unlessEmpty } from './subnets.js'

/**
 * A checked network as `network-config` version 2 (the netplan schema). NICs are matched by MAC, and only
 * those that a bond or VLAN names are renamed, the root NIC never: renaming takes a NIC down, and the root
 * disk with it (docs/decisions/0013-names-of-nics-in-a-guest.md).
 */
export function networkConfigV2(network: NetworkModel): YamlMapping {
  const links = new Links(network.links)
  const section = (kind: NetworkLink['kind']): YamlMapping | undefined => {
    const own = network.links.filter((link) => link.kind === kind)
    const entries = own.map((link) => [nameOf(link.id), entry(link, network, links)] as const)
    return entries.length === 0 ? undefined : Object.fromEntries(entries)
  }
  return { version: 2, ethernets: section('nic'), bonds: section('bond'), vlans: section('vlan') }
}

function entry(link: NetworkLink, network: NetworkModel, links: Links): YamlMapping {
  const isAnchor = link === links.anchor()
  const isRoot = link.kind === 'nic' && link.isRoot
  return {
    ...below(link, links),
    ...(links.bondOf(link.id) ? { dhcp4: false, dhcp6: false } : addressing(link, network)),
    mtu: links.mtuOf(link),
    // `critical`: networkd keeps address and routes when it stops, so that the root disk outlives it.
    ...(isRoot && { critical: true }),
    optional: !isAnchor,
  }
}

function below(link: NetworkLink, links: Links): YamlMapping {
  if (link.kind === 'nic') return nic(link, links)
  return link.kind === 'bond' ? bond(link, links) : vlan(link)
}

function nic({ id, isRoot, mac }: NicLink, links: Links): YamlMapping {
  const isNamed = links.bondOf(id) !== undefined || links.hasVlan(id)
  const match = { macaddress: parseMac(mac) }
  // Where there is no netplan, cloud-init writes a bond's members and a VLAN's parent by these names.
  return { match, ...(!isRoot && isNamed && { 'set-name': nameOf(id) }) }
}

function bond(link: BondLink, links: Links): YamlMapping {
  return {
    interfaces: link.members.map(nameOf),
    macaddress: links.macOf(link),
    parameters: {
      mode: link.mode,
      'mii-monitor-interval': link.miimonMs ?? 100,
      'transmit-hash-policy': link.xmitHashPolicy,
      primary: link.primary === undefined ? undefined : nameOf(link.primary),
    },
  }
}

function vlan({ vlanId, parent, mac }: VlanLink): YamlMapping {
  return { id: vlanId, link: nameOf(parent), macaddress: mac === undefined ? undefined : parseMac(mac) }
}

function addressing(link: NetworkLink, network: NetworkModel): YamlMapping {
  const { kind } = link.ipv6
  const subnets = subnetsOf(link)
  const addresses = subnets.flatMap(({ addressing: one }) =>
    one.kind === 'static' ? [`${one.address}/${one.prefixLength}`] : [],
  )
  // Not `gateway4`, which netplan gave up in 0.103; and not `to: default`, on which cloud-init 22.4 dies
  // wherever it writes anything but netplan (ifupdown, networkd, ifcfg, NetworkManager). There it also turns
  // `to: ::/0` into ::/64 and files it under IPv4, so that IPv6 has its `gateway6`, of which netplan warns.
  const [gateway6] = subnets.flatMap(({ family, defaultRoute }) => (family === 6 ? defaultRoute : []))
  const routes = subnets
    .flatMap((subnet) => [...(subnet.family === 4 ? subnet.defaultRoute : []), ...subnet.routes])
    .map(({ destination, via, metric }) => ({ to: destination, via, metric }))
  return {
    ...dhcp4(link, network),
    dhcp6: kind === 'dhcp',
    // What routers announce is taken where the model says so, and nowhere else.
    'accept-ra': kind === 'slaac' || kind === 'dhcp',
    addresses: unlessEmpty(addresses),
    gateway6: gateway6?.via,
    routes: unlessEmpty(routes),
    nameservers: subnets.length === 0 ? undefined : nameservers(network),
  }
}

function dhcp4(link: NetworkLink, { links }: NetworkModel): YamlMapping {
  if (link.ipv4.kind !== 'dhcp') return { dhcp4: false }
  // Two default routes must differ, and the root NIC's (100 unless told) is the one that reaches us.
  const metric = link.kind === 'nic' && link.isRoot ? undefined : 200 + links.indexOf(link)
  return {
    dhcp4: true,
    // The firmware asked by MAC; networkd would ask by DUID and might get another address than the one
    // the root disk's session runs on.
    'dhcp-identifier': 'mac',
    'dhcp4-overrides': metric === undefined ? undefined : { 'route-metric': metric },
  }
}

function nameservers({ dns, search }: NetworkModel): YamlMapping | undefined {
  if (dns.length === 0 && search.length === 0) return undefined
  return { addresses: unlessEmpty(dns), search: unlessEmpty(search) }
}

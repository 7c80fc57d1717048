import { maskText } from '../../wire/ip-prefix.js'
import { Links } from './links.js'
import { bondLoneNics } from './lone-nics.js'
import type { BondLink, NetworkLink, NetworkModel, VlanLink } from './network.js'
import { maskedRoutes, subnetsOf, unlessEmpty, type Subnet } from './subnets.js'

/** OpenStack's `network_data.json` (Nova spec metadata-service-network-info, Liberty). */
export interface NetworkData {
  readonly links: readonly Readonly<Record<string, unknown>>[]
  readonly networks: readonly Readonly<Record<string, unknown>>[]
  readonly services: readonly { readonly type: 'dns'; readonly address: string }[]
}

/** Who will read the document. */
export interface NetworkDataOptions {
  /**
   * The image has the cloud's own bms-network-config: bond modes are numbers, links have names, and a NIC
   * alone is a bond of one, since its Ubuntu version fails without any bond and others cannot give a lone
   * NIC an address.
   */
  readonly bondAlways: boolean
  /**
   * Cloudbase-Init, which puts VLANs on teams only, so that a NIC under a VLAN is a team of one; and which
   * would set the address that the root disk runs over.
   */
  readonly windows: boolean
  /** What a cloud says of the network of a link beside the model, by the link's id. */
  readonly clouds?: Readonly<Record<string, CloudNetwork>>
}

/** A network as the cloud knows it. */
export interface CloudNetwork {
  /** Its id there, a UUID. */
  readonly id: string
  /** What DHCP says; for people, since DHCP says it. */
  readonly gateway?: string
}

const TYPE = {
  4: { dhcp: 'ipv4_dhcp', slaac: 'ipv4_dhcp', static: 'ipv4' },
  6: { dhcp: 'ipv6_dhcp', slaac: 'ipv6_slaac', static: 'ipv6' },
} as const

// As the bonding driver counts them: what the cloud's plug-in knows, and netplan and Cloudbase-Init do not.
const MODE_NUMBER = { 'active-backup': '1', '802.3ad': '4' } as const

/** A checked network as OpenStack's document. */
export function renderNetworkData(network: NetworkModel, options: NetworkDataOptions): NetworkData {
  const { bondAlways, windows } = options
  const { links, dns } = bondLoneNics(network, ({ id }, all) => bondAlways || (windows && all.hasVlan(id)))
  const all = new Links(links)
  const subnets = links.flatMap((link) => subnetsOf(link).map((subnet) => ({ link, subnet })))
  return {
    links: links.map((link) => linkEntry(link, all, bondAlways)),
    networks: subnets.map(({ link, subnet }, index) => ({
      id: `network${index}`,
      network_id: `network${index}`,
      link: link.id,
      ...addressing(windows && isRoot(link) ? asked(subnet) : subnet),
      ...cloudEntry(options.clouds?.[link.id]),
      ...(!bondAlways && resolvers(network)),
    })),
    services: dns.map((address) => ({ type: 'dns', address })),
  }
}

function linkEntry(link: NetworkLink, links: Links, bondAlways: boolean): Readonly<Record<string, unknown>> {
  const mtu = links.mtuOf(link)
  return {
    id: link.id,
    type: link.kind === 'nic' ? 'phy' : link.kind,
    // A `name` is what cloud-init renames the NIC to, and never is the root NIC's business.
    ...(bondAlways && links.bondOf(link.id) && { name: link.id }),
    // Nova gives a VLAN the next key only; the cloud's plug-in looks for this one.
    ethernet_mac_address: links.macOf(link),
    ...(mtu !== undefined && { mtu }),
    ...(link.kind === 'bond' && bondEntry(link, bondAlways)),
    ...(link.kind === 'vlan' && vlanEntry(link, links)),
  }
}

function bondEntry(link: BondLink, bondAlways: boolean): Readonly<Record<string, unknown>> {
  return {
    bond_links: link.members,
    bond_mode: bondAlways ? MODE_NUMBER[link.mode] : link.mode,
    bond_miimon: link.miimonMs ?? 100,
    ...(link.xmitHashPolicy && { bond_xmit_hash_policy: link.xmitHashPolicy }),
    // Not `bond_primary`: cloud-init hands on what begins so, and puts no name in the place of the id.
    ...(link.primary !== undefined && { primary_link: link.primary }),
  }
}

function vlanEntry(link: VlanLink, links: Links): Readonly<Record<string, unknown>> {
  return { vlan_link: link.parent, vlan_id: link.vlanId, vlan_mac_address: links.macOf(link) }
}

function addressing({ family, addressing, defaultRoute, routes }: Subnet): Readonly<Record<string, unknown>> {
  const type = TYPE[family][addressing.kind]
  const all = unlessEmpty(maskedRoutes([...defaultRoute, ...routes]))
  if (addressing.kind !== 'static') return { type, ...(all && { routes: all }) }
  const netmask = maskText(family, addressing.prefixLength)
  // The default route goes there and not into `gateway`: Cloudbase-Init knows only `routes`.
  return { type, ip_address: addressing.address, netmask, routes: all ?? [] }
}

function cloudEntry(cloud: CloudNetwork | undefined): Readonly<Record<string, unknown>> {
  if (cloud === undefined) return {}
  return { network_id: cloud.id, ...(cloud.gateway !== undefined && { gateway: cloud.gateway }) }
}

function isRoot(link: NetworkLink): boolean {
  return link.kind === 'nic' && link.isRoot
}

/** Windows has the root NIC's address from the iBFT, and setting it again would cut the disk off. */
function asked(subnet: Subnet): Subnet {
  const { family } = subnet
  return family === 4 ? { family, addressing: { kind: 'dhcp' }, defaultRoute: [], routes: [] } : subnet
}

/** cloud-init's NetworkManager renderer sees only these, not the `services` of the document. */
function resolvers({ dns, search }: NetworkModel): Readonly<Record<string, unknown>> {
  return {
    ...(dns.length > 0 && { dns_nameservers: dns }),
    ...(search.length > 0 && { dns_search: search }),
  }
}

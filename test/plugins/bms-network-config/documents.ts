/** A document like OpenStack's `network_data.json`. */
export interface Document {
  readonly links: readonly Readonly<Record<string, unknown>>[]
  readonly networks: readonly Readonly<Record<string, unknown>>[]
  readonly services: readonly Readonly<Record<string, unknown>>[]
}

/** MACs of the machine that all documents here are for; its kernel calls them ens3, ens4, ens5. */
export const NICS = ['52:54:00:00:00:01', '52:54:00:00:00:02', '52:54:00:00:00:03'] as const

const DNS = [{ type: 'dns', address: '198.18.0.53' }]
const DEFAULT_ROUTE = { network: '0.0.0.0', netmask: '0.0.0.0', gateway: '198.18.0.1' }

function nic(
  number: 1 | 2 | 3,
  more: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return { id: `nic${number}`, type: 'phy', ethernet_mac_address: NICS[number - 1], ...more }
}

function fixed(
  link: string,
  more: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  const base = { id: `net-${link}`, link, type: 'ipv4', ip_address: '198.18.0.11', netmask: '255.255.255.0' }
  return { ...base, routes: [DEFAULT_ROUTE], ...more }
}

const LACP = { bond_mode: '4', bond_miimon: 100, bond_xmit_hash_policy: 'layer3+4' }
const PAIR = { id: 'bond0', type: 'bond', bond_links: ['nic2', 'nic3'] }
const VLAN = { type: 'vlan', vlan_id: 7, vlan_mac_address: NICS[1], ethernet_mac_address: NICS[1] }

/** The networks that a server may be given, by what is special of each. */
export const DOCUMENTS: Readonly<Record<string, Document>> = {
  static: {
    links: [nic(1, { mtu: 1400 })],
    networks: [
      fixed('nic1', {
        routes: [DEFAULT_ROUTE, { network: '10.9.0.0', netmask: '255.255.0.0', gateway: '198.18.0.2' }],
        dns_search: ['lab.example'],
      }),
    ],
    services: DNS,
  },
  dhcp: {
    links: [nic(1), nic(2)],
    networks: [
      { id: 'a', link: 'nic1', type: 'ipv4_dhcp' },
      { id: 'b', link: 'nic2', type: 'ipv4_dhcp' },
    ],
    services: [],
  },
  'dual-stack': {
    links: [nic(1), nic(2)],
    networks: [
      fixed('nic1'),
      {
        id: 'six',
        link: 'nic1',
        type: 'ipv6',
        ip_address: 'fd00:7::11',
        netmask: 'ffff:ffff:ffff:ffff::',
        gateway: 'fd00:7::1',
      },
      { id: 'four', link: 'nic2', type: 'ipv4_dhcp' },
      { id: 'auto', link: 'nic2', type: 'ipv6_slaac' },
    ],
    services: [...DNS, { type: 'dns', address: 'fd00:7::53' }],
  },
  'active-backup': {
    links: [
      nic(1),
      nic(2),
      nic(3),
      { ...PAIR, bond_mode: 'active-backup', bond_miimon: 200, primary_link: 'nic3', mtu: 9000 },
    ],
    networks: [fixed('bond0')],
    services: DNS,
  },
  '802.3ad': { links: [nic(2), nic(3), { ...PAIR, ...LACP }], networks: [fixed('bond0')], services: DNS },
  'vlan-on-bond': {
    links: [nic(2), nic(3), { ...PAIR, ...LACP }, { ...VLAN, id: 'vlan7', vlan_link: 'bond0' }],
    networks: [fixed('vlan7')],
    services: DNS,
  },
  'vlan-on-nic': {
    links: [nic(2), { ...VLAN, id: 'vlan7', vlan_link: 'nic2', mtu: 1400 }],
    networks: [{ id: 'a', link: 'nic2', type: 'ipv4_dhcp' }, fixed('vlan7', { routes: [] })],
    services: DNS,
  },
  // The root disk comes over ens3, of which the document says nothing.
  'storage-nic': { links: [nic(2)], networks: [fixed('nic2')], services: DNS },
}

/** One of {@link DOCUMENTS}; throws for a name that is none. */
export function documentOf(name: string): Document {
  const document = DOCUMENTS[name]
  if (document === undefined) throw new RangeError(`no document ${name}`)
  return document
}

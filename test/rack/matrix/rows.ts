import type { RigSegment } from '../../../src/rig/nic-plan.js'

/** The far end of a bond's wires: see link-partner.py. Addresses are CIDR. */
export interface PartnerWish {
  readonly device: string
  readonly addresses: readonly string[]
  readonly hasLacp: boolean
  /** Devices of tagged frames. */
  readonly vlans: readonly {
    readonly id: number
    readonly device: string
    readonly addresses: readonly string[]
  }[]
}

/** A server of the matrix: its hardware, the network that it is given, and what must then be inside. */
export interface Row {
  readonly name: string
  readonly recipe: string
  readonly firmware: 'bios' | 'uefi'
  readonly inic: 'nic' | 'card'
  /** Where its NICs are plugged in; the first boots, unless a card does. */
  readonly segments: readonly RigSegment[]
  /** The first NIC carries the disk and nothing else. */
  readonly hasStorageNic: boolean
  /** Address of the first NIC in the daemons' segment, if it is there. */
  readonly ip?: string
  /** Where its shell is reached. */
  readonly shell: string
  readonly partner?: PartnerWish
  /** As `ingot server create --network FILE` takes it; absent: made from the machine's NICs. */
  readonly document?: (macs: readonly string[]) => object
  /** Every line of network-inside.py, in any order. */
  readonly expected: readonly string[]
  /** Who must answer a ping from inside. */
  readonly pings: readonly string[]
  /** Whether its network files are deleted and garbled, to be restored (acceptance c). */
  readonly isRestored: boolean
}

/** 802.1AX system of link-partner.py. */
const PARTNER_MAC = '02:00:00:00:ac:01'
const OVER_BOOT_NIC = { recipe: 'debian-12', inic: 'nic', hasStorageNic: false, isRestored: false } as const
const STORAGE_LINK = (ip: string): string[] => [`nic0 mtu 1500 ${ip}/24`, '198.18.0.0/24 dev nic0']

function nic(id: string, mac: string | undefined, more: object = {}): object {
  return { kind: 'nic', id, mac, ...more }
}

function fixed(address: string, gateway?: string): object {
  return { kind: 'static', address, prefix_length: 24, ...(gateway !== undefined && { gateway }) }
}

function fixed6(address: string): object {
  return { kind: 'static', address, prefix_length: 64 }
}

const STATIC: Row = {
  ...OVER_BOOT_NIC,
  name: 'static',
  firmware: 'bios',
  segments: ['storage'],
  ip: '198.18.0.21',
  shell: '198.18.0.21',
  document: ([mac]) => ({
    links: [nic('eth0', mac, { ipv4: fixed('198.18.0.21', '198.18.0.1'), ipv6: fixed6('fd00:18::21') })],
    dns: ['198.18.0.1'],
    search: ['rack.test'],
  }),
  expected: [
    'nic0 mtu 1500 198.18.0.21/24 fd00:18::21/64',
    '198.18.0.0/24 dev nic0',
    'fd00:18::/64 dev nic0',
    'default via 198.18.0.1 dev nic0',
    'dns 198.18.0.1',
  ],
  pings: ['198.18.0.1'],
}

const DHCP: Row = {
  ...OVER_BOOT_NIC,
  name: 'dhcp',
  firmware: 'uefi',
  segments: ['storage'],
  ip: '198.18.0.22',
  shell: '198.18.0.22',
  expected: [
    'nic0 mtu 1500 198.18.0.22/24',
    '198.18.0.0/24 dev nic0',
    'default via 198.18.0.1 dev nic0',
    '198.18.0.1 dev nic0', // networkd: the gateway is reached on the link, whatever the netmask
    '169.254.169.254 via 198.18.0.1 dev nic0',
    'dns 198.18.0.1',
  ],
  pings: ['198.18.0.1'],
}

const ACTIVE_BACKUP: Row = {
  ...OVER_BOOT_NIC,
  name: 'active-backup',
  firmware: 'bios',
  segments: ['storage', 'tenant', 'tenant'],
  hasStorageNic: true,
  ip: '198.18.0.23',
  shell: '198.18.0.23',
  document: ([, first, second]) => ({
    links: [
      nic('eth1', first),
      nic('eth2', second),
      {
        ...{ kind: 'bond', id: 'bond0', members: ['eth1', 'eth2'], mode: 'active-backup', primary: 'eth2' },
        ...{ miimon_ms: 200, ipv4: fixed('198.18.1.23', '198.18.1.1') },
      },
    ],
    dns: ['198.18.1.1'],
  }),
  expected: [
    ...STORAGE_LINK('198.18.0.23'),
    'nic1 in bond0 mtu 1500',
    'nic2 in bond0 mtu 1500',
    'bond0 active-backup of nic1 nic2 miimon 200 primary nic2 mtu 1500 198.18.1.23/24',
    '198.18.1.0/24 dev bond0',
    'default via 198.18.1.1 dev bond0',
    'dns 198.18.1.1',
  ],
  pings: ['198.18.1.1'],
}

const LACP: Row = {
  ...OVER_BOOT_NIC,
  name: '802.3ad',
  firmware: 'uefi',
  segments: ['storage', 'wire', 'wire'],
  hasStorageNic: true,
  ip: '198.18.0.24',
  shell: '198.18.0.24',
  partner: { device: 'agg4', addresses: ['198.18.4.1/24', 'fd00:4::1/64'], hasLacp: true, vlans: [] },
  document: ([, first, second]) => ({
    links: [
      nic('eth1', first),
      nic('eth2', second),
      {
        ...{ kind: 'bond', id: 'bond0', members: ['eth1', 'eth2'], mode: '802.3ad', miimon_ms: 100 },
        ...{ xmit_hash_policy: 'layer3+4', mac: 'fa:16:3e:00:00:24', mtu: 8888 },
        ...{ ipv4: fixed('198.18.4.24', '198.18.4.1'), ipv6: fixed6('fd00:4::24') },
        routes: [{ destination: '198.19.0.0/16', via: '198.18.4.9', metric: 77 }],
      },
    ],
    dns: ['198.18.4.1'],
  }),
  expected: [
    ...STORAGE_LINK('198.18.0.24'),
    'nic1 in bond0 mac fa:16:3e:00:00:24 mtu 8888',
    'nic2 in bond0 mac fa:16:3e:00:00:24 mtu 8888',
    `bond0 802.3ad of nic1 nic2 miimon 100 layer3+4 2 ports 1 aggregator partner ${PARTNER_MAC} ` +
      'mac fa:16:3e:00:00:24 mtu 8888 198.18.4.24/24 fd00:4::24/64',
    '198.18.4.0/24 dev bond0',
    'fd00:4::/64 dev bond0',
    '198.19.0.0/16 via 198.18.4.9 dev bond0 metric 77',
    'default via 198.18.4.1 dev bond0',
    'dns 198.18.4.1',
  ],
  pings: ['198.18.4.1', 'fd00:4::1'],
}

const VLAN: Row = {
  ...OVER_BOOT_NIC,
  name: 'vlan-on-bond',
  firmware: 'bios',
  segments: ['storage', 'wire', 'wire'],
  hasStorageNic: true,
  ip: '198.18.0.25',
  shell: '198.18.0.25',
  partner: {
    device: 'agg5',
    addresses: ['198.18.5.1/24'],
    hasLacp: true,
    vlans: [{ id: 42, device: 'agg5v42', addresses: ['198.18.42.1/24', 'fd00:42::1/64'] }],
  },
  document: ([, first, second]) => ({
    links: [
      nic('eth1', first),
      nic('eth2', second),
      {
        ...{ kind: 'bond', id: 'bond0', members: ['eth1', 'eth2'], mode: '802.3ad', mtu: 9000 },
        ...{ xmit_hash_policy: 'layer2+3', ipv4: fixed('198.18.5.25') },
      },
      {
        ...{ kind: 'vlan', id: 'vlan42', parent: 'bond0', vlan_id: 42, mtu: 1500, mac: 'fa:16:3e:00:00:25' },
        ...{ ipv4: fixed('198.18.42.25', '198.18.42.1'), ipv6: fixed6('fd00:42::25') },
      },
    ],
    dns: ['198.18.42.1'],
  }),
  expected: [
    ...STORAGE_LINK('198.18.0.25'),
    'nic1 in bond0 mtu 9000',
    'nic2 in bond0 mtu 9000',
    `bond0 802.3ad of nic1 nic2 miimon 100 layer2+3 2 ports 1 aggregator partner ${PARTNER_MAC} ` +
      'mtu 9000 198.18.5.25/24',
    'vlan42 vlan 42 on bond0 mac fa:16:3e:00:00:25 mtu 1500 198.18.42.25/24 fd00:42::25/64',
    '198.18.5.0/24 dev bond0',
    '198.18.42.0/24 dev vlan42',
    'fd00:42::/64 dev vlan42',
    'default via 198.18.42.1 dev vlan42',
    'dns 198.18.42.1',
  ],
  pings: ['198.18.5.1', '198.18.42.1', 'fd00:42::1'],
}

const STORAGE_NIC: Row = {
  ...OVER_BOOT_NIC,
  name: 'storage-nic',
  firmware: 'uefi',
  segments: ['storage', 'tenant'],
  hasStorageNic: true,
  ip: '198.18.0.26',
  shell: '198.18.0.26',
  document: ([, mac]) => ({
    links: [nic('eth1', mac, { mtu: 1400, ipv4: fixed('198.18.1.26', '198.18.1.1') })],
    dns: ['198.18.1.1'],
  }),
  expected: [
    ...STORAGE_LINK('198.18.0.26'),
    'nic1 mtu 1400 198.18.1.26/24',
    '198.18.1.0/24 dev nic1',
    'default via 198.18.1.1 dev nic1',
    'dns 198.18.1.1',
  ],
  pings: ['198.18.1.1'],
}

const CARD: Row = {
  ...OVER_BOOT_NIC,
  name: 'card',
  firmware: 'bios',
  inic: 'card',
  segments: ['tenant'],
  shell: '198.18.1.27',
  document: ([mac]) => ({
    links: [nic('eth0', mac, { ipv4: fixed('198.18.1.27', '198.18.1.1') })],
    dns: ['198.18.1.1'],
  }),
  expected: [
    'nic0 mtu 1500 198.18.1.27/24',
    '198.18.1.0/24 dev nic0',
    'default via 198.18.1.1 dev nic0',
    'dns 198.18.1.1',
  ],
  pings: ['198.18.1.1'],
}

/** A server with what there is to lose: a bond, a VLAN on it, a route, resolvers, and a storage NIC to come in by. */
function restored(recipe: string, firmware: 'bios' | 'uefi', host: number): Row {
  return {
    ...OVER_BOOT_NIC,
    ...{ name: `restore-${recipe.replace(/^debian-12-?/, '') || 'netplan'}`, recipe, firmware },
    segments: ['storage', 'tenant', 'tenant'],
    hasStorageNic: true,
    isRestored: true,
    ip: `198.18.0.${host}`,
    shell: `198.18.0.${host}`,
    document: ([, first, second]) => ({
      links: [
        nic('eth1', first),
        nic('eth2', second),
        {
          ...{ kind: 'bond', id: 'bond0', members: ['eth1', 'eth2'], mode: 'active-backup', mtu: 1450 },
          ...{ ipv4: fixed(`198.18.1.${host}`, '198.18.1.1'), ipv6: fixed6(`fd00:1::${host}`) },
        },
        {
          ...{ kind: 'vlan', id: 'vlan7', parent: 'bond0', vlan_id: 7, mtu: 1400 },
          ipv4: fixed(`198.18.7.${host}`),
          routes: [{ destination: '198.19.0.0/16', via: '198.18.7.1', metric: 77 }],
        },
      ],
      dns: ['198.18.1.1'],
    }),
    expected: [
      ...STORAGE_LINK(`198.18.0.${host}`),
      'nic1 in bond0 mtu 1450',
      'nic2 in bond0 mtu 1450',
      `bond0 active-backup of nic1 nic2 miimon 100 mtu 1450 198.18.1.${host}/24 fd00:1::${host}/64`,
      `vlan7 vlan 7 on bond0 mtu 1400 198.18.7.${host}/24`,
      '198.18.1.0/24 dev bond0',
      'fd00:1::/64 dev bond0',
      '198.18.7.0/24 dev vlan7',
      '198.19.0.0/16 via 198.18.7.1 dev vlan7 metric 77',
      'default via 198.18.1.1 dev bond0',
      'dns 198.18.1.1',
    ],
    pings: ['198.18.1.1'],
  }
}

/** Acceptance b and c of the network, a server each. */
export const ROWS: readonly Row[] = [
  ...[STATIC, DHCP, ACTIVE_BACKUP, LACP, VLAN, STORAGE_NIC, CARD],
  restored('debian-12', 'uefi', 31),
  restored('debian-12-networkd', 'bios', 32),
  restored('debian-12-networkmanager', 'uefi', 33),
  restored('debian-12-ifupdown', 'bios', 34),
]

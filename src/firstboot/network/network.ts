/** How a link gets its IPv4 address. Addresses are dotted quads. */
export type Ipv4Addressing =
  | { readonly kind: 'none' }
  | { readonly kind: 'dhcp' }
  | {
      readonly kind: 'static'
      readonly address: string
      /** 1..32 */
      readonly prefixLength: number
      /** The default route; inside the subnet of `address`. */
      readonly gateway?: string
    }

/** How a link gets its IPv6 address beside its link-local one. Addresses are RFC 5952 text. */
export type Ipv6Addressing =
  | { readonly kind: 'none' }
  | { readonly kind: 'slaac' }
  | { readonly kind: 'dhcp' }
  | {
      readonly kind: 'static'
      readonly address: string
      /** 1..128 */
      readonly prefixLength: number
      /** The default route; inside the subnet of `address`, or link-local. */
      readonly gateway?: string
    }

/** A route beyond the gateway of a link; its family is that of `destination`. */
export interface Route {
  /** CIDR without host bits; `0.0.0.0/0` and `::/0` are default routes. */
  readonly destination: string
  readonly via: string
  /** 0..4294967295, lower first; left to the guest when absent. */
  readonly metric?: number
}

/** What links of every kind have. */
export interface LinkBase {
  /** `/^[a-z][a-z0-9]{0,13}$/`, unique in the model; a bond's or VLAN's name in the guest. */
  readonly id: string
  /** Bytes, 576..9216 (1280 and up with IPv6); left to the guest or to DHCP when absent. */
  readonly mtu?: number
  readonly ipv4: Ipv4Addressing
  readonly ipv6: Ipv6Addressing
  readonly routes: readonly Route[]
}

/** A NIC of the machine, found by its MAC whatever name the guest gives it. */
export interface NicLink extends LinkBase {
  readonly kind: 'nic'
  readonly mac: string
  /** The NIC that carries the root disk: the guest must never take it down. At most one link has it. */
  readonly isRoot: boolean
}

/** Several NICs as one (IEEE 802.1AX, or one at work and the others waiting). */
export interface BondLink extends LinkBase {
  readonly kind: 'bond'
  /** Ids of NIC links, which carry no addresses themselves. */
  readonly members: readonly string[]
  readonly mode: '802.3ad' | 'active-backup'
  /** Absent: that of the first member. */
  readonly mac?: string
  /** How often the carrier of each member is looked at; 100 when absent. */
  readonly miimonMs?: number
  /** Only for 802.3ad: what of a frame chooses the member that sends it. */
  readonly xmitHashPolicy?: XmitHashPolicy
  /** Only for active-backup: the member that works whenever it can. */
  readonly primary?: string
}

/** What Linux's bonding driver can hash (kernel Documentation/networking/bonding.rst). */
export const XMIT_HASH_POLICIES = ['layer2', 'layer2+3', 'layer3+4', 'encap2+3', 'encap3+4'] as const

/** One of {@link XMIT_HASH_POLICIES}. */
export type XmitHashPolicy = (typeof XMIT_HASH_POLICIES)[number]

/** An 802.1Q VLAN on a NIC or bond. */
export interface VlanLink extends LinkBase {
  readonly kind: 'vlan'
  /** The id of a NIC or bond link. */
  readonly parent: string
  /** 1..4094 */
  readonly vlanId: number
  /** Absent: the parent's. */
  readonly mac?: string
}

/** One interface of a server. */
export type NetworkLink = NicLink | BondLink | VlanLink

/** What a server's network looks like; every seed document is written from this. */
export interface NetworkModel {
  /** At least one. */
  readonly links: readonly NetworkLink[]
  /** Resolvers, IPv4 or IPv6, best first, at most 8. Empty: whatever DHCP says. */
  readonly dns: readonly string[]
  /** Domains that short names are looked up in, at most 6. */
  readonly search: readonly string[]
}

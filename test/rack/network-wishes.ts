import type { BondLink, NetworkLink, NetworkModel, VlanLink } from '../../src/firstboot/network/network.js'
import { guestName, linkOf, type Converted, type Renderer } from './converted-networks.js'

/** Something that a link was told, and what each renderer must have written of it; undefined: nothing. */
export interface Wish {
  /** What it is, as tests name it: `IPv4 address`. */
  readonly what: What
  readonly written: Readonly<Record<Renderer, RegExp>>
}

/** The kinds of wishes. */
export type What =
  | 'address'
  | 'gateway'
  | 'route'
  | 'route of IPv6 beside IPv4'
  | 'metric'
  | 'DHCP'
  | 'DHCPv6'
  | 'autoconfiguration'
  | 'MTU of a NIC'
  | 'MTU of a bond or VLAN'
  | 'resolver'
  | 'search domain'
  | 'bond'
  | 'bond mode'
  | 'bond option'
  | 'bond member'
  | 'bond primary'
  | 'VLAN'
  | 'VLAN on the root NIC'

/** `=`, a space, or JSON's colon with its quotes. */
const SAYS = '(?:=|"?:? ?"?)'

const same = (pattern: RegExp): Wish['written'] => ({
  netplan: pattern,
  eni: pattern,
  networkd: pattern,
  sysconfig: pattern,
  'network-manager': pattern,
})

/** All that a link of a converted network was told. */
export function wishesOf(converted: Converted, link: NetworkLink): readonly Wish[] {
  const { model } = converted.network
  return [
    ...addressWishes(link),
    ...routeWishes(link),
    ...mtuWishes(link),
    ...resolverWishes(link, model),
    ...(link.kind === 'bond' ? bondWishes(converted, link) : []),
    ...(link.kind === 'vlan' ? vlanWishes(converted, link) : []),
    ...memberWishes(converted, link),
  ]
}

function addressWishes({ ipv4, ipv6 }: NetworkLink): readonly Wish[] {
  return [
    ...(ipv4.kind === 'dhcp' ? [DHCP] : []),
    ...(ipv6.kind === 'dhcp' ? [DHCP6] : []),
    ...(ipv6.kind === 'slaac' ? [SLAAC] : []),
    ...(ipv4.kind === 'static' ? [address(ipv4.address, ipv4.prefixLength, 'IPADDR')] : []),
    ...(ipv6.kind === 'static' ? [address(ipv6.address, ipv6.prefixLength, 'IPV6ADDR')] : []),
    ...(ipv4.kind === 'static' && ipv4.gateway ? [gateway(ipv4.gateway, '0.0.0.0/0', 'GATEWAY')] : []),
    ...(ipv6.kind === 'static' && ipv6.gateway ? [gateway(ipv6.gateway, '::/0', 'IPV6_DEFAULTGW')] : []),
  ]
}

const DHCP: Wish = {
  what: 'DHCP',
  written: {
    netplan: /"dhcp4": ?true/,
    eni: /inet dhcp/,
    networkd: /^DHCP=(?:ipv4|yes)$/m,
    sysconfig: /^BOOTPROTO=dhcp$/m,
    'network-manager': /\[ipv4\]\nmethod=auto\n/,
  },
}

const DHCP6: Wish = {
  what: 'DHCPv6',
  written: {
    netplan: /"dhcp6": ?true/,
    eni: /inet6 dhcp/,
    networkd: /^DHCP=(?:ipv6|yes)$/m,
    sysconfig: /^DHCPV6C=yes$/m,
    'network-manager': /\[ipv6\]\n(?:dns=.*\n)?method=auto\n|\[ipv6\]\nmethod=auto\n/,
  },
}

const SLAAC: Wish = {
  what: 'autoconfiguration',
  written: {
    // Version 2 says `accept-ra`; the others end as `dhcp6`, which networkd asks only if routers say so.
    netplan: /"accept-ra": ?true|"dhcp6": ?true/,
    eni: /inet6 auto|accept_ra 1/,
    networkd: /^/, // it listens to routers unless told otherwise
    sysconfig: /^(?:IPV6_AUTOCONF|IPV6_FORCE_ACCEPT_RA)=yes$/m,
    'network-manager': /\[ipv6\]\nmethod=auto\n/,
  },
}

function address(text: string, prefixLength: number, key: string): Wish {
  const cidr = literal(`${text}/${prefixLength}`)
  return {
    what: 'address',
    written: {
      netplan: new RegExp(`"addresses": ?\\[[^\\]]*"${cidr}"`),
      eni: new RegExp(`^ +address ${cidr}$`, 'm'),
      networkd: new RegExp(`^Address=${cidr}$`, 'm'),
      sysconfig: new RegExp(`^${key}=${key === 'IPADDR' ? literal(text) : cidr}$`, 'm'),
      'network-manager': new RegExp(`^address\\d=${cidr}$`, 'm'),
    },
  }
}

function gateway(text: string, all: string, key: string): Wish {
  const via = literal(text)
  return {
    what: 'gateway',
    written: {
      netplan: new RegExp(`"gateway[46]": ?"${via}"|"via": ?"${via}"`),
      eni: new RegExp(`^ +(?:gateway|post-up route add (?:-A inet6 )?default gw) ${via}(?: |$)`, 'm'),
      networkd: new RegExp(`^Gateway=${via}$`, 'm'),
      sysconfig: new RegExp(`^${key}=${via}$`, 'm'),
      'network-manager': new RegExp(`^(?:gateway=|route\\d=${literal(all)},)${via}$`, 'm'),
    },
  }
}

function routeWishes(link: NetworkLink): readonly Wish[] {
  return link.routes.flatMap(({ destination, via, metric }) => {
    const [network = '', length = ''] = destination.split('/').map(literal)
    const isBeside = network.includes(':') && link.ipv4.kind !== 'none'
    const gate = literal(via)
    const eni = new RegExp(`^ +post-up route add .*${network}/${length} gw ${gate}(?: |$)`, 'm')
    const route: Wish = {
      what: isBeside ? 'route of IPv6 beside IPv4' : 'route',
      written: {
        netplan: new RegExp(`"${network}/${length}".*"${gate}"|"${gate}".*"${network}/${length}"`),
        // An address must be there before the route through it: the stanza of its own family.
        eni: isBeside ? new RegExp(`^iface \\S+ inet6 (?:.*\\n)*?${eni.source.slice(1)}`, 'm') : eni,
        networkd: new RegExp(`^Destination=${network}/${length}\\n+Gateway=${gate}$`, 'm'),
        sysconfig: new RegExp(
          `^ADDRESS\\d=${network}$[^]*^GATEWAY\\d=${gate}$|^${network}/${length} via ${gate}`,
          'm',
        ),
        'network-manager': new RegExp(
          `\\[${isBeside ? 'ipv6' : 'ipv4'}\\](?:\\n.+)*\\nroute\\d=${network}/${length},${gate}`,
        ),
      },
    }
    const metricPattern = new RegExp(
      `metric${SAYS}${metric}|^METRIC\\d?=${metric}$|^Metric=${metric}$|,${gate},${metric}$`,
      'm',
    )
    return metric === undefined ? [route] : [route, { what: 'metric' as const, written: same(metricPattern) }]
  })
}

function mtuWishes(link: NetworkLink): readonly Wish[] {
  if (link.mtu === undefined) return []
  const what = link.kind === 'nic' ? 'MTU of a NIC' : 'MTU of a bond or VLAN'
  return [{ what, written: same(new RegExp(`(?:\\bmtu|MTU|MTUBytes)${SAYS}${link.mtu}\\b`)) }]
}

function resolverWishes(link: NetworkLink, { dns, search }: NetworkModel): readonly Wish[] {
  // DHCP brings resolvers of its own, and most renderers leave it to that.
  if (link.ipv4.kind !== 'static' && link.ipv6.kind !== 'static') return []
  return [
    ...dns.map((text) => ({
      what: 'resolver' as const,
      written: same(new RegExp(`(?:["=; ])${literal(text)}(?:[";\\s]|$)`, 'm')),
    })),
    ...search.map((text) => ({
      what: 'search domain' as const,
      written: same(new RegExp(`["=; ]${literal(text)}(?:[";\\s]|$)`, 'm')),
    })),
  ]
}

function bondWishes(converted: Converted, link: BondLink): readonly Wish[] {
  const { mode, miimonMs = 100, xmitHashPolicy } = link
  const options = [
    [String(miimonMs), 'mii'],
    ...(xmitHashPolicy ? [[literal(xmitHashPolicy), 'hash']] : []),
  ] as const
  const name = guestName(converted, link)
  const primary = link.primary === undefined ? [] : [linkOf(converted.network.model, link.primary)]
  return [
    ...primary.map((member) => ({
      what: 'bond primary' as const,
      written: same(new RegExp(`primary${SAYS}${guestName(converted, member)}\\b`)),
    })),
    {
      what: 'bond',
      written: {
        netplan: /"interfaces"/,
        eni: new RegExp(`^iface ${name} [^]*bond-slaves none`, 'm'),
        networkd: /^Kind=bond$/m,
        sysconfig: /^TYPE=Bond$/m,
        'network-manager': /^type=bond$/m,
      },
    },
    { what: 'bond mode', written: same(new RegExp(`mode${SAYS}${literal(mode)}\\b`)) },
    ...options.map(([value, key]) => ({
      what: 'bond option' as const,
      written: same(new RegExp(`${key}[a-z_-]*${SAYS}${value}(?:[",}\\s]|$)`, 'm')),
    })),
  ]
}

function memberWishes(converted: Converted, link: NetworkLink): readonly Wish[] {
  const bond = converted.network.model.links.find(
    (one) => one.kind === 'bond' && one.members.includes(link.id),
  )
  if (bond === undefined) return []
  const name = guestName(converted, bond)
  return [
    {
      what: 'bond member',
      written: {
        netplan: /"macaddress"/, // the bond says whom it has: see the test of netplan's own files
        eni: new RegExp(`bond-master ${name}$`, 'm'),
        networkd: new RegExp(`^Bond=${name}$`, 'm'),
        sysconfig: new RegExp(`^MASTER=${name}$`, 'm'),
        'network-manager': /^slave-type=bond$/m,
      },
    },
  ]
}

function vlanWishes(converted: Converted, { parent, vlanId }: VlanLink): readonly Wish[] {
  const lower = linkOf(converted.network.model, parent)
  const below = guestName(converted, lower)
  return [
    {
      what: lower.kind === 'nic' && lower.isRoot ? 'VLAN on the root NIC' : 'VLAN',
      written: {
        netplan: new RegExp(
          `"id": ?${vlanId}, ?"link": ?"${below}"|"id": ?${vlanId}\\b.*"link": ?"${below}"`,
        ),
        eni: new RegExp(`vlan-raw-device ${below}$[^]*vlan_id ${vlanId}$`, 'm'),
        networkd: /^Kind=vlan$/m,
        sysconfig: new RegExp(`^PHYSDEV=${below}$`, 'm'),
        'network-manager': new RegExp(`^type=vlan$[^]*^id=${vlanId}\\nparent=[0-9a-f-]{36}$`, 'm'),
      },
    },
  ]
}

function literal(text: string): string {
  return text.replaceAll(/[.+*?^$()[\]{}|\\]/g, '\\$&')
}

import { parseMac } from '../../wire/mac.js'
import { isNicName } from './check-link.js'
import type { BondLink, NetworkLink } from './network.js'

/** What the checked links of one network say about each other. */
export class Links {
  readonly #all: readonly NetworkLink[]

  readonly #bonds: readonly BondLink[]

  constructor(links: readonly NetworkLink[]) {
    this.#all = links
    this.#bonds = links.filter((link) => link.kind === 'bond')
  }

  /** The bond that `id` is a member of. */
  bondOf(id: string): BondLink | undefined {
    return this.#bonds.find(({ members }) => members.includes(id))
  }

  /** Whether a VLAN stands on it. */
  hasVlan(id: string): boolean {
    return this.#all.some((link) => link.kind === 'vlan' && link.parent === id)
  }

  /** The MAC of a link in the guest, lower case with colons; a bond's is that of its first member. */
  macOf(link: NetworkLink): string {
    if (link.mac !== undefined) return parseMac(link.mac) ?? link.mac
    const lower = this.#all.find(({ id }) => id === lowerId(link))
    if (lower === undefined) throw new Error(`"${link.id}" stands on nothing: was the network checked?`)
    return this.macOf(lower)
  }

  /** The MTU of a link in bytes; that of a member is its bond's. */
  mtuOf(link: NetworkLink): number | undefined {
    return this.bondOf(link.id)?.mtu ?? link.mtu
  }

  /**
   * The link that a booting guest waits for: the root NIC, else the first with a gateway, else the first
   * that has an address or asks for one. None of the others may keep a machine waiting for a missing cable.
   */
  anchor(): NetworkLink | undefined {
    return (
      this.#all.find((link) => link.kind === 'nic' && link.isRoot) ??
      this.#all.find(({ ipv4, ipv6 }) => hasGateway(ipv4) || hasGateway(ipv6)) ??
      this.#all.find(({ ipv4, ipv6 }) => ipv4.kind !== 'none' || ipv6.kind !== 'none')
    )
  }
}

/** What documents that give names call a link: its id, unless a guest could call another of its NICs so. */
export function nameOf(id: string): string {
  return isNicName(id) ? `${id}_` : id // ids have no underscore, and 14 characters at most: names have 15
}

function lowerId(link: NetworkLink): string | undefined {
  if (link.kind === 'vlan') return link.parent
  return link.kind === 'bond' ? link.members[0] : undefined
}

function hasGateway(addressing: NetworkLink['ipv4'] | NetworkLink['ipv6']): boolean {
  return addressing.kind === 'static' && addressing.gateway !== undefined
}

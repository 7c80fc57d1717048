import { parseMac } from '../../wire/mac.js'
import type { BondLink, NetworkLink, VlanLink } from './network.js'
import { checkCount, refused, shown } from './refusal.js'

const MAX_MEMBERS = 16
// What Ethernet carries when nobody says otherwise (IEEE 802.3 §3.2.7).
const USUAL_MTU = 1500

/** Checks how links hang together. @throws DaemonError INVALID_INPUT */
export function checkTopology(links: readonly NetworkLink[]): void {
  checkUnique(links)
  links.forEach((link, index) => {
    if (link.kind === 'bond') checkBond(link, `links[${index}]`, links)
    if (link.kind === 'vlan') checkVlan(link, `links[${index}]`, links)
  })
  // After the bonds: who hides behind another's address can only be told once all members are known.
  links.forEach((link, index) => checkBorrowedMac(link, `links[${index}].mac`, links))
}

function checkUnique(links: readonly NetworkLink[]): void {
  const nicMacs = links.map((link) => (link.kind === 'nic' ? parseMac(link.mac) : undefined))
  links.forEach((link, index) => {
    if (links.findIndex(({ id }) => id === link.id) !== index) {
      throw refused(`links[${index}].id`, `${shown(link.id)} is the id of another link`)
    }
    if (link.kind === 'nic' && nicMacs.indexOf(parseMac(link.mac)) !== index) {
      throw refused(`links[${index}].mac`, 'expected each MAC address once')
    }
  })
  const isRoot = (link: NetworkLink): boolean => link.kind === 'nic' && link.isRoot
  if (links.filter(isRoot).length > 1) {
    throw refused(`links[${links.findLastIndex(isRoot)}].is_root`, 'expected at most one root NIC')
  }
}

function checkBond(bond: BondLink, field: string, links: readonly NetworkLink[]): void {
  if (bond.members.length === 0) throw refused(`${field}.members`, 'expected at least one member, got none')
  checkCount(bond.members, `${field}.members`, MAX_MEMBERS)
  bond.members.forEach((id, index) => {
    const memberField = `${field}.members[${index}]`
    if (bond.members.indexOf(id) !== index) throw refused(memberField, `${shown(id)} is a member already`)
    const others = links.slice(0, links.indexOf(bond)).filter((link) => link.kind === 'bond')
    const owner = others.find(({ members }) => members.includes(id))
    if (owner !== undefined) throw refused(memberField, `${shown(id)} is a member of ${shown(owner.id)}`)
    checkMember(id, bond, memberField, links)
  })
  if (bond.primary !== undefined && !bond.members.includes(bond.primary)) {
    throw refused(`${field}.primary`, `${shown(bond.primary)} is no member of this bond`)
  }
}

function checkMember(id: string, bond: BondLink, field: string, links: readonly NetworkLink[]): void {
  const nic = links.find((link) => link.id === id)
  if (nic?.kind !== 'nic') throw refused(field, `${shown(id)} is no NIC of this network`)
  // Enslaving takes the NIC down, and with it the session of the root disk.
  if (nic.isRoot) throw refused(field, `${shown(id)} carries the root disk, which a bond would cut off`)
  if (nic.ipv4.kind !== 'none' || nic.ipv6.kind !== 'none' || nic.routes.length > 0) {
    throw refused(field, `${shown(id)} has addresses or routes of its own: they belong to the bond`)
  }
  if (nic.mtu !== undefined && nic.mtu !== (bond.mtu ?? USUAL_MTU)) {
    throw refused(field, `${shown(id)} has another MTU than the bond, which sets that of its members`)
  }
}

function checkVlan(vlan: VlanLink, field: string, links: readonly NetworkLink[]): void {
  const parent = links.find(({ id }) => id === vlan.parent)
  if (parent === undefined || parent.kind === 'vlan') {
    throw refused(`${field}.parent`, `${shown(vlan.parent)} is no NIC or bond of this network`)
  }
  const owner = links.find((link) => link.kind === 'bond' && link.members.includes(vlan.parent))
  if (owner !== undefined) {
    throw refused(
      `${field}.parent`,
      `${shown(vlan.parent)} is a member of ${shown(owner.id)}: name the bond instead`,
    )
  }
  const twin = links.find(
    (link) => link.kind === 'vlan' && link.parent === vlan.parent && link.vlanId === vlan.vlanId,
  )
  if (twin !== vlan)
    throw refused(`${field}.vlan_id`, `${shown(vlan.parent)} has VLAN ${vlan.vlanId} already`)
  const parentMtu = parent.mtu ?? USUAL_MTU
  if (vlan.mtu !== undefined && vlan.mtu > parentMtu) {
    throw refused(`${field}.mtu`, `${vlan.mtu} does not fit into the ${parentMtu} of ${shown(parent.id)}`)
  }
}

/** A bond or VLAN may have the address of a NIC below it, never that of another: two would answer to it. */
function checkBorrowedMac(link: NetworkLink, field: string, links: readonly NetworkLink[]): void {
  if (link.kind === 'nic' || link.mac === undefined) return
  const mac = parseMac(link.mac)
  const owner = links.find((nic) => nic.kind === 'nic' && parseMac(nic.mac) === mac)
  if (owner === undefined || nicsBelow(link, links).includes(owner.id)) return
  throw refused(
    field,
    `${link.mac} is the address of ${shown(owner.id)}, which is not below ${shown(link.id)}`,
  )
}

function nicsBelow(link: NetworkLink, links: readonly NetworkLink[]): readonly string[] {
  if (link.kind === 'nic') return [link.id]
  if (link.kind === 'bond') return link.members
  const parent = links.find(({ id }) => id === link.parent)
  return parent === undefined ? [] : nicsBelow(parent, links)
}

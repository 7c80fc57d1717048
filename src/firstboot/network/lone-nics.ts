import { Links } from './links.js'
import type { NetworkLink, NetworkModel, NicLink } from './network.js'

/**
 * The same network, where each NIC that `wants` it is the only member of a bond of its own, which has its
 * addresses and VLANs. The root NIC and the members of bonds stay as they are.
 */
export function bondLoneNics(
  network: NetworkModel,
  wants: (nic: NicLink, links: Links) => boolean,
): NetworkModel {
  const links = new Links(network.links)
  const isLone = (link: NetworkLink): link is NicLink =>
    link.kind === 'nic' && !link.isRoot && links.bondOf(link.id) === undefined && wants(link, links)
  const lone = new Set(network.links.filter(isLone).map(({ id }) => id))
  return {
    ...network,
    links: network.links.flatMap((link): readonly NetworkLink[] => {
      if (isLone(link)) return bonded(link)
      return link.kind === 'vlan' && lone.has(link.parent)
        ? [{ ...link, parent: bondId(link.parent) }]
        : [link]
    }),
  }
}

function bonded(nic: NicLink): readonly NetworkLink[] {
  const { ipv4, ipv6, routes, mtu } = nic
  return [
    { ...nic, ipv4: { kind: 'none' }, ipv6: { kind: 'none' }, routes: [] },
    {
      kind: 'bond',
      id: bondId(nic.id),
      members: [nic.id],
      mode: 'active-backup',
      ...(mtu !== undefined && { mtu }),
      ipv4,
      ipv6,
      routes,
    },
  ]
}

/** No id of a document has an underscore, so none is taken. */
function bondId(id: string): string {
  return `bond_${id}`
}

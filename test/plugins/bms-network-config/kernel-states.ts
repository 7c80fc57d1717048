import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { documentOf, NICS } from './documents.js'
import { GuestTree, up, type Interface, type KernelState } from './guest-tree.js'

/** What the documents with a fixed address give. */
export const ADDRESS = '198.18.0.11/24'
/** The default route of the documents, through bond0. */
export const GATEWAY = { dst: 'default', gateway: '198.18.0.1', dev: 'bond0', flags: [] }

/** The kernel as the document `static` wishes. */
export const STATIC: KernelState = {
  address: [up('ens3', NICS[0], [ADDRESS], { mtu: 1400 }), up('ens4', NICS[1]), up('ens5', NICS[2])],
  route4: [
    { ...GATEWAY, dev: 'ens3' },
    { dst: '10.9.0.0/16', gateway: '198.18.0.2', dev: 'ens3', flags: [] },
    { dst: '198.18.0.0/24', dev: 'ens3', protocol: 'kernel', scope: 'link', prefsrc: '198.18.0.11' },
  ],
}

/** A NIC that is in bond0. */
export function member(ifname: string, mac: string): Interface {
  return up(ifname, NICS[1], [], { master: 'bond0', permaddr: mac, linkinfo: { info_slave_kind: 'bond' } })
}

/** bond0, with these options other than wished. */
export function bond(data: object = {}): Interface {
  const info_data = { mode: '802.3ad', miimon: 100, xmit_hash_policy: 'layer3+4', ...data }
  return up('bond0', NICS[1], [], { linkinfo: { info_kind: 'bond', info_data } })
}

/** vlan7 on bond0. */
export function vlan(addresses: readonly string[] = [ADDRESS], id = 7): Interface {
  return up('vlan7', NICS[1], addresses, {
    link: 'bond0',
    linkinfo: { info_kind: 'vlan', info_data: { protocol: '802.1Q', id } },
  })
}

/** The kernel as the document `vlan-on-bond` wishes. */
export const VLAN_ON_BOND: KernelState = {
  address: [up('ens3', NICS[0]), member('ens4', NICS[1]), member('ens5', NICS[2]), bond(), vlan()],
  route4: [{ ...GATEWAY, dev: 'vlan7' }],
}

/** A guest whose back end runs, with this kernel and this wish. */
export function guestWith(folder: string, backend: string, document: string, state: KernelState): GuestTree {
  const guest = new GuestTree(folder, backend)
  guest.wish(documentOf(document))
  guest.kernel(state)
  guest.activate()
  return guest
}

/** A guest whose files are already as wished, but not its kernel. */
export async function written(
  folder: string,
  backend: string,
  document: string,
  state: KernelState,
): Promise<GuestTree> {
  const guest = guestWith(folder, backend, document, state)
  // only where somebody else in the guest writes it
  if (backend === 'NetworkManager' || backend === 'ifcfg')
    guest.write('etc/resolv.conf', 'nameserver 198.18.0.53\n')
  await guest.run(['--early'], 'programs')
  rmSync(join(guest.tools, 'calls'), { force: true })
  return guest
}

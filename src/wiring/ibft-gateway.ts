import { subnetOfAddress } from '../config-subnets.js'
import type { Config } from '../config.js'
import type { BootTarget } from '../netboot/decide.js'
import type { ImageRecord, MachineRecord, ServerRecord } from '../registry/records.js'
import { isInSubnet, parseIpv4, parseSubnet } from '../wire/ipv4.js'

/** A server as far as its boot's gateway hangs on it. */
export interface Booted {
  readonly server: Pick<ServerRecord, 'network'>
  readonly nic: Pick<MachineRecord['nics'][number], 'ip' | 'role'> | undefined
  readonly osType: ImageRecord['osType'] | undefined
}

/**
 * Whether the iBFT names the router that DHCP gave, in a segment where the disk's target is a neighbour.
 *
 * It is left out for Windows, which sends all that goes to the disk through a gateway that the iBFT names
 * (github.com/ipxe/ipxe/issues/1599); for a storage NIC, whose router must not become the guest's way out; and for a
 * network document of the server's own, since an initramfs makes of the gateway a default route that outranks the
 * document's. It stays for a Linux that has its default route by this very NIC: cloud-init 22.4.2 prefers the network
 * of the initramfs to the seed's, and an image without a plug-in would have no way out before its boothook ran.
 */
export function ibftGateway({ server, nic, osType }: Booted, config: Config): BootTarget['ibftGateway'] {
  const isWanted = osType !== 'windows' && nic?.role !== 'storage' && server.network === undefined
  return isWanted || !isTargetOnLink(nic?.ip, config) ? 'kept' : 'left-out'
}

/** @param ip the NIC's fixed address; without one it may be in any subnet, so only an only one tells */
function isTargetOnLink(ip: string | undefined, { subnets, target }: Config): boolean {
  const ours = ip === undefined && subnets.length === 1 ? subnets[0] : subnetOfAddress(subnets, ip)
  const segment = parseSubnet(ours?.cidr ?? '')
  const portal = parseIpv4(target.address)
  return segment !== undefined && portal !== undefined && isInSubnet(portal, segment)
}

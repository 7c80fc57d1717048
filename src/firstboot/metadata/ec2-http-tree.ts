import type { NicLink, NetworkModel } from '../network/network.js'
import type { Ec2Tree } from '../seed/ec2-documents.js'
import type { SeedInput } from '../seed/seed-input.js'
import { parseMac } from '../../wire/mac.js'

/**
 * EC2's tree as HTTP serves it: that of the seed disk, the NICs, and leaves that programs ask for by name and that
 * mean nothing to a bare metal server (Nova invents them too: api/metadata/base.py, get_ec2_metadata).
 */
export function ec2HttpTree({ serverId, network }: SeedInput, onDisk: Ec2Tree): Ec2Tree {
  const short = serverId.slice(0, 8)
  return {
    'ami-id': `ami-${short}`,
    'block-device-mapping': { ami: 'sda', root: '/dev/sda' },
    'instance-type': 'physical',
    'reservation-id': `r-${short}`,
    'security-groups': 'default',
    ...nicsOf(network),
    ...onDisk,
  }
}

/**
 * EC2 knows NICs that ask for their addresses and nothing else, and cloud-init makes that of whatever is listed here.
 * So a network of anything else is not told, and the guest keeps the network that it has.
 */
function nicsOf({ links }: NetworkModel): Ec2Tree {
  const nics = links.filter((link): link is NicLink => link.kind === 'nic' && isPlain(link))
  const [first] = nics
  if (first === undefined || nics.length < links.length) return {}
  const macs = nics.map(({ mac }, index) => [
    parseMac(mac) ?? mac,
    { 'device-number': String(index), mac: parseMac(mac) ?? mac },
  ])
  return {
    mac: parseMac(first.mac) ?? first.mac,
    network: { interfaces: { macs: Object.fromEntries(macs) as Ec2Tree } }, // pairs of a MAC and its folder
  }
}

function isPlain({ ipv4, ipv6, routes }: NicLink): boolean {
  return ipv4.kind === 'dhcp' && ipv6.kind === 'none' && routes.length === 0
}

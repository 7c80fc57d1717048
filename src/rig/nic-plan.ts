import { DaemonError } from '../errors.js'
import { parseMac } from '../wire/mac.js'

/**
 * Where a NIC's cable ends: `storage` is the bridge that the daemons are on (br0), `tenant` a bridge without them (br1),
 * `wire` no bridge at all: the NIC's tap is for whoever reads it. A bond's LACP partner needs that, since a bridge
 * drops what is sent to 01:80:c2:00:00:02 (IEEE 802.1D, reserved addresses).
 */
export const RIG_SEGMENTS = ['storage', 'tenant', 'wire'] as const

/** One of {@link RIG_SEGMENTS}. */
export type RigSegment = (typeof RIG_SEGMENTS)[number]

/** A NIC as an operator asks for it. */
export interface RigNicOptions {
  readonly mac: string
  /** Default `storage`. */
  readonly segment?: RigSegment
}

/** A NIC with every choice made. */
export interface RigNicPlan {
  readonly mac: string
  readonly segment: RigSegment
  /** Its end in the namespace. */
  readonly tap: string
}

/** The bridge of each segment that has one. */
export const BRIDGES = { storage: 'br0', tenant: 'br1', wire: undefined } as const

const NICS_MAX = 8 // slots of a q35 root bus are few

/**
 * NICs of the machine with that index, in the order that firmware finds them.
 * @throws DaemonError INVALID_INPUT naming the field
 */
export function planNics(nics: readonly RigNicOptions[], machineIndex: number): readonly RigNicPlan[] {
  const field = `machines[${machineIndex}].nics`
  if (nics.length === 0 || nics.length > NICS_MAX) {
    throw new DaemonError('INVALID_INPUT', `${field}: expected 1..${NICS_MAX} NICs, got ${nics.length}`)
  }
  return nics.map(({ mac: text, segment = 'storage' }, index) => {
    const mac = parseMac(text)
    if (mac === undefined) {
      throw new DaemonError('INVALID_INPUT', `${field}[${index}].mac: expected a MAC address, got "${text}"`)
    }
    return { mac, segment, tap: index === 0 ? `tap${machineIndex}` : `tap${machineIndex}n${index}` }
  })
}

/** Lines for `ip -batch` that make a NIC's tap and plug it in. */
export function tapCommands({ tap, segment }: RigNicPlan): readonly string[] {
  const bridge = BRIDGES[segment]
  // a reader of the wire is sent whole frames of any size a NIC may be given
  const plug = bridge === undefined ? `mtu ${WIRE_MTU}` : `master ${bridge}`
  return [`tuntap add dev ${tap} mode tap`, `link set ${tap} ${plug} up`]
}

const WIRE_MTU = 9216

/**
 * QEMU's arguments for a NIC.
 * @param more further properties of the device, e.g. `bootindex=1`
 */
export function nicArguments(
  { mac, segment, tap }: RigNicPlan,
  index: number,
  more: readonly string[],
): string[] {
  const isWire = segment === 'wire'
  // frames on a wire are complete: what reads them could neither finish a checksum nor cut a segment
  const offload = isWire ? ',vnet_hdr=off' : ''
  // Linux' bonding leaves a port without a speed out of LACP, and virtio has none by itself
  const speed = isWire ? ['speed=10000', 'duplex=full'] : []
  const device = ['virtio-net-pci', `netdev=net${index}`, `mac=${mac}`, ...speed, ...more]
  return [
    ...['-netdev', `tap,id=net${index},ifname=${tap},script=no,downscript=no${offload}`],
    ...['-device', device.join(',')],
  ]
}

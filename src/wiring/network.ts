import { systemClock } from '../clock.js'
import type { Config } from '../config.js'
import type { EventIntake } from '../control/event-intake.js'
import { DhcpSightings } from '../control/doctor/dhcp-sightings.js'
import { hostInterfaces } from '../control/doctor/kernel-network.js'
import { NetworkDoctor } from '../control/doctor/network-doctor.js'
import { DaemonError } from '../errors.js'
import type { EmitEvent } from '../events.js'
import type { DhcpWatch } from '../netboot/dhcp/sighting.js'
import { RouterAdvertiser } from '../netboot/ra/router-advertiser.js'
import type { Registry } from '../registry/registry.js'
import type { Service } from '../service.js'
import type { EntryContext } from './entry.js'

/** The doctor of the boot network, and what DHCP tells it. */
export interface Network {
  readonly doctor: NetworkDoctor
  readonly watch: DhcpWatch
}

/** Wires the doctor; it knows nothing until DHCP is served. */
export function networkDoctor(
  { boot, subnets, metadata }: Config,
  registry: Registry,
  intake: EventIntake,
): Network {
  const sightings = new DhcpSightings(systemClock)
  const doctor = new NetworkDoctor({
    subnets,
    dhcpPort: boot?.dhcpPort ?? 0,
    metadataAddress: metadata?.address,
    registry,
    reached: (serverId) => intake.reached(serverId),
    sightings,
    clock: systemClock,
    emit: (event) => intake.take(event),
  })
  const isOurs = (mac: string): boolean => mac === doctor.mac
  return { doctor, watch: { saw: (sighting) => sightings.saw(sighting), isOurs } }
}

/**
 * Router advertisements on the segments that are to have them; none when none is.
 * @throws DaemonError CONFIG_INVALID when no interface is in such a segment
 */
export async function routerAdvertisers(
  { config, log }: EntryContext,
  emit: EmitEvent,
): Promise<readonly Service[]> {
  const wished = config.subnets.filter(({ hasRouterAdvertisement }) => hasRouterAdvertisement)
  if (wished.length === 0) return []
  const links = await hostInterfaces()
  const interfaces = wished.map(({ cidr, address }) => {
    const link = links.find(({ addresses }) => addresses.some((own) => own.startsWith(`${address}/`)))
    if (link !== undefined) return link.name
    const message = `router_advertisement of subnet ${cidr}: expected an interface with the address ${address}, found none`
    throw new DaemonError('CONFIG_INVALID', message)
  })
  const options = { interfaces: [...new Set(interfaces)], runDir: config.runDir }
  return [new RouterAdvertiser(options, { clock: systemClock, log, emit })]
}

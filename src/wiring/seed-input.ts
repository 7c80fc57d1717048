import { createHash } from 'node:crypto'
import type { Config } from '../config.js'
import { subnetOfAddress } from '../config-subnets.js'
import { parseNetwork } from '../firstboot/network/network-document.js'
import type { NetworkModel, NicLink } from '../firstboot/network/network.js'
import { renderSeedDisk } from '../firstboot/seed/seed-disk.js'
import type { SeedInput } from '../firstboot/seed/seed-input.js'
import { bootUrl } from '../netboot/decide.js'
import type { ImageRecord, MachineRecord, NicRecord, ServerRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { parseSubnet } from '../wire/ipv4.js'
import { readNetworkAgent } from './network-agent.js'

/** What seeds are made of beside the records of a server and its machine. */
export interface SeedSources {
  readonly config: Config
  readonly registry: Pick<Registry, 'images' | 'machines'>
  readonly networkAgent: Uint8Array | undefined
}

/** Read once, when a daemon starts. */
export function seedSources(config: Config, registry: SeedSources['registry']): SeedSources {
  return { config, registry, networkAgent: readNetworkAgent() }
}

/** What a server's seed says, from its records and the configuration: part of the wiring, for both entry files. */
export function seedInputOf(server: ServerRecord, machine: MachineRecord, sources: SeedSources): SeedInput {
  const { config, registry, networkAgent } = sources
  const image = registry.images.get(server.imageId)
  const osType = image?.osType ?? 'other'
  const network = networkOf(server, machine, config)
  return {
    serverId: server.id,
    instanceId: server.instanceId,
    hostname: server.name,
    keys: server.keys,
    osType,
    network,
    phoneHomeUrl: phoneHomeUrlOf(server, machine, config),
    ...secretsOf(server, osType),
    ...(image !== undefined && imageParts(image)),
    ...addressPart(network, machine),
    ...(config.availabilityZone !== undefined && { availabilityZone: config.availabilityZone }),
    ...(networkAgent !== undefined && osType === 'linux' && { networkAgent }),
  }
}

/** The whole seed disk of a server as it should be now. @throws Error when it has no machine */
export function seedDiskOf(server: ServerRecord, sources: SeedSources): Uint8Array {
  return renderSeedDisk(seedInputOf(server, machineOf(server, sources), sources), server.createdMs)
}

/** The same text while {@link seedDiskOf} would give the same bytes in this process, and much cheaper. */
export function seedRevisionOf(server: ServerRecord, sources: SeedSources): string {
  const { userData, seedSecret, networkAgent, ...rest } = seedInputOf(
    server,
    machineOf(server, sources),
    sources,
  )
  const hash = createHash('sha256').update(JSON.stringify([rest, networkAgent?.length]))
  for (const bytes of [userData, seedSecret]) hash.update(`${bytes?.length ?? -1} `).update(bytes ?? '')
  return hash.digest('base64')
}

function machineOf(server: ServerRecord, { registry }: SeedSources): MachineRecord {
  const machine = registry.machines.get(server.machineId)
  if (machine === undefined) throw new Error(`server ${server.name} has no machine`)
  return machine
}

function phoneHomeUrlOf({ instanceId }: ServerRecord, { nics }: MachineRecord, config: Config): string {
  const { target, boot, subnets } = config
  const address = subnetOfAddress(subnets, nics[0]?.ip)?.address ?? boot?.address ?? target.address
  return `${bootUrl({ address, httpPort: boot?.httpPort ?? 80 }, instanceId)}/ready`
}

/** Windows makes its own password: a hash is nothing to it. */
function secretsOf(
  { seedSecret, adminPasswordHash, userData }: ServerRecord,
  osType: ImageRecord['osType'],
): Pick<SeedInput, 'seedSecret' | 'adminPasswordHash' | 'userData'> {
  const hasHash = adminPasswordHash !== undefined && osType !== 'windows'
  return { seedSecret, ...(hasHash && { adminPasswordHash }), ...(userData && { userData }) }
}

/** `meta` as the cloud's servers have it, and what the image's network plug-in needs. */
function imageParts({ id, name, osType, properties }: ImageRecord): Partial<SeedInput> {
  return {
    metadata: { image_name: name, os_bit: '64', os_type: osType, 'metering.image_id': id },
    networkQuirks: { bondAlways: properties['network_data_bond'] === 'always' },
  }
}

function addressPart({ links }: NetworkModel, machine: MachineRecord): Pick<SeedInput, 'localIpv4'> {
  const [own] = links.flatMap(({ ipv4 }) => (ipv4.kind === 'static' ? [ipv4.address] : []))
  const localIpv4 = own ?? tenantNics(machine)[0]?.ip
  return localIpv4 === undefined ? {} : { localIpv4 }
}

function tenantNics({ nics }: MachineRecord): NicRecord[] {
  return nics.filter(({ role }) => role === 'tenant')
}

/** What the operator wrote; else each tenant NIC as its subnet has it. @throws DaemonError INVALID_INPUT */
function networkOf(server: ServerRecord, machine: MachineRecord, config: Config): NetworkModel {
  if (server.network !== undefined) {
    const nics = machine.nics.map((nic) => ({ mac: nic.mac, role: nic.role, isRoot: isRoot(nic, machine) }))
    return parseNetwork(JSON.parse(server.network), nics)
  }
  const nics = tenantNics(machine)
  const dns = [...new Set(subnetOfAddress(config.subnets, nics[0]?.ip)?.dns)]
  const links = nics.map((nic) => linkOf(nic, server, machine, config))
  return { links: withOneGateway(links), dns, search: [] }
}

/** The root disk comes over the NIC that boots, unless a card shows it. */
function isRoot({ position }: NicRecord, { inic }: MachineRecord): boolean {
  return position === 0 && inic === 'nic'
}

function linkOf(nic: NicRecord, server: ServerRecord, machine: MachineRecord, { subnets }: Config): NicLink {
  const { mac, ip, position } = nic
  const link = { kind: 'nic', id: `nic${position}`, mac, isRoot: isRoot(nic, machine) } as const
  const rest = { ipv6: { kind: 'none' }, routes: [] } as const
  const subnet = subnetOfAddress(subnets, ip)
  if (server.addressing === 'dhcp' || ip === undefined || subnet === undefined)
    return { ...link, ...rest, ipv4: { kind: 'dhcp' } }
  const prefixLength = parseSubnet(subnet.cidr)?.prefixLength ?? 24
  const gateway = subnet.router === undefined ? {} : { gateway: subnet.router }
  return { ...link, ...rest, ipv4: { kind: 'static', address: ip, prefixLength, ...gateway } }
}

/** A default route is one: the first NIC's that has a router. */
function withOneGateway(links: readonly NicLink[]): NicLink[] {
  const first = links.find(({ ipv4 }) => ipv4.kind === 'static' && ipv4.gateway !== undefined)
  return links.map((link) => {
    if (link === first || link.ipv4.kind !== 'static') return link
    const { kind, address, prefixLength } = link.ipv4
    return { ...link, ipv4: { kind, address, prefixLength } }
  })
}

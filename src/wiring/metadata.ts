import { systemClock } from '../clock.js'
import type { Config } from '../config.js'
import { subnetOfAddress } from '../config-subnets.js'
import { neighbourMac } from '../control/doctor/kernel-network.js'
import { sealPassword } from '../control/sealed-password.js'
import { metadataRemedy } from '../control/doctor/network-findings.js'
import type { Stage } from '../events.js'
import type { CallerFacts } from '../firstboot/metadata/caller.js'
import { MetadataRoutes, type MetadataServer } from '../firstboot/metadata/metadata-routes.js'
import { metadataPages } from '../firstboot/metadata/pages.js'
import type { SeedInput } from '../firstboot/seed/seed-input.js'
import { HttpListener } from '../http/listener.js'
import { PatientListener } from '../http/patient-listener.js'
import type { LeaseStore } from '../netboot/dhcp/lease-store.js'
import type { MachineRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import type { Service } from '../service.js'
import type { BootLife } from './boot-http.js'
import { refusedAddress, type EntryContext } from './entry.js'
import { cachedLookup } from './lookup-cache.js'
import { PagesMemory } from './pages-memory.js'
import { seedInputOf, seedSources, type SeedSources } from './seed-input.js'

/** What the metadata service asks beside the registry. */
export interface MetadataContext {
  readonly life: Pick<BootLife, 'emit' | 'watch'>
  readonly leases: Pick<LeaseStore, 'find'>
}

const MAX_CONNECTIONS = 4096
const REQUEST_MS = 10_000
/** With these a boot begins. */
const BEGINNINGS: ReadonlySet<Stage> = new Set<Stage>(['powered-on', 'dhcp'])

/** The metadata service as the configuration wants it; none when it wants none. */
export function metadataServices(
  { config, log }: Pick<EntryContext, 'config' | 'log'>,
  registry: Registry,
  { life, leases }: MetadataContext,
): readonly Service[] {
  const { metadata, boot, subnets } = config
  if (metadata === undefined) return []
  const { address: host, port } = metadata
  const routes = new MetadataRoutes({
    factsOf: (address) => factsOf(address, config, registry, leases),
    serverOf: metadataServers(registry, seedSources(config, registry)),
    sealPassword: (serverId, sealed) => sealPassword({ registry, emit: life.emit }, serverId, sealed),
    hosts: new Set([host, boot?.address ?? host, ...subnets.map((subnet) => subnet.address)]),
    emit: life.emit,
    clock: systemClock,
  })
  life.watch((serverId, stage) => {
    if (BEGINNINGS.has(stage)) routes.bootBegins(serverId)
  })
  const bounds = { maxConnections: MAX_CONNECTIONS, requestTimeoutMs: REQUEST_MS }
  const listener = new HttpListener({
    options: { name: 'metadata', endpoint: { host, port }, ...bounds },
    routes: [routes.plugin],
    log,
  })
  const onRefused = (cause: Error): void => {
    const message = `${refusedAddress(cause) ?? cause.message}; until then servers get no metadata over HTTP. ${metadataRemedy(host)}`
    life.emit({ kind: 'metadata.no-address', message })
  }
  return [new PatientListener({ listener, clock: systemClock, onRefused })]
}

/** Finds the server that has a NIC, with its pages as the registry has it now. */
export function metadataServers(
  registry: Registry,
  sources: SeedSources,
): (mac: string) => MetadataServer | undefined {
  const memory = new PagesMemory()
  return cachedLookup((mac) => metadataServer(mac, registry, { sources, memory }), registry.revision)
}

async function factsOf(
  address: string,
  { subnets }: Config,
  { machines }: Registry,
  leases: Pick<LeaseStore, 'find'>,
): Promise<CallerFacts> {
  const subnet = subnetOfAddress(subnets, address)
  return {
    address,
    way: subnet === undefined ? 'none' : subnet.isRelayed ? 'router' : 'segment',
    neighbourMac: await neighbourMac(address),
    lease: leases.find(address),
    fixedMac: machines.findByIp(address)?.nics.find(({ ip }) => ip === address)?.mac,
  }
}

function metadataServer(
  mac: string,
  registry: Registry,
  { sources, memory }: { readonly sources: SeedSources; readonly memory: PagesMemory },
): MetadataServer | undefined {
  const machine = registry.machines.findByMac(mac)
  const server = registry.servers.findByMachine(machine?.id ?? '')
  if (machine === undefined || server === undefined) return undefined
  const input = seedInputOf(server, machine, sources)
  const records = { server, machine, image: registry.images.get(server.imageId) }
  return {
    serverId: server.id,
    serverName: server.name,
    instanceId: server.instanceId,
    macs: machine.nics.map((nic) => nic.mac),
    ownAddresses: [...staticAddresses(input), ...foreignAddresses(machine, sources.config)],
    pages: () => memory.get(records, () => metadataPages(input, server.sealedPassword)),
    readStage: hasOnlyReads(input, server.sealedPassword) ? 'ready' : 'seed-read',
  }
}

/** Windows phones nobody; its first boot ends with its password, unless it has no key to seal one with. */
function hasOnlyReads({ osType, keys }: SeedInput, sealedPassword: string | undefined): boolean {
  return osType === 'windows' && (sealedPassword !== undefined || keys.length === 0)
}

// A system with a static address renews no lease: what its firmware leased for the boot runs out.
function staticAddresses({ network: { links } }: SeedInput): string[] {
  return links.flatMap(({ ipv4 }) => (ipv4.kind === 'static' ? [ipv4.address] : []))
}

// Where another server gives the addresses there is no lease of ours to be had.
function foreignAddresses({ nics }: MachineRecord, { subnets }: Config): string[] {
  return nics.flatMap(({ ip }) => {
    const mode = subnetOfAddress(subnets, ip)?.mode
    return ip === undefined || mode === undefined || mode === 'authoritative' ? [] : [ip]
  })
}

import { systemClock } from '../clock.js'
import type { SubnetConfig } from '../config-subnets.js'
import { DaemonError } from '../errors.js'
import type { EmitEvent } from '../events.js'
import type { DecideBoot } from '../netboot/boot-client.js'
import type { BootDesk } from '../netboot/boot-desk.js'
import type { BootPolicy } from '../netboot/decide.js'
import { DhcpServer, type DhcpServerDeps } from '../netboot/dhcp/dhcp-server.js'
import { DhcpSubnets, ServedSubnet, type DhcpMachine } from '../netboot/dhcp/dhcp-subnets.js'
import type { LeaseStore } from '../netboot/dhcp/lease-store.js'
import { RELAY, relaySubOption } from '../netboot/dhcp/relay-info.js'
import type { DhcpWatch } from '../netboot/dhcp/sighting.js'
import type { Registry } from '../registry/registry.js'
import { switchPortName } from '../wire/switch-port.js'
import { firstSocket, type EntryContext } from './entry.js'
import { cachedLookup } from './lookup-cache.js'

type DhcpContext = EntryContext & { readonly leases: LeaseStore }

/** What the DHCP servers are handed beyond configuration, registry and leases. */
export interface DhcpWishes {
  readonly emit: EmitEvent
  readonly desk: BootDesk
  readonly policyAt: (address: string) => BootPolicy
  readonly watch?: DhcpWatch | undefined
}

/** The DHCP server of each segment; one that hears relays only when every subnet is behind one. */
export function dhcpServers(
  context: DhcpContext,
  registry: Registry,
  { emit, desk, policyAt, watch }: DhcpWishes,
): readonly DhcpServer[] {
  const { config, sockets } = context
  const { boot } = config
  const served = servedSubnets(context, registry, ({ address }) => {
    const policy = policyAt(address)
    return (client) => desk.answer(client, policy)
  })
  if (boot === undefined || served.size === 0) return []
  const subnets = new DhcpSubnets([...served.values()])
  const deps = { ...serverDeps(context, registry, stagesOf(desk, emit)), watch, subnets }
  const ports = { port: boot.dhcpPort, pxePort: boot.pxePort }
  const segments = config.subnets.filter(({ mode, isRelayed }) => mode !== 'off' && !isRelayed)
  if (segments.length === 0) {
    const options = { address: boot.address, ...ports, ...segmentSockets(sockets, undefined) }
    return [new DhcpServer(options, { ...deps, own: undefined })]
  }
  return segments.map((segment) => {
    const options = { address: segment.address, interface: segment.interface, ...ports }
    const named = segmentSockets(sockets, segment.interface)
    if (segments.length > 1 && named.fd === undefined) throw noSocket(segment)
    const inherited = segments.length > 1 ? named : { ...segmentSockets(sockets, undefined), ...named }
    return new DhcpServer({ ...options, ...inherited }, { ...deps, own: served.get(segment.cidr) })
  })
}

function serverDeps(
  { log, leases }: DhcpContext,
  registry: Registry,
  emit: EmitEvent,
): Omit<DhcpServerDeps, 'subnets' | 'own'> {
  const findByMac = cachedLookup((mac) => dhcpMachineOf(mac, undefined, registry), registry.revision)
  return {
    findMachine: (mac, relayInfo) =>
      relayInfo === undefined ? findByMac(mac) : dhcpMachineOf(mac, relayInfo, registry),
    leases,
    clock: systemClock,
    emit,
    log,
  }
}

/** `emit`, but what operating systems are given is no stage of a boot. */
function stagesOf(desk: BootDesk, emit: EmitEvent): EmitEvent {
  return ({ stage, ...event }) => {
    const isStage = stage !== undefined && desk.isBooting(event.mac)
    emit(isStage ? { ...event, stage } : event)
  }
}

function servedSubnets(
  { config: { subnets, unknownMachines }, leases }: DhcpContext,
  registry: Registry,
  bootAnswerOf: (subnet: SubnetConfig) => DecideBoot,
): Map<string, ServedSubnet> {
  const { machines, revision } = registry
  const reservedCount = cachedLookup(() => machines.countNicsWithoutIp(), revision)
  const deps = {
    leases,
    isFixedAddress: cachedLookup((ip) => machines.findByIp(ip) !== undefined, revision),
    reservedCount: () => reservedCount(''),
    unknownMachines,
  }
  const served = subnets.flatMap((subnet) => {
    const { mode } = subnet
    if (mode === 'off') return []
    return [new ServedSubnet({ ...subnet, mode }, bootAnswerOf(subnet), deps)]
  })
  return new Map(served.map((subnet) => [subnet.cidr, subnet]))
}

/** The inherited sockets of an interface are named `dhcp-NAME` and `pxe-NAME`; those of the only one, `dhcp` and `pxe`. */
function segmentSockets(
  sockets: EntryContext['sockets'],
  name: string | undefined,
): { fd?: number; pxeFd?: number } {
  const tail = name === undefined ? '' : `-${name}`
  const { fd: pxeFd } = firstSocket(sockets, `pxe${tail}`)
  return { ...firstSocket(sockets, `dhcp${tail}`), ...(pxeFd !== undefined && { pxeFd }) }
}

function noSocket({ cidr, interface: name = '' }: SubnetConfig): DaemonError {
  const message =
    `subnet ${cidr}: expected an inherited socket named dhcp-${name}, got none ` +
    `(two segments are told apart by sockets bound to one interface each: see ingot-dhcp@.socket)`
  return new DaemonError('CONFIG_INVALID', message)
}

// The MAC decides; a NIC nobody enrolled is known by the switch port it is plugged into.
function dhcpMachineOf(
  mac: string,
  relayInfo: Uint8Array | undefined,
  registry: Registry,
): DhcpMachine | undefined {
  const known = registry.machines.findByMac(mac)
  const ports = known === undefined && relayInfo !== undefined ? switchPorts(relayInfo) : []
  for (const port of [undefined, ...ports]) {
    const machine = port === undefined ? known : registry.machines.findBySwitchPort(port)
    const nic = machine?.nics.find((one) => (port === undefined ? one.mac === mac : one.switchPort === port))
    if (machine === undefined || nic === undefined) continue
    const hostName = registry.servers.findByMachine(machine.id)?.name
    return { machineId: machine.id, name: machine.name, ip: nic.ip, hostName, mac: nic.mac }
  }
  return undefined
}

// A port may be enrolled by its switch and circuit, or by one of them.
function switchPorts(relayInfo: Uint8Array | undefined): string[] {
  const circuit = relaySubOption(relayInfo, RELAY.circuitId)
  const remote = relaySubOption(relayInfo, RELAY.remoteId)
  const names = [
    switchPortName(circuit, remote),
    switchPortName(circuit, undefined),
    switchPortName(undefined, remote),
  ]
  return names.filter((name) => name !== undefined)
}

import type { Config } from '../config.js'
import { subnetOfAddress } from '../config-subnets.js'
import type { NetworkModel } from '../firstboot/network/network.js'
import { renderSeedDisk } from '../firstboot/seed/seed-disk.js'
import type { SeedInput } from '../firstboot/seed/seed-input.js'
import { bootUrl } from '../netboot/decide.js'
import type { MachineRecord, ServerRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { parseSubnet } from '../wire/ipv4.js'

/** What a server's seed says, from its records and the configuration: part of the wiring, for both entry files. */
export function seedInputOf(server: ServerRecord, machine: MachineRecord, config: Config): SeedInput {
  const { target, boot } = config
  const address =
    subnetOfAddress(config.subnets, machine.nics[0]?.ip)?.address ?? boot?.address ?? target.address
  const policy = { address, httpPort: boot?.httpPort ?? 80 }
  return {
    serverId: server.id,
    instanceId: server.instanceId,
    hostname: server.name,
    keys: server.keys,
    seedSecret: server.seedSecret,
    ...(server.adminPasswordHash !== undefined && { adminPasswordHash: server.adminPasswordHash }),
    ...(server.userData && { userData: server.userData }),
    network: networkOf(server, machine, config),
    phoneHomeUrl: `${bootUrl(policy, server.instanceId)}/ready`,
  }
}

/** The whole seed disk of a server as it should be now. @throws Error when it has no machine */
export function seedDiskOf(server: ServerRecord, registry: Registry, config: Config): Uint8Array {
  const machine = registry.machines.get(server.machineId)
  if (machine === undefined) throw new Error(`server ${server.name} has no machine`)
  return renderSeedDisk(seedInputOf(server, machine, config), server.createdMs)
}

function networkOf(server: ServerRecord, machine: MachineRecord, { subnets }: Config): NetworkModel {
  const links = machine.nics.map(({ mac, ip, position }) => {
    const subnet = subnetOfAddress(subnets, ip)
    const isStatic = server.addressing === 'static' && ip !== undefined && subnet !== undefined
    return {
      kind: 'nic' as const,
      id: `nic${position}`,
      mac,
      isRoot: position === 0,
      ipv4: isStatic
        ? {
            kind: 'static' as const,
            address: ip,
            prefixLength: parseSubnet(subnet.cidr)?.prefixLength ?? 24,
            ...(subnet.router !== undefined && { gateway: subnet.router }),
          }
        : { kind: 'dhcp' as const },
      ipv6: { kind: 'none' as const },
      routes: [],
    }
  })
  return { links, dns: subnetOfAddress(subnets, machine.nics[0]?.ip)?.dns ?? [], search: [] }
}

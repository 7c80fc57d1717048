import type { Config } from '../config.js'
import type { BootTarget } from '../netboot/decide.js'
import type { MachineRecord, ServerRecord } from '../registry/records.js'
import { targetCredentials } from '../registry/target-credentials.js'
import type { Registry } from '../registry/registry.js'
import { LUN, shownLun } from '../rootdisk/target/driver.js'
import { ibftGateway } from './ibft-gateway.js'
import { cachedLookup } from './lookup-cache.js'

/** What a server boots from. */
export function bootTargetOf(server: ServerRecord, registry: Registry, config: Config): BootTarget {
  const { target } = config
  const machine = registry.machines.get(server.machineId)
  const osType = registry.images.get(server.imageId)?.osType
  const { user: targetUser, secret: targetSecret } = proofOf(server, target)
  return {
    serverId: server.id,
    serverName: server.name,
    ...machinePart(machine),
    intent: server.rescue === undefined ? server.bootIntent : 'rescue',
    bootToken: server.bootToken,
    iqn: server.iqn,
    initiatorIqn: server.initiatorIqn,
    chapUser: server.chapUser,
    chapSecret: server.chapSecret,
    targetUser,
    targetSecret,
    portalAddress: target.address,
    portalPort: target.port,
    systemLun: shownLun(target.driver, LUN.system),
    ibftGateway: ibftGateway({ server, nic: machine?.nics[0], osType }, config),
  }
}

function machinePart(
  machine: MachineRecord | undefined,
): Pick<BootTarget, 'machineName' | 'firmware' | 'bootMac' | 'loader'> {
  return {
    machineName: machine?.name ?? '',
    firmware: machine?.firmware ?? 'bios',
    bootMac: machine?.nics[0]?.mac ?? '',
    loader: machine?.loader,
  }
}

// tgtd proves itself to nobody
function proofOf(server: ServerRecord, { driver }: Config['target']): { user: string; secret: string } {
  return driver === 'tgt' ? { user: '', secret: '' } : targetCredentials(server)
}

/** Finds what `netboot` has to know of the server behind a request, each time as the registry has it now. */
export class BootTargets {
  readonly #registry: Registry
  readonly #config: Config
  /** Asked with every packet of DHCP, mostly in vain. */
  readonly #findByMac: (mac: string) => MachineRecord | undefined

  constructor(registry: Registry, config: Config) {
    this.#registry = registry
    this.#findByMac = cachedLookup((mac) => registry.machines.findByMac(mac), registry.revision)
    this.#config = config
  }

  /** By a NIC of its machine. */
  byMac(mac: string): BootTarget | undefined {
    return this.#ofMachine(this.#findByMac(mac))
  }

  /** By a NIC of its machine, when the machine has the address too. */
  byNic(mac: string, ip: string): BootTarget | undefined {
    const machine = this.#registry.machines.findByMac(mac)
    return machine?.nics.some((nic) => nic.ip === ip) === true ? this.#ofMachine(machine) : undefined
  }

  /** By the token of its boot in progress. */
  byToken(token: string): BootTarget | undefined {
    const server = this.#registry.servers.findByToken(token)
    return server === undefined ? undefined : bootTargetOf(server, this.#registry, this.#config)
  }

  /** By the id of its deploy. */
  byInstance(instanceId: string): Pick<BootTarget, 'serverId' | 'serverName'> | undefined {
    const server = this.#registry.servers.findByInstance(instanceId)
    return server === undefined ? undefined : { serverId: server.id, serverName: server.name }
  }

  #ofMachine(machine: MachineRecord | undefined): BootTarget | undefined {
    const server = machine === undefined ? undefined : this.#registry.servers.findByMachine(machine.id)
    return server === undefined ? undefined : bootTargetOf(server, this.#registry, this.#config)
  }
}

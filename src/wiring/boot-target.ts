import type { Config } from '../config.js'
import type { BootTarget } from '../netboot/decide.js'
import type { ServerRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { LUN, shownLun } from '../rootdisk/target/driver.js'

/** What a server boots from. */
export function bootTargetOf(server: ServerRecord, registry: Registry, { target }: Config): BootTarget {
  const machine = registry.machines.get(server.machineId)
  return {
    serverId: server.id,
    serverName: server.name,
    intent: server.bootIntent,
    bootToken: server.bootToken,
    firmware: machine?.firmware ?? 'bios',
    loader: machine?.loader,
    iqn: server.iqn,
    initiatorIqn: server.initiatorIqn,
    chapUser: server.chapUser,
    chapSecret: server.chapSecret,
    portalAddress: target.address,
    portalPort: target.port,
    systemLun: shownLun(target.driver, LUN.system),
  }
}

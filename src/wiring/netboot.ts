import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../clock.js'
import type { Config } from '../config.js'
import { firstSocket, type EntryContext } from './entry.js'
import type { EmitEvent } from '../events.js'
import { HttpListener } from '../http/listener.js'
import { BootDesk } from '../netboot/boot-desk.js'
import { BootFiles } from '../netboot/boot-files.js'
import { bootRoutes } from '../netboot/boot-routes.js'
import { type BootPolicy, type BootTarget } from '../netboot/decide.js'
import { DhcpServer } from '../netboot/dhcp/dhcp-server.js'
import { loadScriptTemplates } from '../netboot/ipxe/script.js'
import { loaderCheck } from '../netboot/loader-check.js'
import { parseLoaderTable } from '../netboot/loader-table.js'
import { TftpServer } from '../netboot/tftp/tftp-server.js'
import type { ServerRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { LUN, shownLun } from '../rootdisk/target/driver.js'
import type { Service } from '../service.js'

// From dist/src/wiring and from src/wiring.
const BOOT_DIRECTORIES = ['../../../boot', '../../boot'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
)

/** DHCP, TFTP and boot HTTP as the configuration wants them; none when machines are booted by somebody else. */
export async function netbootServices(
  context: EntryContext,
  registry: Registry,
  emit: EmitEvent,
): Promise<readonly Service[]> {
  const { config, log, sockets } = context
  const { boot } = config
  if (boot === undefined) return []
  const { loaders, templates } = await bootData()
  const policy: BootPolicy = { address: boot.address, httpPort: boot.httpPort, loaders }
  const files = new BootFiles({ directories: boot.loaderDirs })
  const findByToken = (token: string): BootTarget | undefined => {
    const server = registry.servers.findByToken(token)
    return server === undefined ? undefined : bootTargetOf(server, registry, config)
  }
  const endpoint = firstSocket(sockets, 'boot-http').fd
  const http = new HttpListener({
    options: {
      name: 'boot',
      endpoint: endpoint === undefined ? { host: boot.address, port: boot.httpPort } : { fd: endpoint },
    },
    routes: [bootRoutes({ findByToken, policy, templates, files, emit, clock: systemClock })],
    log,
  })
  const tftp = new TftpServer({
    options: { address: boot.address, port: boot.tftpPort, ...firstSocket(sockets, 'tftp') },
    files,
    emit,
    clock: systemClock,
    log,
  })
  const dhcp = dhcpServer(context, registry, emit, policy)
  const loaderFiles = loaderCheck(loaders, files, emit)
  return [loaderFiles, http, ...(boot.isTftpEnabled ? [tftp] : []), ...(dhcp === undefined ? [] : [dhcp])]
}

function dhcpServer(
  { config, log, sockets }: EntryContext,
  registry: Registry,
  emit: EmitEvent,
  policy: BootPolicy,
): Service | undefined {
  const { subnet, boot } = config
  if (subnet === undefined || boot === undefined) return undefined
  const findTarget = (mac: string): BootTarget | undefined => bootTargetByMac(mac, registry, config)
  const desk = new BootDesk({ findTarget, emit, clock: systemClock })
  return new DhcpServer(
    {
      serverAddress: boot.address,
      port: boot.dhcpPort,
      subnet: subnet.cidr,
      router: subnet.router,
      dnsServers: subnet.dns,
      pool: subnet.pool,
      leaseSeconds: subnet.leaseSeconds,
      unknownMachines: config.unknownMachines,
      authoritative: subnet.isAuthoritative,
      ...firstSocket(sockets, 'dhcp'),
    },
    {
      findMachine: (mac) => dhcpMachineOf(mac, registry),
      isFixedAddress: (ip) => registry.machines.findByIp(ip) !== undefined,
      leases: registry.leases,
      bootAnswer: (client) => desk.answer(client, policy),
      clock: systemClock,
      emit: ({ stage, ...event }) => {
        const isStage = stage !== undefined && desk.isBooting(event.mac)
        emit(isStage ? { ...event, stage } : event)
      },
      log,
    },
  )
}

async function bootData(): Promise<{
  loaders: ReturnType<typeof parseLoaderTable>
  templates: Awaited<ReturnType<typeof loadScriptTemplates>>
}> {
  let cause: unknown
  for (const directory of BOOT_DIRECTORIES) {
    try {
      const loaders = parseLoaderTable(await readFile(`${directory}/loaders.json`, 'utf8'))
      return { loaders, templates: await loadScriptTemplates(directory) }
    } catch (err) {
      cause = err
    }
  }
  throw new Error('the boot templates are not beside the program', { cause })
}

function dhcpMachineOf(
  mac: string,
  registry: Registry,
): ReturnType<ConstructorParameters<typeof DhcpServer>[1]['findMachine']> {
  const machine = registry.machines.findByMac(mac)
  if (machine === undefined) return undefined
  return {
    machineId: machine.id,
    name: machine.name,
    ip: machine.nics.find((nic) => nic.mac === mac)?.ip,
    hostName: registry.servers.findByMachine(machine.id)?.name,
  }
}

function bootTargetByMac(mac: string, registry: Registry, config: Config): BootTarget | undefined {
  const machine = registry.machines.findByMac(mac)
  const server = machine === undefined ? undefined : registry.servers.findByMachine(machine.id)
  return server === undefined ? undefined : bootTargetOf(server, registry, config)
}

function bootTargetOf(server: ServerRecord, registry: Registry, { target }: Config): BootTarget {
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

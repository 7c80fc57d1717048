import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'smol-toml'
import type { Registry } from '../../../src/registry/registry.js'
import { switchPortName } from '../../../src/wire/switch-port.js'
import type { Interface } from '../../fakes/pretend-network.js'
import { CLONE, fill, MACHINE, SERVER, VOLUME } from '../../registry/sample-records.js'
import type { ClientFile } from './client-file.js'
import { bytesOf } from './matching.js'

const ADDRESS = '198.18.0.1'
const HTTP_PORT = 8080
const FIRST_FD = 1000
const SUBNET = { cidr: '198.18.0.0/24', router: '198.18.0.254', dns: ['198.18.0.53'] }
const POOL = { pool_first: '198.18.0.200', pool_last: '198.18.0.209' }

/** A machine beside the client's; its answers tell that all that was sent before it has been looked at. */
export const SENTINEL = { mac: '02:00:5e:00:00:fe', ip: '198.18.0.250', xid: 0x5e5e5e5e }

type Table = Readonly<Record<string, unknown>>

/** The host that a client finds: the daemon's configuration, its interfaces and the sockets that it is handed. */
export interface StandPlan {
  /** The daemon's address on the first segment. */
  readonly address: string
  readonly interfaces: readonly Interface[]
  readonly inherited: ReadonlyMap<number, Interface & { readonly port: number }>
  /** Descriptors by name, as systemd gives them. */
  readonly sockets: ReadonlyMap<string, readonly number[]>
  /** TOML. */
  readonly config: string
  /** How the first subnet is served. */
  readonly mode: string
  readonly isRelayed: boolean
}

/** @param directory for state, with the boot files in `loaders` */
export function planStand(client: ClientFile, directory: string): StandPlan {
  const own: Table = client.config ?? {}
  const boot = { address: ADDRESS, http_port: HTTP_PORT, ...(own['boot'] as Table | undefined) }
  const subnets = own['subnet'] ?? {}
  const [first = {}, ...others] = (Array.isArray(subnets) ? subnets : [subnets]) as Table[]
  const { mode = 'authoritative', relayed = false } = first as { mode?: string; relayed?: boolean }
  const subnet = { ...SUBNET, ...(mode === 'authoritative' && POOL), ...first }
  const config = {
    ...own,
    ...{ state_dir: directory, run_dir: directory, log_level: 'error' },
    boot: { ...boot, loader_dirs: [join(directory, 'loaders')] },
    subnet: [subnet, ...others],
  }
  const segments = Object.entries(client.segments ?? {})
  const interfaces = segments.map(([segment, address]) => ({ segment, address }))
  return {
    address: boot.address,
    interfaces: interfaces.length > 0 ? interfaces : [{ segment: 'first', address: boot.address }],
    inherited: new Map(interfaces.flatMap(descriptors)),
    sockets: new Map(interfaces.flatMap(({ segment }, index) => names(segment, index))),
    config: stringify(config),
    mode,
    isRelayed: relayed,
  }
}

function descriptors(one: Interface, index: number): [number, Interface & { port: number }][] {
  const fd = FIRST_FD + 2 * index
  return [
    [fd, { ...one, port: 67 }],
    [fd + 1, { ...one, port: 4011 }],
  ]
}

function names(segment: string, index: number): [string, number[]][] {
  const fd = FIRST_FD + 2 * index
  return [
    [`dhcp-${segment}`, [fd]],
    [`pxe-${segment}`, [fd + 1]],
  ]
}

/** The loaders of the table, and what the signed path and a Raspberry Pi need. */
export function loaderFiles(): string[] {
  const rows = JSON.parse(readFileSync('boot/loaders.json', 'utf8')) as { file?: string }[]
  const others = ['shimx64.efi', 'grubx64.efi', 'ipxe.efi', 'bootcode.bin']
  return [...new Set([...rows.flatMap(({ file }) => file ?? []), ...others])]
}

/** The sample machine and its server as the sentinel, and the client's own. */
export function enrol(registry: Registry, { machine }: ClientFile): void {
  fill(registry)
  registry.servers.delete(SERVER.id)
  registry.machines.delete(MACHINE.id)
  const { mac, ip } = SENTINEL
  const sentinel = {
    mac,
    ip,
    machineId: 'sentinel',
    position: 0,
    switchPort: undefined,
    role: 'tenant' as const,
  }
  registry.machines.insert({ ...MACHINE, id: 'sentinel', name: 'sentinel', nics: [sentinel] })
  registry.servers.insert({ ...SERVER, machineId: 'sentinel', bootToken: 'sentinel-token' })
  if (machine === undefined) return
  const { nics, firmware = 'uefi', boots_from = 'server', loader } = machine
  registry.machines.insert({
    ...MACHINE,
    id: 'zoo',
    name: 'zoo',
    firmware,
    nics: nics.map(({ mac: nicMac, ip: nicIp, circuit, remote }, position) => {
      const switchPort = switchPortName(bytesOf(circuit ?? ''), bytesOf(remote ?? ''))
      return { mac: nicMac, ip: nicIp, machineId: 'zoo', position, switchPort, role: 'tenant' as const }
    }),
    ...(loader !== undefined && { loader }),
  })
  if (boots_from === 'nothing') return
  registry.layers.insert({ ...CLONE, id: 'zoo' })
  registry.volumes.insert({ ...VOLUME, id: 'zoo', name: 'zoo', layerId: 'zoo', naa: '6e1be11e000000ff' })
  registry.servers.insert({
    ...SERVER,
    ...{ id: 'zoo', name: 'zoo', machineId: 'zoo', volumeId: 'zoo', bootIntent: boots_from },
    ...{ instanceId: 'zoo', chapUser: 'zoo' },
    ...{ iqn: 'iqn.2026-11.test.ingot:zoo', initiatorIqn: 'iqn.2026-11.test.ingot:host:zoo' },
    bootToken: 'zoo-token',
  })
}

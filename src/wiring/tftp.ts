import type { Config } from '../config.js'
import type { BootPolicy, BootTarget } from '../netboot/decide.js'
import type { LeaseStore } from '../netboot/dhcp/lease-store.js'
import { MachineFiles } from '../netboot/machine-files.js'
import type { TftpServerDeps, TftpServerOptions } from '../netboot/tftp/tftp-server.js'
import type { MachineRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import { bootTargetOf } from './boot-target.js'

/** IPv4, UDP and TFTP headers before the data of a block, bytes. */
const HEADER_BYTES = 20 + 8 + 4

/** Where a TFTP server listens; its blocks fit the smallest MTU that the subnets told of `address` have. */
export function tftpOptions(
  { boot, subnets }: Config,
  { address, fd }: { readonly address: string; readonly fd?: number },
): TftpServerOptions {
  const told = new Set([boot?.address, ...subnets.map((subnet) => subnet.address)])
  const mtus = subnets.flatMap((subnet) => (subnet.address === address ? (subnet.mtu ?? []) : []))
  return {
    address,
    ...(boot !== undefined && { port: boot.tftpPort }),
    ...(fd !== undefined && { fd, isOneOfMany: told.size > 1 }),
    ...(mtus.length > 0 && { limits: { blksize: Math.min(...mtus) - HEADER_BYTES } }),
  }
}

/** Files that are made for whoever asks. */
export type FileSource = Pick<TftpServerDeps, 'virtualFile' | 'isOptional'>

/** Each name from the first source that makes it. */
export function firstOf(...sources: readonly FileSource[]): Required<FileSource> {
  return {
    virtualFile: async (name, ip) => {
      for (const source of sources) {
        const file = await source.virtualFile?.(name, ip)
        if (file !== undefined) return file
      }
      return undefined
    },
    isOptional: (name) => sources.some((source) => source.isOptional?.(name)),
  }
}

/** What files for machines are made from. */
export interface MachineFilesContext {
  readonly registry: Registry
  readonly config: Config
  readonly leases: Pick<LeaseStore, 'find'>
}

/** The files that TFTP makes for machines of the registry; who asks is told by a fixed or leased address. */
export function machineFiles(
  { registry, config, leases }: MachineFilesContext,
  policy: BootPolicy,
): Required<FileSource> {
  const { machines, servers } = registry
  const machineAt = (ip: string): MachineRecord | undefined =>
    machines.findByIp(ip) ?? machines.findByMac(leases.find(ip)?.mac ?? '')
  const findTarget = (ip: string, mac: string | undefined): BootTarget | undefined => {
    const asking = machineAt(ip)
    const named = mac === undefined ? asking : machines.findByMac(mac)
    const isAnother = asking !== undefined && named?.id !== asking.id
    const server = named === undefined || isAnother ? undefined : servers.findByMachine(named.id)
    return server && bootTargetOf(server, registry, config)
  }
  const files = new MachineFiles({ findTarget, policy })
  return {
    virtualFile: (name, ip) => Promise.resolve(files.virtualFile(name, ip)),
    isOptional: (name) => files.isOptional(name),
  }
}

import type { ServerRecord } from '../../registry/records.js'
import type { Registry } from '../../registry/registry.js'
import type { LunSpec } from '../export.js'
import type { NbdDirectory, NbdExport } from '../nbd/export-directory.js'
import type { Exports } from './exports.js'

/**
 * The LUNs of every server as NBD exports: the system disk by the server's name, the seed disk by `NAME/seed`,
 * and each by its serial number, which is a volume's id. An iNIC card, which knows in what machine it is and not for
 * whom, finds the disks of the server on its machine as `machine/NAME` and `machine/NAME/seed`.
 */
export class NbdExports implements NbdDirectory {
  readonly #exports: Exports
  readonly #registry: Pick<Registry, 'servers' | 'machines'>

  constructor(exports: Exports, registry: Pick<Registry, 'servers' | 'machines'>) {
    this.#exports = exports
    this.#registry = registry
  }

  find(name: string): NbdExport | undefined {
    const all = this.#all()
    const wanted = this.#nameOnMachine(name) ?? name
    return all.find((each) => each.name === wanted) ?? all.find(({ lun }) => lun.serial === name)
  }

  list(): readonly NbdExport[] {
    return this.#all()
  }

  /** The target whose disk an export is, by the export's own name. */
  iqnOf(exportName: string): string | undefined {
    return this.#all().find(({ name }) => name === exportName)?.iqn
  }

  /** The target whose disk an export is or was, by the export's id: a server has other disks and names in its life. */
  iqnOfId(exportId: string): string | undefined {
    return this.#registry.servers.get(exportId.split(' ', 1)[0] ?? '')?.iqn
  }

  #nameOnMachine(name: string): string | undefined {
    const [, machineName, rest = ''] = /^machine\/([^/]+)(\/.*)?$/.exec(name) ?? []
    if (machineName === undefined) return undefined
    const { machines, servers } = this.#registry
    const machine = machines.find(machineName)
    const server = machine && servers.findByMachine(machine.id)
    return server && server.name + rest
  }

  #all(): LunExport[] {
    return this.#registry.servers.list().flatMap((server) => {
      return (this.#exports.find(server.iqn)?.luns ?? []).map((lun) => lunExport(server, lun))
    })
  }
}

interface LunExport extends NbdExport {
  readonly iqn: string
  readonly lun: LunSpec
}

const NAMES: readonly [suffix: string, description: string][] = [
  ['', 'system disk'],
  ['/seed', 'seed disk'],
]

function lunExport(server: Pick<ServerRecord, 'id' | 'name' | 'iqn'>, lun: LunSpec): LunExport {
  const [suffix, what] = NAMES[lun.lun] ?? [`/${lun.serial}`, 'data volume']
  return {
    lun,
    id: `${server.id} ${lun.serial}`,
    iqn: server.iqn,
    name: server.name + suffix,
    description: `${what} of ${server.name}, ${lun.serial}`,
    open: async () => {
      const device = await lun.open()
      return { device, release: () => device.close() }
    },
  }
}

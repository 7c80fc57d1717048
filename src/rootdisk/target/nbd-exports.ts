import type { Registry } from '../../registry/registry.js'
import type { LunSpec } from '../export.js'
import type { NbdDirectory, NbdExport } from '../nbd/export-directory.js'
import type { Exports } from './exports.js'

/**
 * The LUNs of every server as NBD exports: the system disk by the server's name, the seed disk by `NAME/seed`,
 * and each by its serial number, which is a volume's id.
 */
export class NbdExports implements NbdDirectory {
  readonly #exports: Exports
  readonly #servers: Registry['servers']

  constructor(exports: Exports, servers: Registry['servers']) {
    this.#exports = exports
    this.#servers = servers
  }

  find(name: string): NbdExport | undefined {
    const all = this.#all()
    return all.find((each) => each.name === name) ?? all.find(({ lun }) => lun.serial === name)
  }

  list(): readonly NbdExport[] {
    return this.#all()
  }

  #all(): LunExport[] {
    return this.#servers.list().flatMap(({ name, iqn }) => {
      return (this.#exports.find(iqn)?.luns ?? []).map((lun) => lunExport(name, lun))
    })
  }
}

interface LunExport extends NbdExport {
  readonly lun: LunSpec
}

const NAMES: readonly [suffix: string, description: string][] = [
  ['', 'system disk'],
  ['/seed', 'seed disk'],
]

function lunExport(server: string, lun: LunSpec): LunExport {
  const [suffix, what] = NAMES[lun.lun] ?? [`/${lun.serial}`, 'data volume']
  return {
    lun,
    name: server + suffix,
    description: `${what} of ${server}, ${lun.serial}`,
    open: async () => {
      const device = await lun.open()
      return { device, release: () => device.close() }
    },
  }
}

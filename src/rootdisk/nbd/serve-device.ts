import type { BlockDevice } from '../block-device.js'
import type { NbdExport } from './export-directory.js'
import { NbdServer } from './nbd-server.js'
import type { NbdServerDeps } from './server-core.js'

/** One device on a Unix socket, mode 0600, as the export `name` and as the default export ''. */
export interface ServedDevice {
  readonly device: BlockDevice
  readonly socketPath: string
  readonly name: string
  readonly description?: string
}

/**
 * A service that serves one device over NBD. Clients come and go; the device stays the caller's, who closes it
 * after `stop`.
 */
export function serveDevice(served: ServedDevice, deps: Omit<NbdServerDeps, 'exports'>): NbdServer {
  const { device, socketPath, name, description = '' } = served
  const share = { device, release: () => Promise.resolve() }
  const only = { id: name, name, description, open: () => Promise.resolve(share) }
  const exports = {
    find: (wanted: string): NbdExport | undefined => (wanted === name || wanted === '' ? only : undefined),
    list: () => [only],
  }
  return new NbdServer({ socketPath }, { ...deps, exports })
}

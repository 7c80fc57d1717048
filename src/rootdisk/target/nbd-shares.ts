import { DaemonError, systemCode } from '../../errors.js'
import type { Service } from '../../service.js'
import type { BlockDevice } from '../block-device.js'
import { serveDevice } from '../nbd/serve-device.js'
import type { NbdServerDeps } from '../nbd/server-core.js'
import type { OpenVolumes } from './open-volumes.js'
import { ReadOnlyDisk } from './read-only-disk.js'

/** A volume to serve over NBD, until it is stopped or this process ends. */
export interface NbdShare {
  readonly volumeId: string
  /** Absolute path of the Unix socket, mode 0600. */
  readonly socketPath: string
  /** For one who is alone with the volume. */
  readonly isWritable: boolean
}

/** What shares need. */
export interface NbdSharesDeps extends Omit<NbdServerDeps, 'exports'> {
  readonly volumes: OpenVolumes
  /** Whether there is such a volume. */
  readonly isKnown: (volumeId: string) => boolean
}

interface Running {
  readonly server: Service
  readonly device: BlockDevice
}

/** Volumes served one by one on sockets of their own: for `qemu-img`, `nbdcopy` and the like. */
export class NbdShares implements Service {
  readonly name = 'nbd-shares'
  readonly #deps: NbdSharesDeps
  readonly #running = new Map<string, Promise<Running>>()

  constructor(deps: NbdSharesDeps) {
    this.#deps = deps
  }

  start(): Promise<void> {
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((volumeId) => this.end(volumeId)))
  }

  /** Ends the shares of volumes that are not there any more. */
  async refresh(): Promise<void> {
    const gone = [...this.#running.keys()].filter((volumeId) => !this.#deps.isKnown(volumeId))
    await Promise.all(gone.map((volumeId) => this.end(volumeId)))
  }

  /** Begins to serve. @throws DaemonError WRONG_STATE, INVALID_INPUT, STATE_LOCKED, DISK_FAILED */
  async begin(share: NbdShare): Promise<void> {
    const { volumeId, isWritable } = share
    if (this.#running.has(volumeId)) throw new DaemonError('WRONG_STATE', 'the volume is exported already')
    if (isWritable && this.#deps.volumes.openIds.includes(volumeId))
      throw new DaemonError('WRONG_STATE', 'the volume is in use: export it read-only')
    const running = this.#serve(share)
    this.#running.set(volumeId, running)
    await running.catch((err: unknown) => {
      this.#running.delete(volumeId)
      throw err
    })
  }

  /** Ends a share: clients are cut off. Whether there was one. */
  async end(volumeId: string): Promise<boolean> {
    const running = this.#running.get(volumeId)
    if (running === undefined) return false
    this.#running.delete(volumeId)
    const { server, device } = await running
    await server.stop()
    await device.close()
    return true
  }

  async #serve({ volumeId, socketPath, isWritable }: NbdShare): Promise<Running> {
    const volume = await this.#deps.volumes.acquire(volumeId).catch(diskFailed)
    const device = isWritable ? volume : new ReadOnlyDisk(volume)
    const server = serveDevice({ device, socketPath, name: volumeId }, this.#deps)
    const onFatal = ({ message }: Error): void =>
      this.#deps.emit({ kind: 'volume.export-failed', message: `export ${socketPath}: ${message}` })
    try {
      await server.start(onFatal)
      return { server, device }
    } catch (err) {
      await device.close()
      throw err instanceof DaemonError ? err : socketRefusal(socketPath, err)
    }
  }
}

function diskFailed(err: unknown): never {
  const message = err instanceof Error ? err.message : String(err)
  throw new DaemonError('DISK_FAILED', message, { cause: err })
}

function socketRefusal(path: string, err: unknown): DaemonError {
  const reason = systemCode(err) ?? String(err)
  return new DaemonError('INVALID_INPUT', `socket: ingot-targetd cannot make ${path}: ${reason}`, {
    cause: err,
  })
}

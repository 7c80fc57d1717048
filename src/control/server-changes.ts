import { DaemonError } from '../errors.js'
import type { DaemonEvent } from '../events.js'
import type { ImageRecord, MachineRecord, ServerKey, ServerRecord } from '../registry/records.js'
import type { Registry } from '../registry/registry.js'
import type { ServerChange } from '../registry/servers.js'
import { hashForImage } from './admin-password.js'
import { checkName } from './names.js'
import { networkText } from './new-server.js'
import { tellUserDataWarnings } from './user-data-warnings.js'
import type { WishState } from './wish-state.js'

/** What may be changed of a server; null takes something away, what is left out stays. */
export interface ServerWish {
  readonly name?: string | undefined
  /** All the keys from now on. */
  readonly keys?: readonly ServerKey[] | undefined
  /** A network document as the operator wrote it; null: what follows from the machine's NICs. */
  readonly network?: unknown
  readonly userData?: Buffer | null | undefined
  readonly adminPassword?: string | null | undefined
}

/** What changes need of the other rooms. */
export interface ServerChangeDeps {
  readonly registry: Registry
  readonly wishes: Pick<WishState, 'applyWhenUp'>
  /** Refuses what the seed could not carry. @throws DaemonError INVALID_INPUT */
  readonly checkSeed: (server: ServerRecord, machine: MachineRecord) => void
  readonly emit: (event: DaemonEvent) => void
}

/** Changes what a server is told: its seed follows at once, under a running server too. */
export class ServerChanges {
  readonly #deps: ServerChangeDeps

  constructor(deps: ServerChangeDeps) {
    this.#deps = deps
  }

  /**
   * Changes what is named.
   * @throws DaemonError NOT_FOUND, INVALID_INPUT, NAME_TAKEN, UNSUPPORTED; nothing is changed then
   */
  async change(idOrName: string, wish: ServerWish): Promise<ServerRecord> {
    const { registry, checkSeed, wishes, emit } = this.#deps
    const image = this.#imageOf(this.#get(idOrName))
    const hash = await hashForImage(wish.adminPassword ?? undefined, image)
    const before = this.#get(idOrName)
    const wanted = changeOf(wish, hash)
    const machine = registry.machines.get(before.machineId)
    if (machine !== undefined) checkSeed({ ...before, ...wanted }, machine)
    registry.servers.change(before.id, wanted)
    const after = this.#get(before.id)
    const message = `server ${after.name} has changed: ${Object.keys(wanted).join(', ')}`
    emit({ kind: 'server.changed', message, serverId: after.id })
    if (wanted.userData !== undefined) tellUserDataWarnings(emit, after, image.osType)
    await wishes.applyWhenUp()
    return after
  }

  #get(idOrName: string): ServerRecord {
    const server = this.#deps.registry.servers.find(idOrName)
    if (server === undefined) throw new DaemonError('NOT_FOUND', `no server ${JSON.stringify(idOrName)}`)
    return server
  }

  #imageOf({ imageId }: ServerRecord): Pick<ImageRecord, 'name' | 'osType'> {
    return this.#deps.registry.images.get(imageId) ?? { name: imageId, osType: 'other' }
  }
}

function changeOf(wish: ServerWish, adminPasswordHash: string | undefined): ServerChange {
  if (wish.name !== undefined) checkName('name', wish.name)
  return {
    ...(wish.name !== undefined && { name: wish.name }),
    ...(wish.keys !== undefined && { keys: wish.keys }),
    ...(wish.network !== undefined && { network: networkText(wish.network) }),
    ...(wish.userData !== undefined && { userData: wish.userData ?? undefined }),
    ...(wish.adminPassword !== undefined && { adminPasswordHash }),
  }
}

import { setImmediate } from 'node:timers/promises'
import type { ServerRecord } from '../../registry/records.js'
import type { BlockDevice } from '../block-device.js'
import { BufferDisk, type DiskContent } from './buffer-disk.js'

/** How seed disks are made; from the entry file, since the phases are strangers. */
export interface SeedSource {
  /** The whole seed disk of a server as it should be now. */
  readonly renderSeed: (server: ServerRecord) => Uint8Array
  /** The same text while the rendered bytes would be the same; much cheaper to have than they. */
  readonly seedRevision: (server: ServerRecord) => string
}

/** A seed disk that could not be brought to what its server's records say. */
export interface SeedFailure {
  readonly iqn: string
  readonly message: string
}

interface OpenSeed {
  readonly content: DiskContent
  /** What the content was rendered of. */
  rendered: string
  users: number
}

/** The seed disks that are open: one content for a server, however many look at it. */
export class SeedDisks {
  readonly #source: SeedSource
  readonly #open = new Map<string, OpenSeed>()

  constructor(source: SeedSource) {
    this.#source = source
  }

  /** The seed disk of a server as it is now, and as it will be while it is open. */
  open(server: ServerRecord): BlockDevice {
    const known = this.#open.get(server.id)
    const seed = known ?? this.#render(server)
    if (known === undefined) this.#open.set(server.id, seed)
    else this.#bringTo(known, server)
    seed.users++
    return new BufferDisk(seed.content, () => this.#leave(server.id, seed))
  }

  /**
   * Gives those that are open the bytes of now, whatever reads them; one that cannot be rendered stays as it was.
   * One at a time, with turns for others between them: a fleet's disks are served by this event loop.
   * @param serverOf the records of now
   */
  async follow(serverOf: (id: string) => ServerRecord | undefined): Promise<SeedFailure[]> {
    const failures: SeedFailure[] = []
    for (const [id, seed] of [...this.#open]) {
      const server = serverOf(id)
      try {
        if (server !== undefined) this.#bringTo(seed, server)
      } catch (err) {
        failures.push({ iqn: server?.iqn ?? '', message: err instanceof Error ? err.message : String(err) })
      }
      await setImmediate()
    }
    return failures
  }

  #render(server: ServerRecord): OpenSeed {
    const bytes = this.#source.renderSeed(server)
    return { content: { bytes, revision: 0 }, rendered: this.#source.seedRevision(server), users: 0 }
  }

  #bringTo(seed: OpenSeed, server: ServerRecord): void {
    const wished = this.#source.seedRevision(server)
    if (wished === seed.rendered) return
    seed.content.bytes = this.#source.renderSeed(server)
    seed.content.revision++
    seed.rendered = wished
  }

  #leave(serverId: string, seed: OpenSeed): void {
    seed.users--
    if (seed.users === 0) this.#open.delete(serverId)
  }
}

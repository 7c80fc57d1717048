import type { GoldenCache } from './golden-cache.js'
import { nodeLayerFiles, type LayerFiles } from './layer-files.js'
import { layerPath, type LayerDirs, type LayerSpec } from './layer.js'
import type { LiveMapPlace } from './live-map.js'
import { openStored, type LayerRole, type StoredLayer } from './stored-layer.js'

/** What keeps a layer that is ever written from being open in two processes. */
export interface LayerClaims {
  /** Resolves when no other process has it. @throws Error when one goes on having it */
  take(layerId: string): Promise<void>
  letGo(layerId: string): void
}

/** Where layers are and how they are opened. */
export interface LayerStoreOptions extends LayerDirs {
  /** `/proc/sys/kernel/random/boot_id`: a live map of another boot is worth nothing. */
  readonly bootId: string
  /** Every file is left as it is. */
  readonly isReadOnly: boolean
  readonly files?: LayerFiles | undefined
  /** Content of parents is read through it. */
  readonly cache?: GoldenCache | undefined
  /** Where other processes open layers too. */
  readonly claims?: LayerClaims | undefined
  /** Told once why the space of unmapped clusters cannot be given back. */
  readonly onNoPunch?: ((cause: unknown) => void) | undefined
}

interface Entry {
  readonly layer: Promise<StoredLayer>
  users: number
  isTop: boolean
  /** It was a top: what the cache holds of it lasts no longer than it is ours. */
  readonly isWritten: boolean
}

/**
 * The open layers of a process: each is open once, however many volumes stand on it, so that a thousand
 * clones of an image share one map and one descriptor of it.
 */
export class LayerStore {
  readonly isReadOnly: boolean
  readonly files: LayerFiles
  readonly cache: GoldenCache | undefined
  readonly #place: LiveMapPlace
  readonly #claims: LayerClaims | undefined
  readonly #entries = new Map<string, Entry>()
  readonly #closing = new Map<string, Promise<void>>()
  #onNoPunch: LayerStoreOptions['onNoPunch']

  constructor(options: LayerStoreOptions) {
    this.#onNoPunch = options.onNoPunch
    this.#claims = options.claims
    this.isReadOnly = options.isReadOnly
    this.files = options.files ?? nodeLayerFiles
    this.cache = options.cache
    this.#place = { ...options, files: this.files }
  }

  /** Layers that are open. */
  get openCount(): number {
    return this.#entries.size
  }

  /** Opens the layer that a volume writes; nobody else may have it. @throws Error when somebody has */
  openTop(spec: LayerSpec): Promise<StoredLayer> {
    if (this.#entries.has(spec.layerId)) return Promise.reject(alreadyOpen(spec.layerId))
    return this.#open(spec, 'top')
  }

  /** An immutable layer, shared with all who have it. @throws Error when a volume writes it */
  async openParent(spec: LayerSpec): Promise<StoredLayer> {
    const entry = this.#entries.get(spec.layerId)
    if (entry === undefined) return this.#open(spec, this.isReadOnly ? 'reader' : 'parent')
    if (entry.isTop) throw alreadyOpen(spec.layerId)
    entry.users++
    return entry.layer
  }

  /** Gives the space of a range of a layer's data back; nothing may name its clusters. */
  punchHole(layerId: string, position: number, length: number): Promise<void> {
    return this.files.punchHole(layerPath(this.#place.layersDir, layerId, 'data'), position, length)
  }

  /** Space was not given back: told once, since it is the file system that cannot. */
  reportNoPunch(cause: unknown): void {
    this.#onNoPunch?.(cause)
    this.#onNoPunch = undefined
  }

  /** A volume's top becomes an immutable layer that the volume shares. */
  shareTop(layer: StoredLayer): void {
    const entry = this.#entries.get(layer.layerId)
    if (entry !== undefined) entry.isTop = false
    layer.endWriting()
  }

  /** The opposite of opening; the last one closes the files. */
  async release({ layerId }: LayerSpec): Promise<void> {
    const entry = this.#entries.get(layerId)
    if (entry === undefined) throw new Error(`layer ${layerId} is not open`)
    if (--entry.users > 0) return
    this.#entries.delete(layerId)
    const closing = entry.layer.then(async (layer) => {
      await this.cache?.settled(layerId) // it may be reading ahead
      if (entry.isWritten) this.cache?.forgetLayer(layerId)
      await layer.close()
    })
    const closed = closing.then(ignore, ignore).then(() => {
      this.#claims?.letGo(layerId)
      if (this.#closing.get(layerId) === closed) this.#closing.delete(layerId)
    })
    this.#closing.set(layerId, closed)
    await closing
  }

  #open(spec: LayerSpec, role: LayerRole): Promise<StoredLayer> {
    const { layerId } = spec
    const before = this.#closing.get(layerId) ?? Promise.resolve()
    const layer = before.then(() => this.#openClaimed(spec, role))
    const entry: Entry = { layer, users: 1, isTop: role === 'top', isWritten: role === 'top' }
    this.#entries.set(layerId, entry)
    layer.catch(() => {
      if (this.#entries.get(layerId) === entry) this.#entries.delete(layerId) // the next one tries again
    })
    return layer
  }

  async #openClaimed(spec: LayerSpec, role: LayerRole): Promise<StoredLayer> {
    await this.#claims?.take(spec.layerId)
    try {
      return await openStored(this.#place, spec, role)
    } catch (err) {
      this.#claims?.letGo(spec.layerId)
      throw err
    }
  }
}

function alreadyOpen(layerId: string): Error {
  return new Error(`layer ${layerId} is open already`)
}

function ignore(): void {
  // whoever released the layer is told
}

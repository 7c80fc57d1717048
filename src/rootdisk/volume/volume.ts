import { BlockError, type BlockDevice, type Extent } from '../block-device.js'
import { CLUSTER_BYTES, MAX_SIZE_BYTES } from './cluster-map.js'
import { InFlight } from './in-flight.js'
import type { LayerSpec } from './layer.js'
import { mergeLayers, runAt, type MergeWork } from './merge-layers.js'
import { SpaceReturn } from './space-return.js'
import type { StoredLayer } from './stored-layer.js'
import { TopWriter } from './top-writer.js'
import { Turns } from './turns.js'
import type { VolumeLayers } from './volume-layers.js'

/**
 * A disk: a chain of layers of which at most the top one is written. Made by `openVolume`.
 * A write is acknowledged when its data and then its map bits are in the kernel; see `flushToDisk` for flushes.
 * The chain changes under a running guest: snapshot ({@link pushLayer}), merge, drop, grow.
 */
export class Volume implements BlockDevice {
  readonly isReadOnly: boolean
  readonly #layers: VolumeLayers
  readonly #writer: TopWriter
  readonly #space: SpaceReturn
  /** Changes of the chain, one at a time. */
  readonly #changes = new Turns()
  readonly #merges = new InFlight()
  readonly #closing = new AbortController()
  #isClosed = false

  constructor(layers: VolumeLayers) {
    this.#layers = layers
    this.isReadOnly = layers.store.isReadOnly
    this.#space = new SpaceReturn(layers)
    this.#writer = new TopWriter(layers, (first, last) => this.#space.add(first, last))
  }

  /** Grows during the volume's life. */
  get sizeBytes(): number {
    return this.#layers.top.sizeBytes
  }

  /** The layers' ids, top first. */
  get layerIds(): readonly string[] {
    return this.#layers.all.map((layer) => layer.layerId)
  }

  /** Bytes of the top layer's own clusters: what this volume costs beyond its parents. */
  get allocatedBytes(): number {
    return this.#layers.top.map.countHere() * CLUSTER_BYTES
  }

  read(offset: number, into: Uint8Array): undefined | Promise<void> {
    if (this.#isClosed) return closed()
    return this.#layers.reader.read(offset, into)
  }

  write(offset: number, from: Uint8Array): undefined | Promise<void> {
    if (this.#isClosed || this.isReadOnly) return this.#refusal()
    return this.#writer.write(offset, from)
  }

  flush(): undefined | Promise<void> {
    if (this.#isClosed) return closed()
    return this.#layers.flush()
  }

  unmap(offset: number, length: number): undefined | Promise<void> {
    if (this.#isClosed || this.isReadOnly) return this.#refusal()
    return this.#writer.unmap(offset, length)
  }

  extents(offset: number, length: number): readonly Extent[] {
    return this.#layers.reader.chain.extents(offset, length)
  }

  /** Which layer shows each part of a range, in order, neighbours of one layer merged; undefined: zeros. */
  owners(offset: number, length: number): OwnedExtent[] {
    const { chain } = this.#layers.reader
    const last = Math.ceil((offset + length) / CLUSTER_BYTES) - 1
    const extents: OwnedExtent[] = []
    for (let at = offset; at < offset + length;) {
      const n = Math.floor(at / CLUSTER_BYTES)
      const owner = chain.ownerOf(n)
      const to = Math.min(chain.runEnd(n, last, owner) * CLUSTER_BYTES, offset + length)
      extents.push({ offset: at, length: to - at, layerId: chain.layers[owner]?.layerId })
      at = to
    }
    return extents
  }

  /**
   * Takes a snapshot: what was acknowledged before is in the layers so far, which are immutable from now on;
   * what comes after goes to `newTop`, a layer that was made and is open nowhere. Guests go on meanwhile.
   * Done when the old top is on disk too.
   * @throws BlockError when it could not be flushed: the snapshot is there all the same, and flushes go on failing
   */
  async pushLayer(newTop: LayerSpec): Promise<void> {
    const { store } = this.#layers
    const old = await this.#change(async () => {
      const top = await store.openTop({ ...newTop, sizeBytes: Math.max(newTop.sizeBytes, this.sizeBytes) })
      return this.#layers.whenUnwritten(() => {
        const before = this.#layers.top
        this.#space.forget()
        void this.#layers.replace([top, ...this.#layers.all])
        store.shareTop(before)
        return before
      })
    })
    await old.settle()
  }

  /** Copies a layer up into its child; see {@link mergeLayers}. */
  mergeLayer(layerId: string, work?: MergeWork): Promise<void> {
    return this.mergeLayers([layerId], work)
  }

  /**
   * Copies a run of neighbouring layers (top first) up into the layer over it, under a running guest.
   * Changes no content; run again after a crash, it goes on. What was copied is on disk when it is done.
   * @throws BlockError, or the signal's reason
   */
  async mergeLayers(layerIds: readonly string[], work: MergeWork = {}): Promise<void> {
    this.#refuseIfClosed()
    const signals = [this.#closing.signal, ...(work.signal === undefined ? [] : [work.signal])]
    this.#merges.begin()
    try {
      await mergeLayers(this.#layers, layerIds, { ...work, signal: AbortSignal.any(signals) })
    } finally {
      this.#merges.end()
    }
  }

  /** Copies all that the parents show into the top layer. @throws BlockError, or the signal's reason */
  flatten(work?: MergeWork): Promise<void> {
    return this.mergeLayers(this.layerIds.slice(1), work)
  }

  /** Goes on without a layer; see {@link dropLayers}. */
  dropLayer(layerId: string): Promise<void> {
    return this.dropLayers([layerId])
  }

  /** Merges a run of neighbouring layers where that was not done, then goes on without them. Their files stay. */
  async dropLayers(layerIds: readonly string[], work?: MergeWork): Promise<void> {
    if (layerIds.length === 0) return
    await this.mergeLayers(layerIds, work)
    await this.#change(async () => {
      const unread = await this.#layers.whenUnwritten(() => {
        const { all } = this.#layers
        const at = runAt(all, layerIds)
        const dropped = all.slice(at, at + layerIds.length)
        const isIdle = this.#layers.replace(all.filter((layer) => !dropped.includes(layer)))
        return { isIdle, dropped }
      })
      await unread.isIdle
      await this.#release(unread.dropped)
    })
  }

  /** The disk has `newSizeBytes` from now on; what is new reads as zeros. @throws BlockError; the size stays then */
  async grow(newSizeBytes: number): Promise<void> {
    if (newSizeBytes > MAX_SIZE_BYTES) throw new RangeError(`a disk has at most ${MAX_SIZE_BYTES} bytes`)
    await this.#change(async () => {
      if (newSizeBytes < this.sizeBytes)
        throw new RangeError(`a disk of ${this.sizeBytes} bytes never shrinks`)
      if (newSizeBytes > this.sizeBytes) await this.#layers.top.grow(newSizeBytes)
    })
  }

  /** Flushes, then closes the files; the live map goes when the flush succeeded. @throws BlockError */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#space.forget()
    this.#closing.abort(new BlockError('medium', 'the volume is closed'))
    await this.#merges.idle()
    await this.#changes.run(() => this.#layers.whenUnwritten(() => this.#layers.reader.inFlight.idle()))
    try {
      await this.#layers.flush()
    } finally {
      await this.#release(this.#layers.all)
    }
  }

  async #release(layers: readonly StoredLayer[]): Promise<void> {
    for (const layer of layers) await this.#layers.store.release(layer)
  }

  #refusal(): Promise<never> {
    return this.#isClosed ? closed() : Promise.reject(new BlockError('read-only', 'the volume is read-only'))
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    return this.#changes.run(() => {
      this.#refuseIfClosed()
      return work()
    })
  }

  #refuseIfClosed(): void {
    if (this.#isClosed || this.isReadOnly) throw new Error('only an open, writable volume changes its layers')
  }
}

/** Part of a disk and the layer that shows it. */
export interface OwnedExtent {
  readonly offset: number
  readonly length: number
  readonly layerId: string | undefined
}

function closed(): Promise<never> {
  return Promise.reject(new BlockError('medium', 'the volume is closed'))
}

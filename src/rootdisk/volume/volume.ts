import { BlockError, type BlockDevice, type Extent } from '../block-device.js'
import { blockFailure } from './block-failure.js'
import { CLUSTER_BYTES, STATE } from './cluster-map.js'
import { flushToDisk, type WritablePart } from './flush-to-disk.js'
import { FlushSequence } from './flush-sequence.js'
import type { GoldenCache } from './golden-cache.js'
import type { LayerFiles } from './layer-files.js'
import { LayerChain, NOBODY } from './layer-chain.js'
import type { OpenLayer } from './layer.js'
import { RangeLocks, type RangeLock } from './range-locks.js'

interface WriteOp {
  readonly offset: number
  readonly from: Uint8Array
  readonly first: number
  readonly last: number
  readonly resolve: () => void
  readonly reject: (err: BlockError) => void
}

const ZEROS = new Uint8Array(CLUSTER_BYTES)

/**
 * A disk: a chain of layers of which at most the top one is written. Made by `openVolume`.
 * A write is acknowledged when its data and then its map bits are in the kernel; see `flushToDisk` for flushes.
 */
export class Volume implements BlockDevice {
  readonly sizeBytes: number
  readonly isReadOnly: boolean
  readonly #files: LayerFiles
  readonly #chain: LayerChain
  readonly #writable: WritablePart | undefined
  readonly #locks = new RangeLocks()
  readonly #flushes = new FlushSequence(() => this.#flushNow())
  readonly #topFd: number
  readonly #cache: GoldenCache | undefined
  #pending = 0
  #isClosed = false
  #onIdle: (() => void) | undefined

  /** @param cache for the content of the parents */
  constructor(files: LayerFiles, chain: LayerChain, writable?: WritablePart, cache?: GoldenCache) {
    const top = chain.layers[0]
    if (top === undefined) throw new Error('a volume needs at least one layer')
    this.#files = files
    this.#chain = chain
    this.#writable = writable
    this.#topFd = top.dataFd
    this.#cache = cache
    this.sizeBytes = top.sizeBytes
    this.isReadOnly = writable === undefined
  }

  /** Bytes of the top layer's own clusters: what this volume costs beyond its parents. */
  get allocatedBytes(): number {
    return (this.#chain.layers[0]?.map.countHere() ?? 0) * CLUSTER_BYTES
  }

  read(offset: number, into: Uint8Array): undefined | Promise<void> {
    if (this.#isClosed) return closed()
    if (into.length === 0) return undefined
    const first = Math.floor(offset / CLUSTER_BYTES)
    const last = Math.floor((offset + into.length - 1) / CLUSTER_BYTES)
    const owner = this.#chain.ownerOf(first)
    const end = first === last ? last + 1 : this.#chain.runEnd(first, last, owner)
    if (end > last) return this.#readRun(owner, offset, into)
    return this.#readRuns(offset, into)
  }

  write(offset: number, from: Uint8Array): undefined | Promise<void> {
    if (this.#isClosed) return closed()
    if (this.#writable === undefined) return readOnly()
    if (from.length === 0) return undefined
    const first = Math.floor(offset / CLUSTER_BYTES)
    const last = Math.floor((offset + from.length - 1) / CLUSTER_BYTES)
    this.#pending++
    return new Promise((resolve, reject) => {
      const op: WriteOp = { offset, from, first, last, resolve, reject }
      this.#locks.acquire(first, last, (lock) => this.#writeLocked(op, lock))
    })
  }

  flush(): undefined | Promise<void> {
    if (this.#isClosed) return closed()
    if (this.#writable === undefined) return undefined
    return this.#flushes.flush()
  }

  unmap(offset: number, length: number): undefined | Promise<void> {
    if (this.#isClosed) return closed()
    if (this.#writable === undefined) return readOnly()
    const end = offset + length
    const first = Math.ceil(offset / CLUSTER_BYTES)
    const endWhole = end === this.sizeBytes ? Math.ceil(end / CLUSTER_BYTES) : Math.floor(end / CLUSTER_BYTES)
    if (first > endWhole) return this.#zeroPart(offset, end)
    const parts = [
      this.#zeroPart(offset, Math.min(first * CLUSTER_BYTES, end)),
      first < endWhole ? this.#unmapClusters(first, endWhole - 1) : undefined,
      this.#zeroPart(endWhole * CLUSTER_BYTES, end),
    ].filter((part) => part !== undefined)
    return parts.length === 0 ? undefined : Promise.all(parts).then(ignore)
  }

  extents(offset: number, length: number): readonly Extent[] {
    return this.#chain.extents(offset, length)
  }

  /** Flushes, then closes the files; the live map goes when the flush succeeded. @throws BlockError */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#pending > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve))
    try {
      if (this.#writable !== undefined) {
        await this.#flushes.flush()
        await this.#writable.forgetLiveMap()
      }
    } finally {
      await this.#closeFiles()
    }
  }

  async #closeFiles(): Promise<void> {
    for (const layer of this.#chain.layers) await this.#files.close(layer.dataFd)
    if (this.#writable === undefined) return
    await this.#files.close(this.#writable.diskMapFd)
    await this.#writable.live.close()
  }

  #readRun(owner: number, offset: number, into: Uint8Array): undefined | Promise<void> {
    const layer = this.#chain.layers[owner]
    if (layer === undefined) {
      into.fill(0)
      return undefined
    }
    if (owner > 0 && this.#cache !== undefined) return this.#readCached(this.#cache, layer, offset, into)
    this.#pending++
    return new Promise((resolve, reject) => {
      this.#files.read(layer.dataFd, into, offset, (err) => {
        this.#end()
        if (err === null) resolve()
        else reject(blockFailure(`read at byte ${offset}`, err))
      })
    })
  }

  #readCached(
    cache: GoldenCache,
    layer: OpenLayer,
    offset: number,
    into: Uint8Array,
  ): undefined | Promise<void> {
    const missing = cache.read(this.#files, layer, offset, into)
    if (missing === undefined) return undefined
    this.#pending++
    return missing.then(
      () => this.#end(),
      (err: unknown) => {
        this.#end()
        throw blockFailure(`read at byte ${offset}`, err)
      },
    )
  }

  #readRuns(offset: number, into: Uint8Array): undefined | Promise<void> {
    const last = Math.floor((offset + into.length - 1) / CLUSTER_BYTES)
    const parts: Promise<void>[] = []
    for (let at = 0; at < into.length;) {
      const n = Math.floor((offset + at) / CLUSTER_BYTES)
      const owner = this.#chain.ownerOf(n)
      const to = Math.min(this.#chain.runEnd(n, last, owner) * CLUSTER_BYTES - offset, into.length)
      const part = this.#readRun(owner, offset + at, into.subarray(at, to))
      if (part !== undefined) parts.push(part)
      at = to
    }
    if (parts.length === 0) return undefined
    // All of them, also after a failure: the buffer is ours until the last one ended.
    return Promise.allSettled(parts).then(() => Promise.all(parts).then(ignore))
  }

  #writeLocked(op: WriteOp, lock: RangeLock): void {
    if (this.#needsMerge(op)) {
      this.#merged(op).then(
        (whole) => this.#put(op, lock, whole, op.first * CLUSTER_BYTES),
        (err: unknown) => this.#wrote(op, lock, err),
      )
    } else {
      this.#put(op, lock, op.from, op.offset)
    }
  }

  #needsMerge(op: WriteOp): boolean {
    const map = this.#chain.layers[0]?.map
    if (op.offset % CLUSTER_BYTES !== 0 && map?.get(op.first) !== STATE.here) return true
    return (op.offset + op.from.length) % CLUSTER_BYTES !== 0 && map?.get(op.last) !== STATE.here
  }

  /** The whole clusters that a write touches, with what the disk shows around its bytes. */
  async #merged(op: WriteOp): Promise<Uint8Array> {
    const start = op.first * CLUSTER_BYTES
    const whole = new Uint8Array((op.last - op.first + 1) * CLUSTER_BYTES)
    await this.#readCluster(op.first, whole.subarray(0, CLUSTER_BYTES))
    if (op.last !== op.first) await this.#readCluster(op.last, whole.subarray(-CLUSTER_BYTES))
    whole.set(op.from, op.offset - start)
    return whole
  }

  #readCluster(n: number, into: Uint8Array): undefined | Promise<void> {
    return this.#readRun(this.#chain.ownerOf(n), n * CLUSTER_BYTES, into)
  }

  #put(op: WriteOp, lock: RangeLock, bytes: Uint8Array, at: number): void {
    this.#files.write(this.#topFd, bytes, at, (err) => this.#wrote(op, lock, err))
  }

  /** Data is in the kernel (or not): then the bits, then the reply. Never a bit for bytes that are not there. */
  #wrote(op: WriteOp, lock: RangeLock, cause: unknown): void {
    let failure: unknown = cause
    if (failure === null) failure = this.#mark(op.first, op.last, STATE.here)
    this.#locks.release(lock)
    this.#end()
    if (failure === null) op.resolve()
    else op.reject(blockFailure(`write at byte ${op.offset}`, failure))
  }

  #mark(first: number, last: number, state: 1 | 2): unknown {
    this.#flushes.noteChange()
    try {
      this.#writable?.live.mark(first, last, state)
      return null
    } catch (err) {
      return err
    }
  }

  /** Zeros for part of a cluster; nothing to do where the disk shows zeros already. */
  #zeroPart(from: number, to: number): undefined | Promise<void> {
    if (from >= to || this.#chain.ownerOf(Math.floor(from / CLUSTER_BYTES)) === NOBODY) return undefined
    return this.write(from, ZEROS.subarray(0, to - from))
  }

  #unmapClusters(first: number, last: number): Promise<void> {
    this.#pending++
    return new Promise((resolve, reject) => {
      this.#locks.acquire(first, last, (lock) => {
        const failure = this.#dropClusters(first, last)
        this.#locks.release(lock)
        this.#end()
        if (failure === null) resolve()
        else reject(blockFailure(`unmap at byte ${first * CLUSTER_BYTES}`, failure))
      })
    })
  }

  /** State zero for every cluster of a range that shows bytes; a trim of what was never written costs no map. */
  #dropClusters(first: number, last: number): unknown {
    for (let n = first; n <= last;) {
      const owner = this.#chain.ownerOf(n)
      const end = this.#chain.runEnd(n, last, owner)
      const failure = owner === NOBODY ? null : this.#mark(n, end - 1, STATE.zero)
      if (failure !== null) return failure
      n = end
    }
    return null
  }

  async #flushNow(): Promise<void> {
    if (this.#writable !== undefined) await flushToDisk(this.#files, this.#topFd, this.#writable)
  }

  #end(): void {
    this.#pending--
    if (this.#pending === 0) this.#onIdle?.()
  }
}

function closed(): Promise<never> {
  return Promise.reject(new BlockError('medium', 'the volume is closed'))
}

function readOnly(): Promise<never> {
  return Promise.reject(new BlockError('read-only', 'the volume is read-only'))
}

function ignore(): void {
  // turns Promise<void[]> into Promise<void>
}

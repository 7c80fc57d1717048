import { BlockError } from '../block-device.js'
import { blockFailure } from './block-failure.js'
import { CLUSTER_BYTES, STATE, type ClusterRange, type ClusterState } from './cluster-map.js'
import { NOBODY } from './layer-chain.js'
import type { RangeLock } from './range-locks.js'
import type { VolumeLayers } from './volume-layers.js'

interface WriteOp extends ClusterRange {
  readonly offset: number
  readonly from: Uint8Array
  /** What goes to the file, and where: more than `from` when a cluster is merged. */
  bytes: Uint8Array
  at: number
  readonly resolve: () => void
  readonly reject: (err: BlockError) => void
}

const ZEROS = new Uint8Array(CLUSTER_BYTES)

/**
 * Writes and unmaps the top layer of a volume: data first, then the map bits, then the reply. Writes whose data
 * is told to be there at one time are marked together: a map page is written once for all of them.
 * Which layer is the top is asked only under the lock, where it does not change.
 */
export class TopWriter {
  readonly #layers: VolumeLayers
  readonly #onUnmapped: (first: number, last: number) => void
  /** Their data is in the kernel, their bits are not set yet. */
  #unmarked: { readonly op: WriteOp; readonly lock: RangeLock }[] = []

  /** @param onUnmapped told of clusters that were in the top layer and are zeros now */
  constructor(layers: VolumeLayers, onUnmapped: (first: number, last: number) => void) {
    this.#layers = layers
    this.#onUnmapped = onUnmapped
  }

  /** See `BlockDevice.write`. */
  write(offset: number, from: Uint8Array): undefined | Promise<void> {
    if (from.length === 0) return undefined
    const first = Math.floor(offset / CLUSTER_BYTES)
    const last = Math.floor((offset + from.length - 1) / CLUSTER_BYTES)
    return new Promise((resolve, reject) => {
      const op: WriteOp = { offset, from, bytes: from, at: offset, first, last, resolve, reject }
      this.#layers.locks.acquire(first, last, (lock) => this.#writeLocked(op, lock))
    })
  }

  /** See `BlockDevice.unmap`. */
  unmap(offset: number, length: number): undefined | Promise<void> {
    const end = offset + length
    const { sizeBytes } = this.#layers.top
    const first = Math.ceil(offset / CLUSTER_BYTES)
    const endWhole = end === sizeBytes ? Math.ceil(end / CLUSTER_BYTES) : Math.floor(end / CLUSTER_BYTES)
    if (first > endWhole) return this.#zeroPart(offset, end)
    const parts = [
      this.#zeroPart(offset, Math.min(first * CLUSTER_BYTES, end)),
      first < endWhole ? this.#unmapClusters(first, endWhole - 1) : undefined,
      this.#zeroPart(endWhole * CLUSTER_BYTES, end),
    ].filter((part) => part !== undefined)
    return parts.length === 0 ? undefined : Promise.all(parts).then(ignore)
  }

  #writeLocked(op: WriteOp, lock: RangeLock): void {
    if (this.#needsMerge(op)) {
      this.#merged(op).then(
        (whole) => {
          op.bytes = whole
          op.at = op.first * CLUSTER_BYTES
          this.#put(op, lock)
        },
        (err: unknown) => this.#end(op, lock, err),
      )
    } else {
      this.#put(op, lock)
    }
  }

  #needsMerge(op: WriteOp): boolean {
    const { map } = this.#layers.top
    if (op.offset % CLUSTER_BYTES !== 0 && map.get(op.first) !== STATE.here) return true
    return (op.offset + op.from.length) % CLUSTER_BYTES !== 0 && map.get(op.last) !== STATE.here
  }

  /** The whole clusters that a write touches, with what the disk shows around its bytes. */
  async #merged(op: WriteOp): Promise<Uint8Array> {
    const start = op.first * CLUSTER_BYTES
    const whole = new Uint8Array((op.last - op.first + 1) * CLUSTER_BYTES)
    const { reader } = this.#layers
    await reader.read(start, whole.subarray(0, CLUSTER_BYTES))
    if (op.last !== op.first) await reader.read(op.last * CLUSTER_BYTES, whole.subarray(-CLUSTER_BYTES))
    whole.set(op.from, op.offset - start)
    return whole
  }

  #put(op: WriteOp, lock: RangeLock): void {
    const { store, top } = this.#layers
    store.files.write(top.dataFd, op.bytes, op.at, (err) => this.#wrote(op, lock, err))
  }

  /** Data is in the kernel (or not): then the bits, then the reply. Never a bit for bytes that are not there. */
  #wrote(op: WriteOp, lock: RangeLock, cause: unknown): void {
    if (cause !== null) {
      this.#end(op, lock, cause)
      return
    }
    this.#unmarked.push({ op, lock })
    if (this.#unmarked.length === 1) queueMicrotask(this.#markAll)
  }

  /** All that was told in one turn. When that fails each is tried alone: a page may be there, another not. */
  readonly #markAll = (): void => {
    const written = this.#unmarked
    this.#unmarked = []
    const ranges = written.map(({ op }) => op)
    const failure = this.#mark(ranges, STATE.here)
    const isTriedAlone = failure !== null && written.length > 1
    for (const { op, lock } of written) {
      this.#end(op, lock, isTriedAlone ? this.#mark([op], STATE.here) : failure)
    }
  }

  #end(op: WriteOp, lock: RangeLock, failure: unknown): void {
    const { locks, store, top } = this.#layers
    if (failure === null) store.cache?.update(top.layerId, op.at, op.bytes)
    else store.cache?.invalidate(top.layerId, op.at, op.at + op.bytes.length)
    locks.release(lock)
    if (failure === null) op.resolve()
    else op.reject(blockFailure(`write at byte ${op.offset}`, failure))
  }

  #mark(ranges: readonly ClusterRange[], state: ClusterState): unknown {
    try {
      this.#layers.top.written?.mark(ranges, state)
      return null
    } catch (err) {
      return err
    }
  }

  /** Zeros for part of a cluster; nothing to do where the disk shows zeros already. */
  #zeroPart(from: number, to: number): undefined | Promise<void> {
    if (from >= to) return undefined
    if (this.#layers.reader.chain.ownerOf(Math.floor(from / CLUSTER_BYTES)) === NOBODY) return undefined
    return this.write(from, ZEROS.subarray(0, to - from))
  }

  #unmapClusters(first: number, last: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#layers.locks.acquire(first, last, (lock) => {
        const failure = this.#dropClusters(first, last)
        this.#layers.locks.release(lock)
        if (failure === null) resolve()
        else reject(blockFailure(`unmap at byte ${first * CLUSTER_BYTES}`, failure))
      })
    })
  }

  /** State zero for every cluster of a range that shows bytes; a trim of what was never written costs no map. */
  #dropClusters(first: number, last: number): unknown {
    const { chain } = this.#layers.reader
    for (let n = first; n <= last;) {
      const owner = chain.ownerOf(n)
      const end = chain.runEnd(n, last, owner)
      const failure = owner === NOBODY ? null : this.#mark([{ first: n, last: end - 1 }], STATE.zero)
      if (failure !== null) return failure
      if (owner === 0) this.#onUnmapped(n, end - 1)
      n = end
    }
    return null
  }
}

function ignore(): void {
  // turns Promise<void[]> into Promise<void>
}

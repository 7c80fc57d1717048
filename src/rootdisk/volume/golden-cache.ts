import { CLUSTER_BYTES } from './cluster-map.js'
import { settled, type LayerFiles } from './layer-files.js'
import type { OpenLayer } from './layer.js'

/** Bytes that are read, kept and dropped together. */
export const CACHE_CHUNK_BYTES = 64 << 10

interface Chunk {
  readonly index: number
  readonly owner: Map<number, Chunk>
  /** Undefined while it is being read. */
  bytes: Buffer | undefined
  loading: Promise<void> | undefined
  /** Read since the clock hand last passed. */
  isUsed: boolean
  /** What the file holds has changed since this was read, or while it was. */
  isStale: boolean
}

/**
 * Content of immutable layers in memory, shared by all volumes: in a boot storm every golden chunk leaves the
 * disk once. A hit costs one copy and no system call; concurrent misses of one chunk are one read.
 * Second-chance eviction: a hit writes one flag, nothing is moved.
 */
export class GoldenCache {
  readonly #budgetBytes: number
  readonly #layers = new Map<string, Map<number, Chunk>>()
  /** All chunks in the order in which the clock hand meets them. */
  readonly #clock = new Set<Chunk>()

  /** @param budgetBytes memory for content; what is being read may exceed it for a moment */
  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes
  }

  /** Bytes that the chunks take, each counted whole. */
  get usedBytes(): number {
    return this.#clock.size * CACHE_CHUNK_BYTES
  }

  #chunksOf(layerId: string): Map<number, Chunk> {
    let chunks = this.#layers.get(layerId)
    if (chunks === undefined) this.#layers.set(layerId, (chunks = new Map<number, Chunk>()))
    return chunks
  }

  /**
   * Fills `into` with the layer's bytes at `offset`; undefined when all of it was in memory.
   * The layer's file must stay open until the promise is settled.
   */
  read(files: LayerFiles, layer: OpenLayer, offset: number, into: Uint8Array): undefined | Promise<void> {
    const chunks = this.#chunksOf(layer.layerId)
    let waiting: Promise<void>[] | undefined
    for (let at = 0; at < into.length;) {
      const index = Math.floor((offset + at) / CACHE_CHUNK_BYTES)
      const from = offset + at - index * CACHE_CHUNK_BYTES
      const length = Math.min(CACHE_CHUNK_BYTES - from, into.length - at)
      const chunk = chunks.get(index) ?? this.#load(files, layer, chunks, index)
      chunk.isUsed = true
      if (chunk.bytes !== undefined) chunk.bytes.copy(into, at, from, from + length)
      else (waiting ??= []).push(copyWhenLoaded(chunk, into.subarray(at, at + length), from))
      at += length
    }
    if (waiting === undefined) return undefined
    return waiting.length === 1 ? waiting[0] : allDone(waiting)
  }

  /**
   * Forgets what the file of a layer held in bytes `from` to `to`, for clusters that become the layer's.
   * Reads that wait for such a chunk asked for other clusters of it: they get theirs.
   */
  invalidate(layerId: string, from: number, to: number): void {
    const chunks = this.#layers.get(layerId)
    if (chunks === undefined) return
    for (let index = Math.floor(from / CACHE_CHUNK_BYTES); index * CACHE_CHUNK_BYTES < to; index++) {
      const chunk = chunks.get(index)
      if (chunk === undefined) continue
      chunk.isStale = true
      chunks.delete(index)
      this.#clock.delete(chunk)
    }
  }

  #load(files: LayerFiles, layer: OpenLayer, owner: Map<number, Chunk>, index: number): Chunk {
    const at = index * CACHE_CHUNK_BYTES
    const bytes = Buffer.allocUnsafeSlow(Math.min(CACHE_CHUNK_BYTES, layer.clusterCount * CLUSTER_BYTES - at))
    const chunk: Chunk = { index, owner, bytes: undefined, loading: undefined, isUsed: true, isStale: false }
    owner.set(index, chunk)
    chunk.loading = settled((done) => files.read(layer.dataFd, bytes, at, done)).then(
      () => {
        chunk.bytes = bytes
        chunk.loading = undefined
        if (chunk.isStale) return // for those who asked before; it is not kept
        this.#clock.add(chunk)
        this.#evict()
      },
      (err: unknown) => {
        if (!chunk.isStale) owner.delete(index) // the next read tries again
        throw err
      },
    )
    return chunk
  }

  #evict(): void {
    for (const chunk of this.#clock) {
      if (this.usedBytes <= this.#budgetBytes) return
      this.#clock.delete(chunk)
      if (chunk.isUsed)
        this.#clock.add(chunk) // met again later in this very loop
      else chunk.owner.delete(chunk.index)
      chunk.isUsed = false
    }
  }
}

async function copyWhenLoaded(chunk: Chunk, into: Uint8Array, from: number): Promise<void> {
  await chunk.loading
  chunk.bytes?.copy(into, 0, from, from + into.length)
}

async function allDone(parts: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(parts) // the buffer is ours until the last one ended
  await Promise.all(parts)
}

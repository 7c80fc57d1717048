import { copyBytes } from '../copy-bytes.js'
import { CACHE_CHUNK_BYTES, ChunkMemory } from './chunk-memory.js'
import { CLUSTER_BYTES, STATE } from './cluster-map.js'
import { InFlight } from './in-flight.js'
import type { LayerFiles } from './layer-files.js'
import type { OpenLayer } from './layer.js'
import { SecondTouch } from './second-touch.js'

const CLUSTERS_PER_CHUNK = CACHE_CHUNK_BYTES / CLUSTER_BYTES
/** Chunks read ahead of the first sequential read, and at most (1 MiB). */
const FIRST_AHEAD = 4
const MOST_AHEAD = 16
/** Chunks of the largest disk (64 TiB). */
const CHUNKS_PER_LAYER = 2 ** 30

/** A read that waits for chunks; its buffer is the cache's until the last of them came or failed. */
interface Reader {
  parts: number
  failure: unknown
  resolve: () => void
  reject: (cause: unknown) => void
}

interface Waiter {
  readonly reader: Reader
  readonly into: Uint8Array
  readonly from: number
}

interface Chunk {
  readonly index: number
  readonly owner: CachedLayer
  readonly bytes: Buffer
  /** Who wants its bytes when they are there; undefined when they are. */
  waiters: Waiter[] | undefined
  /** Read since the clock hand last passed. */
  isUsed: boolean
  /** What the file holds has changed since this was read, or while it was. */
  isStale: boolean
  /** When this is read the next so many are worth reading too. */
  ahead: number
}

/** The chunks of a layer, and its reads of the file under way. */
interface CachedLayer {
  /** Tells it from others in {@link SecondTouch}. */
  readonly firstKey: number
  readonly chunks: Map<number, Chunk>
  readonly loading: InFlight
}

/** What a cache did, in chunks, and what it holds. */
export interface CacheReport {
  /** Looked for and there; there were some on the way among them. */
  readonly hits: number
  /** Looked for and read from the file. */
  readonly misses: number
  /** Read from the file before anybody looked for them. */
  readonly readAhead: number
  readonly usedBytes: number
  readonly budgetBytes: number
}

/**
 * Content of layers in memory, shared by all volumes: in a boot storm every golden chunk leaves the disk once.
 * A layer that is written is here too, as far as it is read again: its writer tells of each write. A hit costs one
 * copy and no system call; concurrent misses of one chunk are one read; a sequential reader finds what it wants next
 * read ahead. Second-chance eviction: a hit writes one flag, nothing is moved.
 */
export class GoldenCache {
  readonly #counts = { hits: 0, misses: 0, readAhead: 0 }
  readonly #budgetBytes: number
  readonly #memory: ChunkMemory
  readonly #layers = new Map<string, CachedLayer>()
  readonly #touches: SecondTouch
  #layersSeen = 0
  /** All chunks that are whole, in the order in which the clock hand meets them. */
  readonly #clock = new Set<Chunk>()

  /**
   * @param budgetBytes memory for content; what is being read may exceed it for a moment
   * @param allocate gives that memory, never to be given back; best where I/O threads reach it
   */
  constructor(
    budgetBytes: number,
    allocate: (sizeBytes: number) => Buffer = (size) => Buffer.allocUnsafeSlow(size),
  ) {
    this.#budgetBytes = budgetBytes
    this.#memory = new ChunkMemory(allocate)
    this.#touches = new SecondTouch(Math.floor(budgetBytes / CACHE_CHUNK_BYTES))
  }

  /** Since this process began. */
  report(): CacheReport {
    return { ...this.#counts, usedBytes: this.usedBytes, budgetBytes: this.#budgetBytes }
  }

  /** Bytes that the chunks take, each counted whole. */
  get usedBytes(): number {
    return this.#clock.size * CACHE_CHUNK_BYTES
  }

  /**
   * Fills `into` with the layer's bytes at `offset`; undefined when all of it was in memory.
   * The layer's file must stay open until the promise is settled, and until {@link settled}.
   */
  read(files: LayerFiles, layer: OpenLayer, offset: number, into: Uint8Array): undefined | Promise<void> {
    const owner = this.#layers.get(layer.layerId) ?? this.#addLayer(layer.layerId)
    let reader: Reader | undefined
    let waiting: Promise<void> | undefined
    for (let at = 0; at < into.length;) {
      const index = Math.floor((offset + at) / CACHE_CHUNK_BYTES)
      const from = offset + at - index * CACHE_CHUNK_BYTES
      const length = Math.min(CACHE_CHUNK_BYTES - from, into.length - at)
      const chunk = this.#chunk(files, layer, owner, index)
      if (chunk.waiters === undefined) copyBytes(chunk.bytes.subarray(from, from + length), into, at)
      else {
        if (reader === undefined) [reader, waiting] = newReader()
        reader.parts++
        chunk.waiters.push({ reader, into: into.subarray(at, at + length), from })
      }
      at += length
    }
    return waiting
  }

  /**
   * Whether a read of a layer that is being written is to go this way: all of it is here, or it lies in one chunk
   * that was asked for before. A disk read at random, and one read in large pieces, would only drive out others.
   */
  isWorthIt(layerId: string, offset: number, length: number): boolean {
    const { chunks, firstKey } = this.#layers.get(layerId) ?? this.#addLayer(layerId)
    const first = Math.floor(offset / CACHE_CHUNK_BYTES)
    const last = Math.floor((offset + length - 1) / CACHE_CHUNK_BYTES)
    let index = first
    while (index <= last && chunks.has(index)) index++
    return index > last || (first === last && this.#touches.touch(firstKey + first))
  }

  /** A layer's file holds `bytes` at `offset`; to be told before a write is acknowledged. */
  update(layerId: string, offset: number, bytes: Uint8Array): void {
    const chunks = this.#layers.get(layerId)?.chunks
    if (chunks === undefined || chunks.size === 0) return
    const end = offset + bytes.length
    for (let at = offset; at < end;) {
      const index = Math.floor(at / CACHE_CHUNK_BYTES)
      const start = index * CACHE_CHUNK_BYTES
      const to = Math.min(end, start + CACHE_CHUNK_BYTES)
      const chunk = chunks.get(index)
      if (chunk?.waiters !== undefined)
        this.#drop(chunk) // what is being read may be older
      else if (chunk !== undefined)
        copyBytes(bytes.subarray(at - offset, to - offset), chunk.bytes, at - start)
      at = to
    }
  }

  /** Forgets a layer: from now on others may write it. When {@link settled}. */
  forgetLayer(layerId: string): void {
    for (const chunk of this.#layers.get(layerId)?.chunks.values() ?? []) this.#drop(chunk)
    this.#layers.delete(layerId)
  }

  /** Done when no file of the layer is being read; call it, with no read under way, before closing the file. */
  settled(layerId: string): Promise<void> {
    return this.#layers.get(layerId)?.loading.idle() ?? Promise.resolve()
  }

  /**
   * Forgets what the file of a layer held in bytes `from` to `to`, for clusters that become the layer's.
   * Reads that wait for such a chunk asked for other clusters of it: they get theirs.
   */
  invalidate(layerId: string, from: number, to: number): void {
    const chunks = this.#layers.get(layerId)?.chunks
    if (chunks === undefined) return
    for (let index = Math.floor(from / CACHE_CHUNK_BYTES); index * CACHE_CHUNK_BYTES < to; index++) {
      const chunk = chunks.get(index)
      if (chunk !== undefined) this.#drop(chunk)
    }
  }

  #addLayer(layerId: string): CachedLayer {
    const firstKey = this.#layersSeen++ * CHUNKS_PER_LAYER
    const layer = { firstKey, chunks: new Map<number, Chunk>(), loading: new InFlight() }
    this.#layers.set(layerId, layer)
    return layer
  }

  #chunk(files: LayerFiles, layer: OpenLayer, owner: CachedLayer, index: number): Chunk {
    let chunk = owner.chunks.get(index)
    if (chunk === undefined) {
      this.#counts.misses++
      chunk = this.#load(files, layer, owner, index)
      if (owner.chunks.has(index - 1)) chunk.ahead = FIRST_AHEAD
    } else {
      this.#counts.hits++
    }
    chunk.isUsed = true
    if (chunk.ahead > 0) this.#readAhead(files, layer, chunk)
    return chunk
  }

  /** The reader of `chunk` goes from low to high: loads what comes next, more at a time as long as that is read. */
  #readAhead(files: LayerFiles, layer: OpenLayer, reached: Chunk): void {
    const { index, ahead, owner } = reached
    reached.ahead = 0
    const middle = index + Math.ceil(ahead / 2)
    for (let next = index + 1; next <= index + ahead; next++) {
      if (owner.chunks.has(next) || !hasData(layer, next)) continue
      this.#counts.readAhead++
      const chunk = this.#load(files, layer, owner, next)
      if (next === middle) chunk.ahead = Math.min(ahead * 2, MOST_AHEAD)
    }
  }

  #load(files: LayerFiles, layer: OpenLayer, owner: CachedLayer, index: number): Chunk {
    const at = index * CACHE_CHUNK_BYTES
    const bytes = this.#memory.take()
    const chunk: Chunk = { index, owner, bytes, waiters: [], isUsed: false, isStale: false, ahead: 0 }
    owner.chunks.set(index, chunk)
    owner.loading.begin()
    const length = Math.min(CACHE_CHUNK_BYTES, layer.clusterCount * CLUSTER_BYTES - at)
    files.read(layer.dataFd, length === CACHE_CHUNK_BYTES ? bytes : bytes.subarray(0, length), at, (err) => {
      this.#loaded(chunk, err)
      owner.loading.end()
    })
    return chunk
  }

  /** Serves who waits at once: from then on the memory may go to another chunk at any time. */
  #loaded(chunk: Chunk, cause: Error | null): void {
    const waiters = chunk.waiters ?? []
    chunk.waiters = undefined
    for (const { reader, into, from } of waiters) {
      if (cause === null) copyBytes(chunk.bytes.subarray(from, from + into.length), into)
      else reader.failure = cause
    }
    if (chunk.isStale) {
      this.#memory.give(chunk.bytes) // for those who asked before; it is not kept
    } else if (cause === null) {
      this.#clock.add(chunk)
      this.#evict()
    } else {
      chunk.owner.chunks.delete(chunk.index) // the next read tries again
      this.#memory.give(chunk.bytes)
    }
    for (const { reader } of waiters) endPart(reader)
  }

  #evict(): void {
    for (const chunk of this.#clock) {
      if (this.usedBytes <= this.#budgetBytes) return
      if (chunk.isUsed) {
        this.#clock.delete(chunk)
        this.#clock.add(chunk) // met again later in this very loop
      } else {
        this.#forget(chunk)
      }
      chunk.isUsed = false
    }
  }

  /** What it holds, or is being read into it, is not what the file holds. */
  #drop(chunk: Chunk): void {
    chunk.isStale = true
    this.#forget(chunk)
  }

  #forget(chunk: Chunk): void {
    chunk.owner.chunks.delete(chunk.index)
    if (this.#clock.delete(chunk)) this.#memory.give(chunk.bytes)
  }
}

/** Whether any cluster of a chunk is the layer's own; a parent is never longer than its map says. */
function hasData(layer: OpenLayer, index: number): boolean {
  const first = index * CLUSTERS_PER_CHUNK
  for (let n = first; n < Math.min(first + CLUSTERS_PER_CHUNK, layer.clusterCount); n++) {
    if (layer.map.get(n) === STATE.here) return true
  }
  return false
}

function newReader(): [Reader, Promise<void>] {
  const reader: Reader = { parts: 0, failure: undefined, resolve: ignore, reject: ignore }
  const done = new Promise<void>((resolve, reject) => {
    reader.resolve = resolve
    reader.reject = reject
  })
  return [reader, done]
}

function endPart(reader: Reader): void {
  reader.parts--
  if (reader.parts > 0) return
  if (reader.failure === undefined) reader.resolve()
  else reader.reject(reader.failure)
}

function ignore(): void {
  // replaced at once
}

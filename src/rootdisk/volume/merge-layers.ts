import { setImmediate } from 'node:timers/promises'
import { blockFailure } from './block-failure.js'
import { CLUSTER_BYTES, CLUSTERS_PER_PAGE, STATE } from './cluster-map.js'
import { settled } from './layer-files.js'
import type { StoredLayer } from './stored-layer.js'
import type { VolumeLayers } from './volume-layers.js'
import type { WrittenLayer } from './written-layer.js'

/** How a merge is watched and ended. */
export interface MergeWork {
  /** Called with the part that is done, 0 to 1. */
  readonly onProgress?: ((fraction: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Clusters that one lock covers: a guest's write waits for at most 1 MiB to be copied. */
const PIECE = 256

/** A run of neighbours of a chain, the layer over it, and what is under it. */
interface Merge {
  readonly layers: VolumeLayers
  readonly target: StoredLayer
  readonly written: WrittenLayer
  readonly sources: readonly StoredLayer[]
  /** First cluster that no layer under the run has. */
  readonly belowEnd: number
}

/**
 * Copies what a run of neighbouring layers has up into the layer over it, wherever that one asks its parent.
 * Changes no content, so it may die or be ended anywhere and be run again. On disk when done.
 * @param layerIds top first
 * @throws BlockError, or the signal's reason
 */
export async function mergeLayers(
  layers: VolumeLayers,
  layerIds: readonly string[],
  work: MergeWork = {},
): Promise<void> {
  if (layerIds.length === 0) return
  const at = runAt(layers.all, layerIds)
  const target = layers.all[at - 1]
  if (target === undefined) throw new Error(`layer ${layerIds.join(', ')} has no layer over it to merge into`)
  const sources = layers.all.slice(at, at + layerIds.length)
  const belowEnd = Math.max(0, ...layers.all.slice(at + layerIds.length).map((layer) => layer.clusterCount))
  const written = await target.beginWriting()
  try {
    await mergePages({ layers, target, written, sources, belowEnd }, work)
  } finally {
    target.endWriting()
  }
  await target.settle()
}

/** Where in the chain the run begins. @throws Error when the layers are not neighbours in this order */
export function runAt(all: readonly StoredLayer[], layerIds: readonly string[]): number {
  const at = all.findIndex((layer) => layer.layerId === layerIds[0])
  if (at >= 0 && layerIds.every((layerId, i) => all[at + i]?.layerId === layerId)) return at
  throw new Error(`${layerIds.join(', ')} is no run of layers of this volume`)
}

async function mergePages(merge: Merge, { onProgress, signal }: MergeWork): Promise<void> {
  const pages = pagesOf(merge)
  const buffer = new Uint8Array(PIECE * CLUSTER_BYTES)
  for (const [done, pageNo] of pages.entries()) {
    const first = pageNo * CLUSTERS_PER_PAGE
    const end = Math.min(first + CLUSTERS_PER_PAGE, merge.target.clusterCount)
    for (let n = nextOwn(merge, first, end); n < end; n = nextOwn(merge, n + PIECE, end)) {
      signal?.throwIfAborted()
      const last = Math.min(n + PIECE, end) - 1
      await merge.layers.locks.hold(n, last, () => mergePiece(merge, n, last, buffer))
    }
    onProgress?.((done + 1) / pages.length)
    await setImmediate() // a page that has nothing to copy is scanned without a wait
  }
}

/** Map pages in which the run says something, or hides what is under it by its own end. */
function pagesOf({ sources, belowEnd }: Merge): number[] {
  const pages = new Set(sources.flatMap((source) => source.map.pageNumbers()))
  const ownEnd = Math.min(...sources.map((source) => source.clusterCount))
  for (let n = ownEnd; n < belowEnd; n += CLUSTERS_PER_PAGE) pages.add(Math.floor(n / CLUSTERS_PER_PAGE))
  if (ownEnd < belowEnd) pages.add(Math.floor((belowEnd - 1) / CLUSTERS_PER_PAGE))
  return [...pages].sort((a, b) => a - b)
}

/** First cluster from `n` on that is to be copied; `end` when there is none. */
function nextOwn(merge: Merge, n: number, end: number): number {
  let at = n
  while (at < end && wishOf(merge, at) === LEAVE) at++
  return Math.min(at, end)
}

const LEAVE = -1
const ZERO = -2

/** What is to be done for cluster `n`: nothing, zero, or the index of the source that has its bytes. */
function wishOf({ target, sources, belowEnd }: Merge, n: number): number {
  if (target.map.get(n) !== STATE.parent) return LEAVE
  const hidden = n < belowEnd ? ZERO : LEAVE // nothing is under it: it reads as zeros anyway
  for (let i = 0; i < sources.length; i++) {
    const source = sources[i]
    if (source === undefined || n >= source.clusterCount) return hidden
    const state = source.map.get(n)
    if (state === STATE.here) return i
    if (state === STATE.zero) return hidden
  }
  return LEAVE
}

async function mergePiece(merge: Merge, first: number, last: number, buffer: Uint8Array): Promise<void> {
  try {
    for (let n = first; n <= last;) {
      const wish = wishOf(merge, n)
      let end = n + 1
      while (end <= last && wishOf(merge, end) === wish) end++
      if (wish === ZERO) merge.written.mark([{ first: n, last: end - 1 }], STATE.zero)
      else if (wish !== LEAVE) await copyUp(merge, wish, [n, end - 1], buffer)
      n = end
    }
  } catch (err) {
    throw blockFailure(`merge of clusters ${first} to ${last}`, err)
  }
}

async function copyUp(
  merge: Merge,
  index: number,
  [first, last]: readonly [number, number],
  buffer: Uint8Array,
): Promise<void> {
  const { layers, target, written, sources } = merge
  const { files, cache } = layers.store
  const bytes = buffer.subarray(0, (last - first + 1) * CLUSTER_BYTES)
  const at = first * CLUSTER_BYTES
  await settled((done) => files.read(sources[index]?.dataFd ?? -1, bytes, at, done))
  await settled((done) => files.write(target.dataFd, bytes, at, done))
  written.mark([{ first, last }], STATE.here)
  cache?.invalidate(target.layerId, at, at + bytes.length)
}

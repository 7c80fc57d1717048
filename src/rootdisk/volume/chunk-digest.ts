import { createHash, webcrypto } from 'node:crypto'
import { CLUSTER_BYTES, type ClusterMap } from './cluster-map.js'

/** Bytes that one digest of a manifest covers: 4 MiB. */
export const CHUNK_BYTES = 4 << 20

/** SHA-256 of 4 MiB of zeros, so that holes cost nothing. */
export const ZERO_CHUNK_SHA256 = 'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8'

const ZERO_CHUNK = Buffer.alloc(CHUNK_BYTES)

/** Chunks that `sizeBytes` make; the last may be short. */
export function chunksFor(sizeBytes: number): number {
  return Math.ceil(sizeBytes / CHUNK_BYTES)
}

/** Whether `bytes` (at most one chunk) are all zeros. */
export function isZero(bytes: Uint8Array): boolean {
  return ZERO_CHUNK.subarray(0, bytes.length).equals(bytes)
}

/** SHA-256 of one chunk as hex, computed on the libuv pool. */
export async function chunkSha256(bytes: Uint8Array): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex')
}

/** SHA-256 of a chunk of zeros; `length` is the chunk's. */
export function zeroSha256(length: number): string {
  if (length === CHUNK_BYTES) return ZERO_CHUNK_SHA256
  return createHash('sha256').update(ZERO_CHUNK.subarray(0, length)).digest('hex')
}

/**
 * The digest of a whole disk: SHA-256 over the binary SHA-256 digests of its 4 MiB chunks in order (the last
 * chunk may be short). Not the SHA-256 of the bytes: that would take hours for a large disk of mostly holes.
 * @param digests hex digests by chunk number; a chunk not named is zeros
 */
export function diskSha256(sizeBytes: number, digests: ReadonlyMap<number, string>): string {
  const hash = createHash('sha256')
  const count = chunksFor(sizeBytes)
  for (let i = 0; i < count; i++) {
    const length = Math.min(CHUNK_BYTES, sizeBytes - i * CHUNK_BYTES)
    hash.update(Buffer.from(digests.get(i) ?? zeroSha256(length), 'hex'))
  }
  return hash.digest('hex')
}

/** SHA-256 over what a map says: for each page that is not empty its number (decimal, NUL) and its bytes. */
export function mapSha256(map: ClusterMap): string {
  const hash = createHash('sha256')
  for (const pageNo of map.pageNumbers()) hash.update(`${pageNo}\0`).update(map.page(pageNo) ?? '')
  return hash.digest('hex')
}

/** Runs of clusters in `chunk` that are not all zeros, as byte ranges in it. */
export function dataRuns(chunk: Uint8Array): { from: number; to: number }[] {
  const runs: { from: number; to: number }[] = []
  for (let at = 0; at < chunk.length; at += CLUSTER_BYTES) {
    const to = Math.min(at + CLUSTER_BYTES, chunk.length)
    if (isZero(chunk.subarray(at, to))) continue
    const before = runs.at(-1)
    if (before?.to === at) before.to = to
    else runs.push({ from: at, to })
  }
  return runs
}

/** How long work over chunks is watched and ended. */
export interface ChunkWork {
  readonly signal?: AbortSignal | undefined
  /** Called with the bytes dealt with so far. */
  readonly onProgress?: ((doneBytes: number) => void) | undefined
}

const CHUNKS_AT_ONCE = 2

/**
 * Calls `work` for each chunk, two at a time, in order of their start; each has a buffer that it may use.
 * @throws the first failure, or the signal's reason, once no work is running any more
 */
export async function eachChunk(
  sizeBytes: number,
  options: ChunkWork,
  work: (index: number, buffer: Uint8Array) => Promise<void> | undefined,
): Promise<void> {
  const count = chunksFor(sizeBytes)
  let next = 0
  const worker = async (): Promise<void> => {
    const buffer = new Uint8Array(CHUNK_BYTES)
    while (next < count) {
      options.signal?.throwIfAborted()
      const index = next++
      const length = Math.min(CHUNK_BYTES, sizeBytes - index * CHUNK_BYTES)
      const running = work(index, buffer.subarray(0, length))
      if (running === undefined) continue // a hole: no promise, so that terabytes of them are quick
      await running
      options.onProgress?.(Math.min(next * CHUNK_BYTES, sizeBytes))
    }
  }
  const stopAll = (err: unknown): never => {
    next = count
    throw err
  }
  const workers = Array.from({ length: CHUNKS_AT_ONCE }, () => worker().catch(stopAll))
  const failed = (await Promise.allSettled(workers)).find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  options.onProgress?.(sizeBytes)
}

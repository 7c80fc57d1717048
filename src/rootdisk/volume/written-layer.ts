import { blockFailure } from './block-failure.js'
import { clustersFor, CLUSTER_BYTES, type ClusterRange, type ClusterState } from './cluster-map.js'
import { FlushSequence } from './flush-sequence.js'
import { flushToDisk, type FlushedParts } from './flush-to-disk.js'
import type { LayerFiles } from './layer-files.js'
import { mapFileBytes } from './map-file.js'

/**
 * What a layer has while its map on disk may be behind: the live map and the order of flushes.
 * The top of a volume has it always; a parent has it while it is merged into, or when the process that
 * wrote it died, or a snapshot was taken, before a flush.
 */
export class WrittenLayer {
  readonly #files: LayerFiles
  readonly #parts: FlushedParts
  readonly #livePath: string
  readonly #flushes: FlushSequence

  constructor(files: LayerFiles, parts: FlushedParts, livePath: string) {
    this.#files = files
    this.#parts = parts
    this.#livePath = livePath
    this.#flushes = new FlushSequence(() => flushToDisk(files, parts))
  }

  /** Whether nothing is left that power loss could take. */
  get isFlushed(): boolean {
    return this.#flushes.isFlushed
  }

  /**
   * Gives clusters a state whose bytes are in the kernel; call before the change is acknowledged.
   * @throws the file system's error (tmpfs is full); some of them may have it then
   */
  mark(ranges: readonly ClusterRange[], state: ClusterState): void {
    this.#flushes.noteChange()
    this.#parts.live.mark(ranges, state)
  }

  /** Done when everything marked before the call survives power loss. @throws BlockError */
  flush(): undefined | Promise<void> {
    return this.#flushes.flush()
  }

  /** Makes both files longer, then their headers say so, on disk too. May be repeated. @throws BlockError */
  async grow(sizeBytes: number): Promise<void> {
    const { live, dataFd, diskMapFd } = this.#parts
    try {
      await this.#files.truncate(dataFd, clustersFor(sizeBytes) * CLUSTER_BYTES)
      await this.#files.truncate(diskMapFd, mapFileBytes(sizeBytes))
      await live.grow(sizeBytes)
    } catch (err) {
      throw blockFailure(`grow to ${sizeBytes} bytes`, err)
    }
    this.#flushes.noteChange() // now, so that a flush that ran meanwhile does not pass for ours
    await this.flush()
  }

  /** Closes the map files; the live map goes when nothing depends on it any more. */
  async end(): Promise<void> {
    try {
      if (this.isFlushed) await this.#files.remove(this.#livePath)
    } finally {
      await this.#files.close(this.#parts.diskMapFd)
      await this.#parts.live.close()
    }
  }
}

import { CLUSTER_BYTES, STATE } from './cluster-map.js'
import type { StoredLayer } from './stored-layer.js'
import type { VolumeLayers } from './volume-layers.js'

/** 64 KiB: less is not worth a system call, let alone a process. */
const LEAST_CLUSTERS = 16

/** 256 MiB: a guest's write to the range waits as long as it takes to punch it. */
const MOST_CLUSTERS = 1 << 16

/** Ranges that are remembered; a guest that trims crumbs all over its disk gets less space back. */
const MOST_RANGES = 4096

interface Range {
  first: number
  last: number
}

/**
 * Gives the space of unmapped clusters of the top layer back to the file system, in the background, one range
 * at a time. A range is punched under its lock and only where the map still says zero, so a cluster that was
 * written again keeps its bytes. After power loss a punched cluster that the map on disk still names reads as
 * zeros: what the unmap made of it.
 */
export class SpaceReturn {
  readonly #layers: VolumeLayers
  #ranges: Range[] = []
  #isRunning = false
  #hasGivenUp = false

  constructor(layers: VolumeLayers) {
    this.#layers = layers
  }

  /** Notes clusters that hold bytes which nothing names any more. */
  add(first: number, last: number): void {
    if (this.#hasGivenUp) return
    this.#ranges = withRange(this.#ranges, { first, last })
    if (this.#isRunning || !this.#ranges.some(isWorthIt)) return
    this.#isRunning = true
    void this.#run()
  }

  /** Leaves what is not done yet: the layer is no longer the top. */
  forget(): void {
    this.#ranges = []
  }

  async #run(): Promise<void> {
    try {
      for (let range = this.#next(); range !== undefined; range = this.#next()) {
        await this.#layers.locks.hold(range.first, range.last, () => this.#punch(range))
      }
    } catch (cause) {
      this.#hasGivenUp = true
      this.#ranges = []
      this.#layers.store.reportNoPunch(cause)
    }
    this.#isRunning = false
  }

  #next(): Range | undefined {
    const at = this.#ranges.findIndex(isWorthIt)
    const range = this.#ranges[at]
    if (range === undefined) return undefined
    if (range.last - range.first < MOST_CLUSTERS) {
      this.#ranges.splice(at, 1)
      return range
    }
    const part = { first: range.first, last: range.first + MOST_CLUSTERS - 1 }
    range.first = part.last + 1
    return part
  }

  async #punch({ first, last }: Range): Promise<void> {
    const { top, store } = this.#layers
    for (let n = first; n <= last;) {
      const end = runOfZeros(top, n, last)
      if (end - n >= LEAST_CLUSTERS) {
        await store.punchHole(top.layerId, n * CLUSTER_BYTES, (end - n) * CLUSTER_BYTES)
      }
      n = end + 1
    }
  }
}

function isWorthIt({ first, last }: Range): boolean {
  return last - first + 1 >= LEAST_CLUSTERS
}

/** First cluster from `n` on, at most `last + 1`, that is not in state zero. */
function runOfZeros({ map }: StoredLayer, n: number, last: number): number {
  let end = n
  while (end <= last && map.get(end) === STATE.zero) end++
  return end
}

/** The ranges and one more, those that touch made one; the smallest forgotten when there are too many. */
function withRange(ranges: readonly Range[], added: Range): Range[] {
  const merged = { ...added }
  const apart = ranges.filter(({ first, last }) => {
    if (last < added.first - 1 || first > added.last + 1) return true
    merged.first = Math.min(merged.first, first)
    merged.last = Math.max(merged.last, last)
    return false
  })
  if (apart.length >= MOST_RANGES) apart.splice(smallest(apart), 1)
  return [...apart, merged]
}

function smallest(ranges: readonly Range[]): number {
  const lengths = ranges.map(({ first, last }) => last - first)
  return lengths.indexOf(Math.min(...lengths))
}

/** Bytes in a cluster, the unit of copy-on-write. */
export const CLUSTER_BYTES = 4096

/** Bytes of the largest disk: 64 TiB. */
export const MAX_SIZE_BYTES = 2 ** 46

/** Bytes in a map page, the unit in which a map is kept in memory and written to disk. */
export const MAP_PAGE_BYTES = 4096

/** Two bits each: one page speaks of 64 MiB. */
export const CLUSTERS_PER_PAGE = MAP_PAGE_BYTES * 4

/** Clusters `first` to `last`. */
export interface ClusterRange {
  readonly first: number
  readonly last: number
}

/** What a layer says of a cluster. */
export const STATE = { parent: 0, here: 1, zero: 2 } as const

/** One of {@link STATE}. */
export type ClusterState = (typeof STATE)[keyof typeof STATE]

/** Clusters that `sizeBytes` need. */
export function clustersFor(sizeBytes: number): number {
  return Math.ceil(sizeBytes / CLUSTER_BYTES)
}

/** Map pages that `sizeBytes` need. */
export function mapPagesFor(sizeBytes: number): number {
  return Math.ceil(clustersFor(sizeBytes) / CLUSTERS_PER_PAGE)
}

/**
 * The states of a layer's clusters, in pages; a missing page is all `parent`.
 * Memory goes with what was written, not with the size: at most 4 KiB for each 64 MiB touched.
 */
export class ClusterMap {
  readonly #pages = new Map<number, Uint8Array>()

  /** State of cluster `n`; any 53-bit number. */
  get(n: number): ClusterState {
    const pageNo = Math.floor(n / CLUSTERS_PER_PAGE)
    const page = this.#pages.get(pageNo)
    if (page === undefined) return STATE.parent
    return stateIn(page, n - pageNo * CLUSTERS_PER_PAGE)
  }

  /** The page itself, not a copy; undefined when all of it asks the parent. */
  page(pageNo: number): Uint8Array | undefined {
    return this.#pages.get(pageNo)
  }

  /** Puts `bytes` at byte `at` of a page. */
  put(pageNo: number, bytes: Uint8Array, at = 0): void {
    let page = this.#pages.get(pageNo)
    if (page === undefined) {
      page = new Uint8Array(MAP_PAGE_BYTES)
      this.#pages.set(pageNo, page)
    }
    page.set(bytes, at)
  }

  /** Gives clusters `first` to `last` a state. */
  mark(first: number, last: number, state: ClusterState): void {
    for (let n = first; n <= last;) {
      const pageNo = Math.floor(n / CLUSTERS_PER_PAGE)
      const pageFirst = pageNo * CLUSTERS_PER_PAGE
      const to = Math.min(last - pageFirst, CLUSTERS_PER_PAGE - 1)
      const page = this.#pages.get(pageNo) ?? new Uint8Array(MAP_PAGE_BYTES)
      this.#pages.set(pageNo, page)
      paint(page, n - pageFirst, to, state)
      n = pageFirst + to + 1
    }
  }

  /** Numbers of the pages that exist, ascending. */
  pageNumbers(): number[] {
    return [...this.#pages.keys()].sort((a, b) => a - b)
  }

  /** Clusters whose bytes are in this layer. */
  countHere(): number {
    let count = 0
    for (const page of this.#pages.values()) {
      for (const byte of page) if (byte !== 0) count += hereIn(byte)
    }
    return count
  }
}

/** State of the cluster at `index` of a page. */
export function stateIn(page: Uint8Array, index: number): ClusterState {
  const bits = ((page[index >> 2] ?? 0) >> ((index & 3) * 2)) & 3
  return bits === STATE.zero ? STATE.zero : bits === STATE.parent ? STATE.parent : STATE.here
}

/** Gives clusters `first` to `last` of `bytes` the state. */
export function paint(bytes: Uint8Array, first: number, last: number, state: ClusterState): void {
  const whole = state * 0x55
  for (let i = first; i <= last;) {
    if ((i & 3) === 0 && i + 3 <= last) {
      bytes[i >> 2] = whole
      i += 4
      continue
    }
    const shift = (i & 3) * 2
    bytes[i >> 2] = ((bytes[i >> 2] ?? 0) & ~(3 << shift)) | (state << shift)
    i++
  }
}

/** Whether clusters `first` to `last` of a page all have the state. */
export function isAll(page: Uint8Array, first: number, last: number, state: ClusterState): boolean {
  for (let i = first; i <= last; i++) if (stateIn(page, i) !== state) return false
  return true
}

function hereIn(byte: number): number {
  const odd = (byte >> 1) & 0x55
  let here = byte & 0x55 & ~odd
  here = (here & 0x11) + ((here >> 2) & 0x11)
  return (here & 0xf) + (here >> 4)
}

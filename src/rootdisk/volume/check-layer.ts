import { stat } from 'node:fs/promises'
import { systemCode } from '../../errors.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import {
  CLUSTER_BYTES,
  CLUSTERS_PER_PAGE,
  clustersFor,
  stateIn,
  STATE,
  type ClusterMap,
} from './cluster-map.js'
import { nodeLayerFiles } from './layer-files.js'
import { layerPath, readDiskMap, type LayerSpec, type SizedMap } from './layer.js'
import { mapFileBytes } from './map-file.js'

/** What {@link checkLayer} found. */
export interface LayerCheck {
  /** One sentence each; none when the layer is sound. */
  readonly problems: readonly string[]
  /** Bytes of clusters that the map on disk names as the layer's own. */
  readonly allocatedBytes: number
  /** Bytes that the file system holds for the data; more than allocated when unmapped space was not given back. */
  readonly heldBytes: number
}

/**
 * Checks the files of a layer that nobody writes: that the map is one, fits the size, and names nothing beyond
 * the end, and that both files are as long as they must be. Reads the map, not the data: `verifyLayer` reads that.
 * @throws the file system's error
 */
export async function checkLayer(layersDir: string, layer: LayerSpec): Promise<LayerCheck> {
  const data = await statOf(layerPath(layersDir, layer.layerId, 'data'))
  const heldBytes = (data?.blocks ?? 0) * 512 // stat(2): st_blocks counts 512-byte units
  const map = await statOf(layerPath(layersDir, layer.layerId, 'map'))
  if (data === undefined || map === undefined) {
    return {
      problems: [`the ${data === undefined ? 'data' : 'map'} file is missing`],
      allocatedBytes: 0,
      heldBytes,
    }
  }
  const disk = await readDiskMap(layersDir, layer, nodeLayerFiles).catch(damage)
  if (typeof disk === 'string') return { problems: [disk], allocatedBytes: 0, heldBytes }
  const problems = [
    ...lengthProblems('data', data.size, clustersFor(disk.sizeBytes) * CLUSTER_BYTES),
    ...lengthProblems('map', map.size, mapFileBytes(disk.sizeBytes)),
    ...mapProblems(disk),
  ]
  return { problems, allocatedBytes: disk.map.countHere() * CLUSTER_BYTES, heldBytes }
}

function lengthProblems(name: string, has: number, needs: number): string[] {
  return has < needs ? [`the ${name} file has ${has} bytes, fewer than ${needs}`] : []
}

function mapProblems({ map, sizeBytes }: SizedMap): string[] {
  const clusters = clustersFor(sizeBytes)
  const beyond = countBeyond(map, clusters)
  const invalid = map.pageNumbers().reduce((sum, pageNo) => sum + invalidIn(map.page(pageNo)), 0)
  return [
    ...(beyond > 0 ? [`the map names ${beyond} clusters beyond the end, cluster ${clusters}`] : []),
    ...(invalid > 0 ? [`${invalid} clusters have a state that does not exist`] : []),
  ]
}

/** Clusters from `end` on, in the last page, that are not `parent`. */
function countBeyond(map: ClusterMap, end: number): number {
  const pageNo = Math.floor(end / CLUSTERS_PER_PAGE)
  const page = map.page(pageNo)
  if (page === undefined) return 0
  let count = 0
  for (let i = end - pageNo * CLUSTERS_PER_PAGE; i < CLUSTERS_PER_PAGE; i++) {
    if (stateIn(page, i) !== STATE.parent) count++
  }
  return count
}

/** Clusters of a page with both bits set. */
function invalidIn(page: Uint8Array = new Uint8Array()): number {
  let count = 0
  for (const byte of page) {
    for (let both = byte & (byte >> 1) & 0x55; both !== 0; both &= both - 1) count++
  }
  return count
}

async function statOf(path: string): Promise<{ size: number; blocks: number } | undefined> {
  try {
    return await stat(path)
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return undefined
    throw err
  }
}

/** What is wrong with a map that cannot be read; a disk that cannot be read at all is no finding. */
function damage(err: unknown): string {
  if (err instanceof MalformedPacket) return err.message
  if (err instanceof Error && (systemCode(err) === undefined || systemCode(err) === 'EIO')) return err.message
  throw err
}

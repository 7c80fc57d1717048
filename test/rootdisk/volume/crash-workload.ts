import fc from 'fast-check'
import { GoldenCache } from '../../../src/rootdisk/volume/golden-cache.js'
import type { LayerSpec } from '../../../src/rootdisk/volume/layer.js'
import { openVolume } from '../../../src/rootdisk/volume/open-volume.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'
import type { MemoryFiles } from './memory-files.js'

export const CLUSTER = 4096
export const LAYERS_DIR = '/nowhere/layers'
export const RUN_DIR = '/nowhere/run'
const BOOT_ID = 'the first boot'

/** A change that a guest or an operator makes. */
export type Op =
  | { kind: 'write'; offset: number; length: number }
  | { kind: 'unmap' | 'read'; first: number; count: number }
  | { kind: 'flush' | 'push' | 'flatten' | 'reopen' | 'kill' }
  | { kind: 'merge' | 'drop'; at: number }
  | { kind: 'grow'; bytes: number }

/** What is known at a point of the log; by cluster, as indexes of its versions. */
export interface Note {
  readonly submitted: readonly number[]
  readonly acked: readonly number[]
  readonly flushed: readonly number[]
  /** What the registry says: top first. */
  readonly wished: readonly LayerSpec[]
  readonly snapshots: readonly Snapshot[]
}

/** A layer under which nothing changes any more, and the versions that it may show. */
export interface Snapshot {
  readonly layerId: string
  readonly from: readonly number[]
  readonly to: readonly number[]
}

/** What dies with a process. */
interface Running {
  readonly volume: Volume
  readonly cache: GoldenCache
}

/** Room for two chunks: layers drive each other out. */
function smallCache(): GoldenCache {
  return new GoldenCache(128 << 10)
}

/** Runs operations and keeps, per cluster, each content it was ever asked to have. */
export class Workload {
  readonly files: MemoryFiles
  readonly versions: Buffer[][] = []
  volume: Volume
  #wished: readonly LayerSpec[]
  #acked: number[] = []
  #flushed: number[] = []
  #snapshots: readonly Snapshot[] = []
  #cache: GoldenCache
  #value = 10
  #made = 0

  private constructor(files: MemoryFiles, wished: readonly LayerSpec[], running: Running) {
    this.files = files
    this.#wished = wished
    this.volume = running.volume
    this.#cache = running.cache
  }

  /** A clone of an image of `clusters` clusters over a smaller base; what is in them is durable. */
  static async begin(files: MemoryFiles, clusters: number): Promise<Workload> {
    const wished = ['top', 'image', 'base'].map((layerId, i) => ({
      layerId,
      sizeBytes: (clusters - i) * CLUSTER - (i === 1 ? 700 : 0),
    }))
    for (const layer of wished) files.makeLayer(LAYERS_DIR, layer)
    for (const i of [2, 1]) {
      const below = await open(files, wished.slice(i))
      for (let n = 2 - i; n < clusters - i - 1; n += 3) {
        await below.write(n * CLUSTER + 300, Buffer.alloc(CLUSTER, i))
      }
      await below.close()
    }
    const cache = smallCache()
    const volume = await open(files, wished, cache)
    const work = new Workload(files, wished, { volume, cache })
    const content = Buffer.alloc(clusters * CLUSTER)
    await work.volume.read(0, content)
    work.#extend(content)
    work.note()
    return work
  }

  /** Groups of operations that are under way at once. */
  async run(groups: readonly (readonly Op[])[]): Promise<void> {
    for (const group of groups) await Promise.all(group.map((op) => this.#start(op)))
    await this.#start({ kind: 'flush' })
  }

  note(): void {
    const note: Note = {
      submitted: this.versions.map((versions) => versions.length - 1),
      acked: [...this.#acked],
      flushed: this.#flushed,
      wished: this.#wished,
      snapshots: this.#snapshots,
    }
    this.files.log.push({ kind: 'note', note })
  }

  get #sizeBytes(): number {
    return this.#wished[0]?.sizeBytes ?? 0
  }

  #extend(content: Buffer): void {
    for (let at = 0; at < content.length; at += CLUSTER) {
      const cluster = Buffer.alloc(CLUSTER)
      content.copy(cluster, 0, at, at + CLUSTER)
      this.versions.push([cluster])
      this.#acked.push(0)
      this.#flushed = [...this.#flushed, 0]
    }
  }

  async #start(op: Op): Promise<void> {
    if (op.kind === 'write') await this.#write(op.offset, op.length)
    else if (op.kind === 'unmap') await this.#unmap(op.first, op.count)
    else if (op.kind === 'read') await this.#read(op.first, op.count)
    else if (op.kind === 'flush') await this.#flush(() => this.volume.flush())
    else if (op.kind === 'push') await this.#push()
    else if (op.kind === 'grow') await this.#grow(op.bytes)
    else if (op.kind === 'flatten') await this.volume.flatten()
    else if (op.kind === 'merge' || op.kind === 'drop') await this.#merge(op.at, op.kind === 'drop')
    else {
      if (op.kind === 'reopen') await this.#flush(() => this.volume.close())
      else this.#cache = smallCache()
      this.volume = await open(this.files, this.#wished, this.#cache)
    }
  }

  async #write(offset: number, wishedLength: number): Promise<void> {
    const bytes = Buffer.alloc(Math.min(wishedLength, this.volume.sizeBytes - offset), this.#value++)
    const reached = this.#submit(offset, bytes)
    await this.volume.write(offset, bytes)
    this.#acknowledge(reached)
  }

  async #unmap(first: number, count: number): Promise<void> {
    const length = Math.min(count * CLUSTER, this.volume.sizeBytes - first * CLUSTER)
    const whole = first * CLUSTER + length === this.volume.sizeBytes ? length : length - (length % CLUSTER)
    const reached = this.#submit(first * CLUSTER, Buffer.alloc(whole))
    await this.volume.unmap(first * CLUSTER, whole)
    this.#acknowledge(reached)
  }

  /** @throws Error when it brings what was older than acknowledged when it began */
  async #read(first: number, count: number): Promise<void> {
    const acked = [...this.#acked]
    const into = Buffer.alloc(Math.min(count * CLUSTER, this.volume.sizeBytes - first * CLUSTER))
    await this.volume.read(first * CLUSTER, into)
    for (let at = 0; at < into.length; at += CLUSTER) {
      const n = first + at / CLUSTER
      const bytes = into.subarray(at, at + CLUSTER)
      const allowed = this.versions[n]?.slice(acked[n]) ?? []
      if (!allowed.some((version) => version.subarray(0, bytes.length).equals(bytes)))
        throw new Error(`cluster ${String(n)} is older than its last write`)
    }
  }

  #submit(offset: number, bytes: Buffer): [number, number][] {
    const reached: [number, number][] = []
    for (let n = Math.floor(offset / CLUSTER); n * CLUSTER < offset + bytes.length; n++) {
      const versions = this.versions[n] ?? []
      const next = Buffer.from(versions.at(-1) ?? [])
      const from = Math.max(0, n * CLUSTER - offset)
      bytes.copy(next, Math.max(0, offset - n * CLUSTER), from, (n + 1) * CLUSTER - offset)
      reached.push([n, versions.push(next) - 1])
    }
    this.note()
    return reached
  }

  #acknowledge(reached: [number, number][]): void {
    for (const [n, version] of reached) this.#acked[n] = Math.max(this.#acked[n] ?? 0, version)
    this.note()
  }

  async #flush(flush: () => undefined | Promise<void>): Promise<void> {
    const covered = [...this.#acked]
    await flush()
    this.#flushed = this.#flushed.map((old, n) => Math.max(old, covered[n] ?? 0))
    this.note()
  }

  /** The registry first, then the volume: the order in which a daemon may die. */
  async #push(): Promise<void> {
    const layerId = `snap${String(this.#made++)}`
    const layer = { layerId, sizeBytes: this.#sizeBytes }
    this.files.makeLayer(LAYERS_DIR, layer)
    const frozen = this.#wished[0]?.layerId ?? ''
    const from = [...this.#acked]
    this.#wished = [layer, ...this.#wished]
    this.note()
    await this.volume.pushLayer(layer)
    const to = this.versions.map((versions) => versions.length - 1)
    this.#snapshots = [...this.#snapshots, { layerId: frozen, from, to }]
    this.note()
  }

  async #merge(at: number, isDropped: boolean): Promise<void> {
    const layerId = this.#wished[1 + at]?.layerId
    if (layerId === undefined || !this.volume.layerIds.slice(1).includes(layerId)) return
    await this.volume.mergeLayer(layerId)
    if (!isDropped) return
    this.#wished = this.#wished.filter((layer) => layer.layerId !== layerId)
    this.note()
    await this.volume.dropLayer(layerId)
  }

  async #grow(bytes: number): Promise<void> {
    const [top, ...parents] = this.#wished
    if (top === undefined) return
    const sizeBytes = top.sizeBytes + bytes
    const added = Math.ceil(sizeBytes / CLUSTER) - this.versions.length
    this.#extend(Buffer.alloc(added * CLUSTER))
    this.#wished = [{ ...top, sizeBytes }, ...parents]
    this.note()
    await this.volume.grow(sizeBytes)
  }
}

function open(files: MemoryFiles, chain: readonly LayerSpec[], cache?: GoldenCache): Promise<Volume> {
  return openVolume({
    layersDir: LAYERS_DIR,
    runDir: RUN_DIR,
    bootId: BOOT_ID,
    chain,
    isReadOnly: false,
    files,
    cache,
  })
}

/** Opens what a crash left as a daemon would: in the same boot after a kill, in another after power loss. */
export function openAfter(
  files: MemoryFiles,
  chain: readonly LayerSpec[],
  options: { isSameBoot: boolean; isReadOnly: boolean },
): Promise<Volume> {
  const bootId = options.isSameBoot ? BOOT_ID : 'the next boot'
  const { isReadOnly } = options
  return openVolume({ layersDir: LAYERS_DIR, runDir: RUN_DIR, bootId, chain, isReadOnly, files })
}

/** Random groups of operations on a disk of `clusters` clusters; `changes` of the layers among them. */
export function groupsOf(clusters: number): fc.Arbitrary<Op[][]> {
  const write = fc
    .tuple(
      fc.nat(clusters - 1),
      fc.constantFrom(0, 0, 0, 512, 3000),
      fc.constantFrom(CLUSTER, CLUSTER, 700, 2 * CLUSTER),
    )
    .map(([n, shift, length]): Op => ({ kind: 'write', offset: n * CLUSTER + shift, length }))
  const unmap = fc
    .tuple(fc.nat(clusters - 1), fc.integer({ min: 1, max: 3 }))
    .map(([first, count]): Op => ({ kind: 'unmap', first, count }))
  const read = fc
    .tuple(fc.nat(clusters - 1), fc.integer({ min: 1, max: 3 }))
    .map(([first, count]): Op => ({ kind: 'read', first, count }))
  const flush = fc.constant<Op>({ kind: 'flush' })
  const guest = fc.oneof(
    { weight: 5, arbitrary: write },
    { weight: 2, arbitrary: unmap },
    { weight: 2, arbitrary: flush },
    { weight: 3, arbitrary: read },
  )
  const at = fc.nat(3)
  const change = fc.oneof(
    { weight: 3, arbitrary: fc.constant<Op>({ kind: 'push' }) },
    { weight: 2, arbitrary: at.map((n): Op => ({ kind: 'merge', at: n })) },
    { weight: 2, arbitrary: at.map((n): Op => ({ kind: 'drop', at: n })) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(900, CLUSTER, 5000).map((bytes): Op => ({ kind: 'grow', bytes })),
    },
    { weight: 1, arbitrary: fc.constant<Op>({ kind: 'flatten' }) },
  )
  const busy = fc.array(guest, { minLength: 1, maxLength: 4 })
  const group = fc.oneof(
    { weight: 4, arbitrary: busy },
    { weight: 3, arbitrary: fc.tuple(change, busy).map(([first, rest]) => [first, ...rest]) },
    { weight: 1, arbitrary: fc.constantFrom<Op[]>([{ kind: 'reopen' }], [{ kind: 'kill' }]) },
  )
  return fc.array(group, { minLength: 3, maxLength: 7 })
}

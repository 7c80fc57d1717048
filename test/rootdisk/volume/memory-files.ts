import { CLUSTER_BYTES, clustersFor } from '../../../src/rootdisk/volume/cluster-map.js'
import { layerPath, type LayerSpec } from '../../../src/rootdisk/volume/layer.js'
import type { IoDone, LayerFiles, OpenMode } from '../../../src/rootdisk/volume/layer-files.js'
import { encodeMapHeader, mapFileBytes, UsedGroups } from '../../../src/rootdisk/volume/map-file.js'

/** A file of blocks that are never changed, only replaced: copies of it share them. A missing block is zeros. */
export interface MemoryFile {
  readonly size: number
  readonly blocks: ReadonlyMap<number, Buffer>
}

/** Files by path. */
export type Contents = Map<string, MemoryFile>

/** What reached the kernel, in its order. */
export type Entry =
  | { kind: 'write'; path: string; blocks: readonly (readonly [number, Buffer])[] }
  | { kind: 'size'; path: string; size: number }
  /** `fdatasync` has ended that began when the log had `began` entries. */
  | { kind: 'sync'; path: string; began: number }
  | { kind: 'remove'; path: string }
  /** The control plane made it, and synced it. */
  | { kind: 'made'; path: string; file: MemoryFile }
  | { kind: 'note'; note: unknown }

/** What survives or is lost as one: a page of data, a sector of a map. */
export function blockBytes(path: string): number {
  return path.endsWith('/data') ? CLUSTER_BYTES : 512
}

/** One for all: a stack trace for each would take a third of the time. */
const MISSING = Object.assign(new Error('no such file'), { code: 'ENOENT' })

const EMPTY: MemoryFile = { size: 0, blocks: new Map() }

/** Files in memory, everything at once. */
export class MemoryFiles implements LayerFiles {
  readonly contents: Contents
  readonly log: Entry[] = []
  readonly #paths: string[] = []

  constructor(contents: Contents = new Map<string, MemoryFile>()) {
    this.contents = contents
  }

  /** An empty layer, as `createLayer` makes it on a disk. */
  makeLayer(layersDir: string, { layerId, sizeBytes }: LayerSpec): void {
    const header = encodeMapHeader({ sizeBytes, bootId: '', usedGroups: new UsedGroups() }).subarray(0, 512)
    const data = { size: clustersFor(sizeBytes) * CLUSTER_BYTES, blocks: new Map<number, Buffer>() }
    const map = { size: mapFileBytes(sizeBytes), blocks: new Map([[0, header]]) }
    for (const [name, file] of [['data', data] as const, ['map', map] as const]) {
      const path = layerPath(layersDir, layerId, name)
      this.contents.set(path, file)
      this.log.push({ kind: 'made', path, file })
    }
  }

  open(path: string, mode: OpenMode): Promise<number> {
    if (mode === 'create' || mode === 'replace') {
      this.contents.set(path, EMPTY)
      this.log.push({ kind: 'size', path, size: 0 })
    } else if (!this.contents.has(path)) {
      return Promise.reject(MISSING)
    }
    return Promise.resolve(this.#paths.push(path) - 1)
  }

  read(fd: number, into: Uint8Array, position: number, done: IoDone): void {
    const path = this.pathOf(fd)
    const file = this.contents.get(path) ?? EMPTY
    if (position + into.length > file.size) {
      done(Object.assign(new Error(`${path} ends at ${String(file.size)}`), { code: 'EIO' }))
      return
    }
    const unit = blockBytes(path)
    for (let at = 0; at < into.length;) {
      const n = Math.floor((position + at) / unit)
      const from = position + at - n * unit
      const length = Math.min(unit - from, into.length - at)
      const block = file.blocks.get(n)
      if (block === undefined) into.fill(0, at, at + length)
      else into.set(block.subarray(from, from + length), at)
      at += length
    }
    done(null)
  }

  write(fd: number, from: Uint8Array, position: number, done: IoDone): void {
    this.writeSync(fd, from, position)
    done(null)
  }

  writeSync(fd: number, from: Uint8Array, position: number): void {
    this.put(this.pathOf(fd), from, position)
  }

  protected put(path: string, from: Uint8Array, position: number): void {
    const file = this.contents.get(path) ?? EMPTY
    const unit = blockBytes(path)
    const blocks: [number, Buffer][] = []
    for (let at = 0; at < from.length;) {
      const n = Math.floor((position + at) / unit)
      const start = position + at - n * unit
      const length = Math.min(unit - start, from.length - at)
      const block = Buffer.alloc(unit)
      file.blocks.get(n)?.copy(block)
      block.set(from.subarray(at, at + length), start)
      blocks.push([n, block])
      at += length
    }
    this.contents.set(path, applied(file, { kind: 'write', path, blocks }))
    this.log.push({ kind: 'write', path, blocks })
  }

  sync(fd: number, done: IoDone): void {
    this.log.push({ kind: 'sync', path: this.pathOf(fd), began: this.log.length })
    done(null)
  }

  truncate(fd: number, size: number): Promise<void> {
    const entry: Entry = { kind: 'size', path: this.pathOf(fd), size }
    this.contents.set(entry.path, applied(this.contents.get(entry.path) ?? EMPTY, entry))
    this.log.push(entry)
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  remove(path: string): Promise<void> {
    this.contents.delete(path)
    this.log.push({ kind: 'remove', path })
    return Promise.resolve()
  }

  punchHole(path: string, position: number, length: number): Promise<void> {
    this.put(path, Buffer.alloc(length), position)
    return Promise.resolve()
  }

  syncDirectory(): Promise<void> {
    return Promise.resolve()
  }

  pathOf(fd: number): string {
    return this.#paths[fd] ?? ''
  }
}

/** The file after something reached it. */
export function applied(file: MemoryFile, entry: Entry): MemoryFile {
  if (entry.kind === 'size') {
    const end = Math.ceil(entry.size / blockBytes(entry.path))
    const kept = entry.size < file.size ? [...file.blocks].filter(([n]) => n < end) : file.blocks
    return { size: entry.size, blocks: new Map(kept) }
  }
  if (entry.kind !== 'write') return file
  const unit = blockBytes(entry.path)
  const blocks = new Map(file.blocks)
  let { size } = file
  for (const [n, block] of entry.blocks) {
    blocks.set(n, block)
    size = Math.max(size, (n + 1) * unit)
  }
  return { size, blocks }
}

/**
 * Files of a slow kernel with a log: a write reaches the kernel some turns after it was asked for, out of order;
 * a sync makes durable only what was in the kernel when it began, the least that fdatasync promises.
 */
export class SlowFiles extends MemoryFiles {
  #turn: number
  readonly #ended: IoDone[] = []

  constructor(seed = 1) {
    super()
    this.#turn = 1 + seed
  }

  override read(fd: number, into: Uint8Array, position: number, done: IoDone): void {
    this.later(() => super.read(fd, into, position, (err) => this.later(() => done(err))))
  }

  override write(fd: number, from: Uint8Array, position: number, done: IoDone): void {
    this.later(() => {
      this.writeSync(fd, from, position)
      this.#tell(done)
    })
  }

  override sync(fd: number, done: IoDone): void {
    const began = this.log.length
    this.later(() => {
      this.log.push({ kind: 'sync', path: this.pathOf(fd), began })
      done(null)
    }, 9)
  }

  override punchHole(path: string, position: number, length: number): Promise<void> {
    return new Promise((resolve) => {
      this.later(() => {
        this.put(path, Buffer.alloc(length), position)
        this.later(resolve)
      })
    })
  }

  /** Writes that end about the same time are told together, as I/O threads do. */
  #tell(done: IoDone): void {
    this.#ended.push(done)
    if (this.#ended.length > 1) return
    this.later(() => {
      for (const each of this.#ended.splice(0)) each(null)
    })
  }

  /** After one to `most` turns of the event loop, by a fixed pseudo-random order. */
  protected later(run: () => void, most = 4): void {
    this.#turn = (this.#turn * 48271) % 2147483647
    let turns = this.#turn % most
    const wait = (): void => {
      if (turns-- <= 0) run()
      else setImmediate(wait)
    }
    setImmediate(wait)
  }
}

/** Takes the next entry of a log over, as the kernel did. */
export function replay(contents: Contents, entry: Entry): void {
  if (entry.kind === 'made') contents.set(entry.path, entry.file)
  else if (entry.kind === 'remove') contents.delete(entry.path)
  else if (entry.kind === 'write' || entry.kind === 'size') {
    contents.set(entry.path, applied(contents.get(entry.path) ?? EMPTY, entry))
  }
}

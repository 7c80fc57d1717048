import { readFileSync } from 'node:fs'
import type { IoDone, LayerFiles, OpenMode } from '../../../src/rootdisk/volume/layer-files.js'

/** What happened to the files, in the order of the kernel. */
export type Entry =
  | { kind: 'write'; path: string; position: number; bytes: Buffer }
  | { kind: 'truncate'; path: string; size: number }
  | { kind: 'sync'; path: string; began: number }
  | { kind: 'note'; note: Note }

/** What the test knows at a point of the log, by cluster: version numbers. */
export interface Note {
  submitted: number[]
  acked: number[]
  flushed: number[]
}

/**
 * Files in memory with a log. A write reaches the "kernel" some turns after it was asked for, out of order;
 * a sync makes durable only what was in the kernel when it began: the least that fdatasync promises.
 */
export class CrashDisk implements LayerFiles {
  readonly contents = new Map<string, Buffer>()
  readonly log: Entry[] = []
  readonly #paths: string[] = []
  /** Everything at once, for reading what a crash left. */
  isQuick = false
  #turn = 1

  /** Takes real files as they are as the durable beginning. */
  load(...paths: string[]): this {
    for (const path of paths) this.contents.set(path, readFileSync(path))
    return this
  }

  open(path: string, mode: OpenMode): Promise<number> {
    if (mode === 'create' || mode === 'replace') {
      this.contents.set(path, Buffer.alloc(0))
      this.log.push({ kind: 'truncate', path, size: 0 })
    } else if (!this.contents.has(path)) {
      return Promise.reject(Object.assign(new Error(`no ${path}`), { code: 'ENOENT' }))
    }
    return Promise.resolve(this.#paths.push(path) - 1)
  }

  read(fd: number, into: Uint8Array, position: number, done: IoDone): void {
    this.#later(() => {
      into.set(this.#of(fd).subarray(position, position + into.length))
      done(null)
    })
  }

  write(fd: number, from: Uint8Array, position: number, done: IoDone): void {
    this.#later(() => {
      this.writeSync(fd, from, position)
      this.#later(() => {
        done(null)
      })
    })
  }

  writeSync(fd: number, from: Uint8Array, position: number): void {
    const path = this.pathOf(fd)
    this.log.push({ kind: 'write', path, position, bytes: Buffer.from(from) })
    this.#of(fd).set(from, position)
  }

  sync(fd: number, done: IoDone): void {
    const began = this.log.length
    this.#later(() => {
      this.log.push({ kind: 'sync', path: this.pathOf(fd), began })
      done(null)
    }, 9)
  }

  truncate(fd: number, size: number): Promise<void> {
    const old = this.#of(fd)
    const resized = Buffer.alloc(size)
    old.copy(resized)
    this.contents.set(this.pathOf(fd), resized)
    this.log.push({ kind: 'truncate', path: this.pathOf(fd), size })
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  remove(path: string): Promise<void> {
    this.contents.delete(path)
    return Promise.resolve()
  }

  punchHole(): Promise<void> {
    return Promise.resolve()
  }

  syncDirectory(): Promise<void> {
    return Promise.resolve()
  }

  pathOf(fd: number): string {
    return this.#paths[fd] ?? ''
  }

  #of(fd: number): Buffer {
    return this.contents.get(this.pathOf(fd)) ?? Buffer.alloc(0)
  }

  /** After one to `most` turns of the event loop, by a fixed pseudo-random order. */
  #later(run: () => void, most = 4): void {
    if (this.isQuick) {
      queueMicrotask(run)
      return
    }
    this.#turn = (this.#turn * 48271) % 2147483647
    let turns = this.#turn % most
    const wait = (): void => {
      if (turns-- <= 0) run()
      else setImmediate(wait)
    }
    setImmediate(wait)
  }
}

/** A block of a file and the contents that it may have after power loss. */
interface Choice {
  path: string
  at: number
  versions: Buffer[]
}

/**
 * What the log's first `length` entries may leave after power loss: each block (4 KiB of data, 512 bytes of a
 * map) as of its last sync or as of any write since.
 */
export class PowerLoss {
  readonly #base: Map<string, Buffer>
  readonly #choices: Choice[]

  constructor(base: ReadonlyMap<string, Buffer>, log: readonly Entry[], length: number) {
    const kept = new Map<string, Buffer>([...base].map(([path, bytes]) => [path, Buffer.from(bytes)]))
    const durableUpTo = new Map<string, number>()
    for (const entry of log.slice(0, length)) {
      if (entry.kind === 'sync') durableUpTo.set(entry.path, entry.began)
    }
    const pending = new Map<string, Choice>()
    for (const [index, entry] of log.slice(0, length).entries()) {
      if (entry.kind !== 'write' || !base.has(entry.path)) continue
      const file = kept.get(entry.path) ?? Buffer.alloc(0)
      const before = Buffer.from(file)
      entry.bytes.copy(file, entry.position)
      if (index >= (durableUpTo.get(entry.path) ?? 0)) addVersions(pending, entry, before, file)
    }
    for (const { path, at, versions } of pending.values())
      versions[0]?.copy(kept.get(path) ?? Buffer.alloc(0), at)
    this.#base = kept
    this.#choices = [...pending.values()]
  }

  get count(): number {
    return this.#choices.reduce((product, choice) => product * choice.versions.length, 1)
  }

  /** State number `index`, 0 to count - 1: the files' contents. */
  state(index: number): Map<string, Buffer> {
    const files = new Map([...this.#base].map(([path, bytes]) => [path, Buffer.from(bytes)]))
    let left = index
    for (const { path, at, versions } of this.#choices) {
      versions[left % versions.length]?.copy(files.get(path) ?? Buffer.alloc(0), at)
      left = Math.floor(left / versions.length)
    }
    return files
  }
}

function addVersions(
  pending: Map<string, Choice>,
  entry: { path: string; position: number; bytes: Buffer },
  before: Buffer,
  after: Buffer,
): void {
  const size = entry.path.endsWith('/data') ? 4096 : 512
  const first = Math.floor(entry.position / size) * size
  for (let at = first; at < entry.position + entry.bytes.length; at += size) {
    const was = before.subarray(at, at + size)
    const is = after.subarray(at, at + size)
    if (was.equals(is)) continue
    const key = `${entry.path}@${String(at)}`
    const choice = pending.get(key) ?? { path: entry.path, at, versions: [Buffer.from(was)] }
    choice.versions.push(Buffer.from(is))
    pending.set(key, choice)
  }
}

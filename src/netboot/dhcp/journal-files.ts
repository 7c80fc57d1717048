import { close, constants, fsync, mkdir, open, readdir, readFile, rm, write } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { journalHeader } from './journal-codec.js'

const NAME = /^(\d{10})\.journal$/
/** A write inside a file's length is one disk operation, one that makes it longer is two: it grows by this much. */
const GROWTH_BYTES = 256 * 1024

/** The files of one directory that are the lease journal; this process adds a file and never changes an older one. */
export class JournalFiles {
  readonly #directory: string
  #nextNumber = 1
  readonly #ended: string[] = [] // and the one being written
  #fd: number | undefined
  #at = 0
  #lengthBytes = 0

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Bytes of records in the file that is being written. */
  get sizeBytes(): number {
    return this.#at
  }

  /** The files that are there, oldest first. Makes the directory if there is none. */
  async list(): Promise<readonly string[]> {
    await promisify(mkdir)(this.#directory, { recursive: true })
    const names = (await promisify(readdir)(this.#directory)).filter((name) => NAME.test(name)).sort()
    this.#nextNumber = Math.max(this.#nextNumber, Number(NAME.exec(names.at(-1) ?? '')?.[1] ?? 0) + 1)
    return names.map((name) => join(this.#directory, name))
  }

  /** All bytes of a file from {@link list}. */
  read(path: string): Promise<Buffer> {
    return promisify(readFile)(path)
  }

  /**
   * Adds `record` to the file being written (the first call makes one), one at a time. On disk when `done` is
   * called without an error. After an error the next call begins a new file: the old one's end is unknown.
   */
  append(record: Buffer, done: (err: Error | null) => void): void {
    if (this.#fd === undefined) {
      this.#begin().then(
        (fd) => this.#write(fd, Buffer.concat([journalHeader(), record]), done),
        (err: unknown) => done(asError(err)),
      )
    } else this.#write(this.#fd, record, done)
  }

  /** Ends the file being written; the next {@link append} begins another. Gives those that ended since the last call. */
  finish(): readonly string[] {
    this.#end()
    return this.#ended.splice(0)
  }

  /**
   * Removes files whose changes are elsewhere now, in this order: a file that came back after power loss without
   * the younger ones would undo what those say.
   */
  async remove(paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      await promisify(rm)(path, { force: true })
      await syncDirectory(this.#directory)
    }
  }

  async #begin(): Promise<number> {
    const path = join(this.#directory, `${String(this.#nextNumber).padStart(10, '0')}.journal`)
    const { O_CREAT, O_EXCL, O_WRONLY, O_DSYNC } = constants
    const flags = O_CREAT | O_EXCL | O_WRONLY | O_DSYNC
    const fd = await promisify(open)(path, flags, 0o600)
    this.#nextNumber++
    this.#ended.push(path)
    try {
      await syncDirectory(this.#directory)
    } catch (err) {
      await promisify(close)(fd)
      throw err
    }
    this.#fd = fd
    return fd
  }

  #write(fd: number, record: Buffer, done: (err: Error | null) => void): void {
    const end = this.#at + record.length
    const bytes = end <= this.#lengthBytes ? record : grown(record, end)
    const length = Math.max(this.#lengthBytes, this.#at + bytes.length)
    write(fd, bytes, 0, bytes.length, this.#at, (err, written) => {
      if (err === null && written === bytes.length) {
        this.#at = end
        this.#lengthBytes = length
        done(null)
        return
      }
      const cause = err ?? new Error(`wrote ${written} of ${bytes.length} bytes`) // a disk that just filled up
      this.#end()
      done(cause)
    })
  }

  #end(): void {
    const fd = this.#fd
    this.#fd = undefined
    this.#at = 0
    this.#lengthBytes = 0
    if (fd !== undefined) close(fd, ignore)
  }
}

function grown(record: Buffer, end: number): Buffer {
  return Buffer.concat([record, Buffer.alloc(GROWTH_BYTES - (end % GROWTH_BYTES))])
}

// A new file's name is durable with its directory (fsync(2)).
async function syncDirectory(path: string): Promise<void> {
  const fd = await promisify(open)(path, constants.O_RDONLY)
  try {
    await promisify(fsync)(fd)
  } finally {
    await promisify(close)(fd)
  }
}

function ignore(): void {
  // each write was on disk, or its error told
}

function asError(err: unknown): Error {
  return err instanceof Error ? err : new Error(String(err))
}

import { constants } from 'node:fs'
import { open, realpath, type FileHandle } from 'node:fs/promises'
import { posix, sep } from 'node:path'
import { systemCode } from '../errors.js'

/** An opened boot file. The owner calls `close` once. */
export interface BootFile {
  readonly sizeBytes: number
  /** Another one when the content is (RFC 9110 §8.8.3), where the file is on disk. */
  readonly etag?: string
  /** `length` bytes at `offset`: a view where the file is cached, a promise where it is read from disk. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>
  close(): Promise<void>
}

/** Where boot files are, and how much of them is kept in memory. */
export interface BootFilesOptions {
  /** Searched in this order, e.g. an operator's directory, then `/usr/lib/ipxe`. */
  readonly directories: readonly string[]
  /** What a name asked for is called in a directory; where there is none of that name, the name itself holds. */
  readonly aliases?: ReadonlyMap<string, string>
  /** Default 64 MiB. */
  readonly cacheBytes?: number
  /** Larger files are read piece by piece. Default 16 MiB. */
  readonly cachedFileBytes?: number
}

const DEFAULT_CACHE_BYTES = 64 << 20
const DEFAULT_FILE_BYTES = 16 << 20
const READ_AHEAD_BYTES = 64 << 10
const MISSING: ReadonlySet<string | undefined> = new Set([
  'ENOENT',
  'ENOTDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'EACCES',
])

/** Read-only boot files by name, from a search path, for TFTP and HTTP alike. Never blocks on a disk. */
export class BootFiles {
  readonly #directories: readonly string[]
  readonly #aliases: ReadonlyMap<string, string>
  readonly #cacheBytes: number
  readonly #cachedFileBytes: number
  /** By real path, modification time and size; the oldest use comes first. */
  readonly #cache = new Map<string, Promise<Uint8Array>>()
  readonly #sizes = new Map<string, number>()
  #cachedBytes = 0

  constructor(options: BootFilesOptions) {
    this.#directories = options.directories
    this.#aliases = options.aliases ?? new Map()
    this.#cacheBytes = options.cacheBytes ?? DEFAULT_CACHE_BYTES
    this.#cachedFileBytes = Math.min(options.cachedFileBytes ?? DEFAULT_FILE_BYTES, this.#cacheBytes)
  }

  /** The first regular file of that name, or undefined; a name or link that leads out of its directory is none. */
  async open(name: string): Promise<BootFile | undefined> {
    const path = bootPath(name)
    if (path === undefined) return undefined
    const alias = this.#aliases.get(path)
    for (const directory of this.#directories) {
      const aliased = alias === undefined ? undefined : await this.#openIn(directory, alias)
      const file = aliased ?? (await this.#openIn(directory, path))
      if (file !== undefined) return file
    }
    return undefined
  }

  async #openIn(directory: string, path: string): Promise<BootFile | undefined> {
    try {
      const root = await realpath(directory)
      const real = await realpath(`${root}${sep}${path}`)
      if (!real.startsWith(root.endsWith(sep) ? root : root + sep)) return undefined
      // A FIFO would block without O_NONBLOCK; a link put there since realpath is refused by O_NOFOLLOW.
      const handle = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      return await this.#fromHandle(handle, real)
    } catch (err) {
      if (MISSING.has(systemCode(err))) return undefined
      throw err
    }
  }

  async #fromHandle(handle: FileHandle, real: string): Promise<BootFile | undefined> {
    let isKept = false
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) return undefined
      const etag = `"${stat.mtimeMs}-${stat.size}"`
      if (stat.size > this.#cachedFileBytes) {
        isKept = true
        return { ...onDisk(handle, stat.size), etag }
      }
      return { ...inMemory(await this.#cached(`${real} ${etag}`, handle, stat.size)), etag }
    } finally {
      if (!isKept) await handle.close()
    }
  }

  #cached(key: string, handle: FileHandle, size: number): Promise<Uint8Array> {
    const known = this.#cache.get(key)
    if (known !== undefined) {
      this.#cache.delete(key)
      this.#cache.set(key, known)
      return known
    }
    const loading = readExactly(handle, 0, size)
    this.#cache.set(key, loading)
    this.#sizes.set(key, size)
    this.#cachedBytes += size
    this.#evict()
    loading.catch(() => this.#forget(key))
    return loading
  }

  #evict(): void {
    for (const key of this.#cache.keys()) {
      if (this.#cachedBytes <= this.#cacheBytes) return
      this.#forget(key)
    }
  }

  #forget(key: string): void {
    if (!this.#cache.delete(key)) return
    this.#cachedBytes -= this.#sizes.get(key) ?? 0
    this.#sizes.delete(key)
  }
}

/**
 * A request's file name as a relative path: bytes are UTF-8, `\` is `/`, leading slashes go (firmware sends all of
 * these). Undefined when it is empty, climbs out, or has control characters.
 * @param name one character per byte (latin1), as TFTP carries it
 */
export function bootPath(name: string): string | undefined {
  const text = Buffer.from(name, 'latin1').toString('utf8').replaceAll('\\', '/')
  if (text.length > 512 || /[\u0000-\u001f\u007f\ufffd]/.test(text)) return undefined
  const path = posix.normalize(text.replace(/^\/+/, ''))
  return path === '' || path === '.' || path === '..' || path.startsWith('../') || path.endsWith('/')
    ? undefined
    : path
}

/** Bytes already in memory as a {@link BootFile}. */
export function inMemory(bytes: Uint8Array): BootFile {
  return {
    sizeBytes: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
    close: () => Promise.resolve(),
  }
}

/** Keeps the piece read last: small blocks in sequence then cost one disk read for many. */
function onDisk(handle: FileHandle, sizeBytes: number): BootFile {
  let piece: { offset: number; bytes: Uint8Array } = { offset: 0, bytes: new Uint8Array() }
  const view = (offset: number, length: number): Uint8Array =>
    piece.bytes.subarray(offset - piece.offset, offset - piece.offset + length)
  return {
    sizeBytes,
    read: (offset, wanted) => {
      const length = Math.max(0, Math.min(wanted, sizeBytes - offset))
      const isHere = offset >= piece.offset && offset + length <= piece.offset + piece.bytes.length
      if (isHere) return view(offset, length)
      const ahead = Math.max(length, Math.min(READ_AHEAD_BYTES, sizeBytes - offset))
      return readExactly(handle, offset, ahead).then((bytes) => {
        piece = { offset, bytes }
        return bytes.subarray(0, length)
      })
    },
    close: () => handle.close(),
  }
}

async function readExactly(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafe(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await handle.read(buffer, done, length - done, offset + done)
    if (bytesRead === 0)
      throw new Error(`boot file became shorter than ${offset + length} bytes while it was read`)
    done += bytesRead
  }
  return buffer
}

import * as fs from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import { runCommand } from '../../command.js'

/** Told when an I/O ended: null, or why it failed. */
export type IoDone = (err: Error | null) => void

/** How a layer file is opened: `create` refuses an existing file, `replace` empties it. */
export type OpenMode = 'read' | 'write' | 'create' | 'replace'

/**
 * The calls that layer files and maps go through; tests record them and make them fail.
 * `read` and `write` do the whole buffer or fail; the buffer is theirs until `done`.
 */
export interface LayerFiles {
  open(path: string, mode: OpenMode): Promise<number>
  read(fd: number, into: Uint8Array, position: number, done: IoDone): void
  write(fd: number, from: Uint8Array, position: number, done: IoDone): void
  /** Only for the live map: it is on tmpfs, so this is a copy in memory and never waits for a disk. */
  writeSync(fd: number, from: Uint8Array, position: number): void
  /** `fdatasync(2)`. */
  sync(fd: number, done: IoDone): void
  truncate(fd: number, sizeBytes: number): Promise<void>
  close(fd: number): Promise<void>
  /** Removes the file if it is there. */
  remove(path: string): Promise<void>
  /** Gives the space of a range back; it reads as zeros. @throws CommandFailed where the file system cannot */
  punchHole(path: string, position: number, length: number): Promise<void>
  /** Makes the names in a directory survive power loss. */
  syncDirectory(path: string): Promise<void>
}

const PUNCH_LIMIT_MS = 60_000

const FLAGS = { read: 'r', write: 'r+', create: 'wx+', replace: 'w+' } as const

/** The kernel's files, through the libuv pool. */
export const nodeLayerFiles: LayerFiles = {
  open: (path, mode) =>
    new Promise((resolve, reject) => {
      fs.open(path, FLAGS[mode], 0o600, (err, fd) => (err === null ? resolve(fd) : reject(err)))
    }),
  read: readFully,
  write: writeFully,
  writeSync(fd, from, position) {
    for (let at = 0; at < from.length;) at += fs.writeSync(fd, from, at, from.length - at, position + at)
  },
  sync: (fd, done) => fs.fdatasync(fd, done),
  truncate: (fd, sizeBytes) => settled((done) => fs.ftruncate(fd, sizeBytes, done)),
  close: (fd) => settled((done) => fs.close(fd, done)),
  remove: (path) => unlink(path).catch(ignoreMissing),
  async punchHole(path, position, length) {
    // Node has no fallocate(2); util-linux has, on every Debian
    const range = ['--offset', `${position}`, '--length', `${length}`]
    await runCommand('fallocate', ['--punch-hole', ...range, path], { timeoutMs: PUNCH_LIMIT_MS })
  },
  async syncDirectory(path) {
    const handle = await open(path, 'r')
    await handle.sync().finally(() => handle.close())
  },
}

/** A promise for a call that reports through {@link IoDone}. */
export function settled(call: (done: IoDone) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call((err) => (err === null ? resolve() : reject(err)))
  })
}

function readFully(fd: number, into: Uint8Array, position: number, done: IoDone): void {
  fs.read(fd, into, 0, into.length, position, (err, count) => {
    if (err !== null || count === into.length) done(err)
    else if (count === 0) done(new EndOfFile(position))
    else readFully(fd, into.subarray(count), position + count, done) // interrupted by a signal, or NFS
  })
}

function writeFully(fd: number, from: Uint8Array, position: number, done: IoDone): void {
  fs.write(fd, from, 0, from.length, position, (err, count) => {
    if (err !== null || count === from.length) done(err)
    else writeFully(fd, from.subarray(count), position + count, done) // a full disk says so next time
  })
}

/** A layer file is always as long as its layer: a shorter one is damaged. */
class EndOfFile extends Error {
  readonly code = 'EIO'

  constructor(position: number) {
    super(`file ends at byte ${position}`)
  }
}

function ignoreMissing(err: unknown): void {
  if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return
  throw err
}

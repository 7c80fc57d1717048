import { chmod, lstat, unlink } from 'node:fs/promises'
import { connect, type ListenOptions, type Server } from 'node:net'
import { DaemonError, systemCode } from './errors.js'

const OWNER_ONLY = 0o600
/** sun_path of Linux is 108 bytes with its NUL (unix(7)); libuv cuts a longer path off without a word. */
const PATH_MAX_BYTES = 107

/**
 * Listens on a Unix socket at `path`; the file of a process that died is replaced.
 * @param mode of the file, default 0600
 * @throws DaemonError INVALID_INPUT for a path too long for a socket, STATE_LOCKED when somebody answers there, or the file is no socket
 */
export async function listenOnSocketFile(server: Server, path: string, mode = OWNER_ONLY): Promise<void> {
  if (Buffer.byteLength(path) > PATH_MAX_BYTES) {
    throw new DaemonError('INVALID_INPUT', `${path}: a socket's path has at most ${PATH_MAX_BYTES} bytes`)
  }
  await removeStaleSocket(path)
  await listenPrivately(server, path)
  await chmod(path, mode)
}

/** `server.listen` as a promise. */
export function listening(server: Server, options: ListenOptions & { fd?: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(options, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** The socket file is made by listen() itself, so a umask and not a later chmod keeps others out from the start. */
async function listenPrivately(server: Server, path: string): Promise<void> {
  const before = process.umask(0o177)
  try {
    const ready = listening(server, { path })
    process.umask(before)
    await ready
  } finally {
    process.umask(before)
  }
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch((err: unknown) => {
    if (systemCode(err) === 'ENOENT') return undefined
    throw err
  })
  if (found === undefined) return
  if (!found.isSocket() || (await answers(path))) {
    throw new DaemonError('STATE_LOCKED', `${path} is in use`)
  }
  await unlink(path)
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}

/** systemd's own first descriptor (sd_listen_fds(3), SD_LISTEN_FDS_START). */
const FIRST_FD = 3

/** What sd_listen_fds(3) calls a socket whose unit gave it no name. */
const NAMELESS = 'unknown'

/** The environment that systemd hands sockets over with, as an entry file reads it. */
export interface ActivationEnvironment {
  readonly LISTEN_PID?: string | undefined
  readonly LISTEN_FDS?: string | undefined
  readonly LISTEN_FDNAMES?: string | undefined
}

/**
 * The sockets systemd opened for us, by `FileDescriptorName=`; a name may have several. The caller owns them.
 *
 * Sockets for another process are none of ours (sd_listen_fds(3): LISTEN_PID must be our own), so a program
 * between systemd and us has to `exec`. Node marks inherited descriptors close-on-exec when it starts, so
 * no child process gets them.
 * @throws Error when the variables contradict each other: then nothing is known about any descriptor
 */
export function inheritedSockets(env: ActivationEnvironment, pid: number): Map<string, number[]> {
  const sockets = new Map<string, number[]>()
  if (env.LISTEN_PID !== String(pid)) return sockets
  const count = parseCount(env.LISTEN_FDS)
  for (const [index, name] of parseNames(env.LISTEN_FDNAMES, count).entries()) {
    const sameName = sockets.get(name)
    if (sameName === undefined) sockets.set(name, [FIRST_FD + index])
    else sameName.push(FIRST_FD + index)
  }
  return sockets
}

function parseCount(text = ''): number {
  if (!/^\d{1,4}$/.test(text)) throw new Error(`LISTEN_FDS: expected a count of sockets, got "${text}"`)
  return Number(text)
}

function parseNames(text: string | undefined, count: number): string[] {
  if (text === undefined || count === 0) return Array<string>(count).fill(NAMELESS)
  const names = text.split(':').map((name) => (name === '' ? NAMELESS : name))
  if (names.length === count) return names
  throw new Error(`LISTEN_FDNAMES: expected ${count} names, got ${names.length}`)
}

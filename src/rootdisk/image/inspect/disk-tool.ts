import { randomUUID } from 'node:crypto'
import { open, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandFailed, runCommand } from '../../../command.js'
import { DaemonError } from '../../../errors.js'

/** What one run of a tool on a hostile disk may use. */
export interface ToolLimits {
  /** Wall clock of one run; processor time is bounded by the same. */
  readonly timeoutMs: number
  /** Address space of one run. */
  readonly memoryBytes: number
}

/** What a tool left. */
export interface ToolOutput {
  readonly stdout: Uint8Array
  readonly stderr: string
  /** It ended with status 0. */
  readonly isOk: boolean
  /** It had more to say than it was allowed, or more time or memory to use. */
  readonly isCut: boolean
}

/** How {@link DiskTool} works. */
export interface DiskToolOptions {
  /** The file that the tools see as {@link DISK_PATH}. */
  readonly path: string
  /** A folder of ours for what they say. */
  readonly scratchDir: string
  readonly limits: ToolLimits
  readonly signal?: AbortSignal | undefined
  /** The tools may change the file, which is a copy of ours then. */
  readonly isWritable?: boolean
}

/** Where a tool that changes the disk finds what it is to put there: the scratch folder. */
export const INPUT_PATH = '/in'

/** Where a tool finds the disk: never a name from outside. */
export const DISK_PATH = '/disk'

// SIGXFSZ, SIGXCPU and SIGKILL as bwrap passes them on.
const CUT_STATUS = [128 + 25, 128 + 24, 128 + 9]

/**
 * Runs one tool on one file that nobody vouches for, with nothing else in reach: namespaces of its own (no network,
 * no processes, a root with only /usr and the file), no capability, and limits on time, memory and output.
 */
export class DiskTool {
  readonly scratchDir: string
  readonly #options: DiskToolOptions

  constructor(options: DiskToolOptions) {
    this.#options = options
    this.scratchDir = options.scratchDir
  }

  /**
   * Runs `argv` and keeps up to `limitBytes` of what it says.
   * @throws DaemonError WRONG_STATE without bwrap; the signal's reason
   */
  async run(argv: readonly string[], limitBytes: number): Promise<ToolOutput> {
    const path = join(this.scratchDir, `out-${randomUUID()}`) // several may run at a time
    const file = await open(path, 'wx+', 0o600)
    try {
      await unlink(path)
      const ended = await this.runInto(file, argv, limitBytes)
      const { size } = await file.stat()
      const stdout = new Uint8Array(size)
      await file.read(stdout, 0, size, 0)
      return { ...ended, stdout }
    } finally {
      await file.close()
    }
  }

  /** As {@link run}, with standard output in a file of ours. */
  async runInto(file: FileHandle, argv: readonly string[], limitBytes: number): Promise<ToolOutput> {
    const { limits, signal } = this.#options
    signal?.throwIfAborted()
    const args = [...this.#limitArgs(limitBytes), 'bwrap', ...ROOM, ...this.#binds(), '--', ...argv]
    try {
      const { stderr } = await runCommand('prlimit', args, {
        timeoutMs: limits.timeoutMs,
        stdoutFd: file.fd,
        ...(signal === undefined ? {} : { signal }),
      })
      return { stdout: new Uint8Array(), stderr, isOk: true, isCut: false }
    } catch (err) {
      signal?.throwIfAborted()
      if (!(err instanceof CommandFailed)) throw err
      const { stderr } = err.result
      if (/could not run|failed to execute|^bwrap: /m.test(`${err.message}\n${stderr}`))
        throw new DaemonError('WRONG_STATE', `disk images cannot be read here: ${stderr.trim()}`, {
          cause: err,
        })
      const isCut = err.message.includes('SIGKILL') || CUT_STATUS.some((status) => hasStatus(err, status))
      return { stdout: new Uint8Array(), stderr, isOk: false, isCut }
    }
  }

  #binds(): string[] {
    const { path, scratchDir, isWritable = false } = this.#options
    if (!isWritable) return ['--ro-bind', path, DISK_PATH]
    return ['--bind', path, DISK_PATH, '--ro-bind', scratchDir, INPUT_PATH]
  }

  /** A limit on files would be one on the disk too, so a tool that changes it says what it likes for its time. */
  #limitArgs(outputBytes: number): string[] {
    const { limits, isWritable = false } = this.#options
    const seconds = Math.ceil(limits.timeoutMs / 1000)
    const sizes = [`--as=${limits.memoryBytes}`, ...(isWritable ? [] : [`--fsize=${outputBytes}`])]
    return [...sizes, `--cpu=${seconds}`, '--core=0', '--nofile=64', '--']
  }
}

// An empty root: the tools and their libraries, nothing of this host.
const ROOM = [
  ...['--unshare-all', '--unshare-user', '--uid', '65534', '--gid', '65534', '--cap-drop', 'ALL'],
  ...['--die-with-parent', '--new-session', '--dev', '/dev', '--tmpfs', '/tmp', '--chdir', '/tmp'],
  ...['--ro-bind', '/usr', '/usr', '--symlink', 'usr/bin', '/bin', '--symlink', 'usr/sbin', '/sbin'],
  ...[
    '--symlink',
    'usr/lib',
    '/lib',
    '--symlink',
    'usr/lib64',
    '/lib64',
    '--setenv',
    'MTOOLS_SKIP_CHECK',
    '1',
  ],
]

function hasStatus(err: CommandFailed, status: number): boolean {
  return err.message.includes(`ended with status ${status}:`)
}

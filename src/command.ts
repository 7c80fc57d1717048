import { fork, spawn, type ChildProcess } from 'node:child_process'

/** How a child process may be run. */
export interface CommandOptions {
  /** Wall-clock limit; the child is killed (SIGKILL) when it passes. */
  readonly timeoutMs: number
  /** Address-space limit through `prlimit --as`. */
  readonly memoryLimitBytes?: number
  readonly cwd?: string
  /** Added to a minimal environment (PATH, LANG=C.UTF-8). Secrets go here or to `stdin`, never into argv. */
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string | Uint8Array
  /** An open file that gets standard output as it is, bytes and all; `stdout` stays empty. */
  readonly stdoutFd?: number
  /** Called with each chunk of standard output as it comes (progress). */
  readonly onStdout?: (text: string) => void
  readonly signal?: AbortSignal
}

/** What a finished child left. Each stream is kept up to 1 MiB, its tail dropped. */
export interface CommandResult {
  readonly stdout: string
  readonly stderr: string
}

/** A child process that did not end with status 0. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed'

  readonly result: CommandResult

  constructor(program: string, reason: string, result: CommandResult, options?: { cause?: unknown }) {
    super(`${program} ${reason}: ${result.stderr.trim().slice(-2000)}`, options)
    this.result = result
  }
}

const KEPT_BYTES = 1 << 20

/**
 * Runs `program` with an argument array (no shell) to its end.
 * @throws CommandFailed when it cannot start, fails, or passes its time limit
 */
export async function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const [file, argv] = limited(program, args, options.memoryLimitBytes)
  const child = spawn(file, argv, {
    cwd: options.cwd,
    env: minimalEnvironment(options.env),
    stdio: ['pipe', options.stdoutFd ?? 'pipe', 'pipe'],
    signal: options.signal,
    killSignal: 'SIGKILL',
  })
  const stdout = collect(child.stdout, options.onStdout)
  const stderr = collect(child.stderr)
  child.stdin?.on('error', ignore) // a child may end without reading its input
  child.stdin?.end(options.stdin)
  // spawn's own limit would go on when nothing could be started, and keep us alive
  const limit = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs)
  const outcome = await ended(child).finally(() => clearTimeout(limit))
  const result = { stdout: stdout(), stderr: stderr() }
  if (outcome.reason === undefined) return result
  throw new CommandFailed(program, outcome.reason, result, { cause: outcome.cause })
}

/** A child that {@link startProcess} started. */
export type RunningProcess = ChildProcess

/** How a long-lived child is started. */
export interface ServiceProcessOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** File descriptors or `'ignore'`/`'inherit'` for stdin, stdout, stderr, then inherited descriptors 3.. */
  readonly stdio: readonly ('ignore' | 'inherit' | number)[]
  /** Own session, so that it outlives us. */
  readonly detached?: boolean
}

/** Starts a child that runs until told to stop (QEMU, `ingot-targetd`); the caller owns it. */
export function startProcess(
  program: string,
  args: readonly string[],
  options: ServiceProcessOptions,
): ChildProcess {
  return spawn(program, args, {
    cwd: options.cwd,
    env: minimalEnvironment(options.env),
    stdio: [...options.stdio],
    detached: options.detached ?? false,
  })
}

/** Starts an entry file of ours that we exchange messages and sockets with; it ends when we do. */
export function startWorker(file: string, args: readonly string[]): ChildProcess {
  return fork(file, args, { env: minimalEnvironment(), stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}

function limited(program: string, args: readonly string[], memoryLimitBytes?: number): [string, string[]] {
  if (memoryLimitBytes === undefined) return [program, [...args]]
  return ['prlimit', [`--as=${memoryLimitBytes}`, '--', program, ...args]]
}

function minimalEnvironment(added: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', ...added }
}

function collect(stream: NodeJS.ReadableStream | null, onText?: (text: string) => void): () => string {
  let text = ''
  if (stream === null) return () => text
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    if (text.length < KEPT_BYTES) text += chunk
    onText?.(chunk)
  })
  return () => text
}

function ended(child: ChildProcess): Promise<{ reason?: string; cause?: unknown }> {
  return new Promise((resolve) => {
    child.once('error', (cause) => resolve({ reason: `could not run (${cause.message})`, cause }))
    child.once('close', (status, signal) => {
      if (status === 0) resolve({})
      else resolve({ reason: signal === null ? `ended with status ${status}` : `was ended by ${signal}` })
    })
  })
}

function ignore(): void {
  // deliberately empty
}

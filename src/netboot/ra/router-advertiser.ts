import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Clock } from '../../clock.js'
import { CommandFailed, runCommand, startProcess, type RunningProcess } from '../../command.js'
import { DaemonError, systemCode } from '../../errors.js'
import type { EmitEvent } from '../../events.js'
import type { Service } from '../../service.js'
import { radvdConfig } from './radvd-config.js'

const CHECK_LIMIT_MS = 10_000
const END_LIMIT_MS = 3000
/** Pauses before radvd is started again, by how often it died; after the last it stays down. */
const RESTART_PAUSES_MS = [1000, 2000, 5000, 10_000, 30_000]
/** A radvd that ran for so long was well: its next death is a first one. */
const HEALTHY_MS = 60_000

/** Which interfaces are advertised on. */
export interface RouterAdvertiserOptions {
  /** Names of this host's interfaces. */
  readonly interfaces: readonly string[]
  /** Where radvd's configuration and pid file are written. */
  readonly runDir: string
  /** Default `radvd`; a path in tests. */
  readonly program?: string
}

/**
 * Router advertisements by a radvd of our own, for Node has no raw ICMPv6 socket. It ends with us, whatever ends us.
 * Machines boot without it, only slower: when it keeps dying, an event says so and everything else goes on.
 */
export class RouterAdvertiser implements Service {
  readonly name = 'router-advertisement'

  readonly #options: RouterAdvertiserOptions
  readonly #clock: Clock
  readonly #log: Logger
  readonly #emit: EmitEvent
  #child: RunningProcess | undefined
  #deaths = 0
  #isStopping = false

  constructor(options: RouterAdvertiserOptions, deps: { clock: Clock; log: Logger; emit: EmitEvent }) {
    this.#options = options
    this.#clock = deps.clock
    this.#log = deps.log
    this.#emit = deps.emit
  }

  /** @throws DaemonError CONFIG_INVALID when radvd is missing or does not take the configuration */
  async start(): Promise<void> {
    this.#isStopping = false
    this.#deaths = 0
    await writeFile(this.#configFile, radvdConfig(this.#options.interfaces), { mode: 0o644 })
    await this.#check()
    this.#spawn()
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    const child = this.#child
    this.#child = undefined
    if (child !== undefined) await this.#end(child)
    await rm(this.#configFile, { force: true })
  }

  get #program(): string {
    return this.#options.program ?? 'radvd'
  }

  get #configFile(): string {
    return join(this.#options.runDir, 'radvd.conf')
  }

  async #check(): Promise<void> {
    try {
      const argv = ['--configtest', '--config', this.#configFile]
      await runCommand(this.#program, argv, { timeoutMs: CHECK_LIMIT_MS })
    } catch (err) {
      if (!(err instanceof CommandFailed)) throw err
      const isMissing = systemCode(err.cause) === 'ENOENT'
      const why = isMissing ? `${this.#program} is not installed (Debian package radvd)` : err.message
      throw new DaemonError('CONFIG_INVALID', `subnet.router_advertisement: ${why}`, { cause: err })
    }
  }

  #spawn(): void {
    const pidFile = join(this.#options.runDir, 'radvd.pid')
    const radvd = [this.#program, '--nodaemon', '--config', this.#configFile, '--pidfile', pidFile]
    // the kernel ends it when we are killed: an orphan would hold the pid file against its successor
    const argv = ['--pdeathsig', 'TERM', '--', ...radvd, '--logmethod', 'stderr']
    const startedMs = this.#clock.monotonicMs()
    const child = startProcess('setpriv', argv, { stdio: ['ignore', 'ignore', 'inherit'] })
    this.#child = child
    child.once('error', (err) => this.#gone(child, err.message, startedMs))
    child.once('exit', (status, signal) => {
      this.#gone(child, signal ?? `status ${status}`, startedMs)
    })
  }

  #gone(child: RunningProcess, how: string, startedMs: number): void {
    if (this.#isStopping || this.#child !== child) return
    this.#child = undefined
    if (this.#clock.monotonicMs() - startedMs > HEALTHY_MS) this.#deaths = 0
    const pauseMs = RESTART_PAUSES_MS[this.#deaths++]
    this.#log.warn({ pid: child.pid, how, pauseMs }, 'radvd ended')
    if (pauseMs === undefined) {
      const message = `radvd died ${this.#deaths} times (${how}) and is left: iPXE waits 12 s longer at each boot`
      this.#emit({ kind: 'ra.failed', message })
      return
    }
    this.#clock.after(pauseMs, () => {
      if (!this.#isStopping) this.#spawn()
    })
  }

  async #end(child: RunningProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGTERM')
    const timer = this.#clock.after(END_LIMIT_MS, () => child.kill('SIGKILL'))
    await ended
    timer.cancel()
  }
}

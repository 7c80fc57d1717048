import { spawn, type ChildProcess } from 'node:child_process'
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { targetCredentials } from '../../src/registry/target-credentials.js'
import { openRegistry } from '../../src/registry/registry.js'

const DIST = join(import.meta.dirname, '../../dist/src')
const POLL_MS = 50
/** Two busy cores: a start takes 2 s there. */
const PATIENCE_MS = 30_000

/** How a program that ran to its end ended. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** What the API answered. */
export interface Answer {
  readonly status: number
  readonly body: unknown
}

/** What an initiator needs to reach a server's disk. */
export interface DiskAccess {
  readonly iqn: string
  readonly initiatorIqn: string
  readonly user: string
  readonly secret: string
  /** What the target proves itself with to an initiator that asks. */
  readonly target: { readonly user: string; readonly secret: string }
  readonly layerId: string
}

/** Lines of sections of the configuration. */
export interface Sections {
  readonly boot?: string
  readonly subnet?: string
  readonly target?: string
}

/** Both daemons, built, on loopback, in a directory of their own; everything ends with the test. */
export class Daemons {
  readonly dir: string
  readonly iscsiPort: number
  #child: ChildProcess | undefined

  private constructor(dir: string, iscsiPort: number) {
    this.dir = dir
    this.iscsiPort = iscsiPort
  }

  /** The directory and the configuration; nothing runs yet. `boot` replaces `enabled = false`. */
  static async make(t: Test, sections: Sections = {}): Promise<Daemons> {
    const dir = await mkdtemp(join(tmpdir(), 'ingot-faults-'))
    const daemons = new Daemons(dir, await freePort())
    for (const name of ['state', 'run']) await mkdir(join(dir, name))
    await writeFile(daemons.configFile, daemons.#config(sections))
    t.teardown(async () => {
      await daemons.stop()
      await rm(dir, { recursive: true, force: true })
    })
    return daemons
  }

  get configFile(): string {
    return join(this.dir, 'ingot.toml')
  }

  get stateDir(): string {
    return join(this.dir, 'state')
  }

  get layersDir(): string {
    return join(this.stateDir, 'layers')
  }

  get registryFile(): string {
    return join(this.stateDir, 'registry.sqlite')
  }

  get socket(): string {
    return join(this.dir, 'run', 'api.sock')
  }

  /** Process id of the `ingotd` that was started last. */
  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('ingotd was not started')
    return this.#child.pid
  }

  /** Starts `ingotd` and waits until the API answers. */
  async start(): Promise<void> {
    const log = await open(join(this.dir, 'log'), 'a')
    const argv = [join(DIST, 'ingotd.js'), '--config', this.configFile]
    const child = spawn(process.execPath, argv, { stdio: ['ignore', log.fd, log.fd] })
    this.#child = child
    await log.close()
    await until('ingotd answers', async () => {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Ending(`ingotd ended: ${await this.log()}`)
      return (await this.api('GET', '/jobs')).status === 200
    })
  }

  /** Runs `ingotd` to an end that it is expected to find by itself. */
  run(...args: string[]): Promise<Ended> {
    return finished([join(DIST, 'ingotd.js'), '--config', this.configFile, ...args])
  }

  /** Runs the command line. */
  ingot(...args: string[]): Promise<Ended> {
    return finished([join(DIST, 'operator/cli/cli.js'), '--socket', this.socket, ...args])
  }

  /** One request to the API. */
  api(method: string, path: string, body?: unknown): Promise<Answer> {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const options = { socketPath: this.socket, method, path: `/ingot/v1${path}`, headers }
    return new Promise((resolve, reject) => {
      const call = request({ ...options, agent: false }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('error', reject).on('end', () => {
          const answer: unknown = text === '' ? undefined : JSON.parse(text)
          resolve({ status: response.statusCode ?? 0, body: answer })
        })
      })
      call.on('error', reject)
      call.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  /** Imports a file and gives the job as it ended. */
  async import(name: string, path: string): Promise<{ status: string; message: string }> {
    const begun = await this.api('POST', '/images', { name, path })
    if (begun.status !== 202) throw new Error(JSON.stringify(begun))
    const { job } = begun.body as { job: { id: string } }
    let ended = { status: 'RUNNING', message: '' }
    await until('the import ends', async () => {
      ended = (await this.api('GET', `/jobs/${job.id}`)).body as typeof ended
      return ended.status !== 'RUNNING'
    })
    return ended
  }

  /** A machine and a server on it, by number. @returns how to reach its disk */
  async server(number: number, image: string): Promise<DiskAccess> {
    const nics = [{ mac: `52:54:00:fa:00:${String(number).padStart(2, '0')}`, ip: `127.0.0.${100 + number}` }]
    const made = [
      await this.api('POST', '/machines', { name: `m${number}`, nics }),
      await this.api('POST', '/servers', { name: `s${number}`, image, machine: `m${number}` }),
    ]
    if (made.some(({ status }) => status !== 201)) throw new Error(JSON.stringify(made))
    return this.access(`s${number}`)
  }

  /** How to reach the disks of a server that is there. */
  access(name: string): DiskAccess {
    const registry = openRegistry(this.registryFile, { readOnly: true })
    try {
      const server = registry.servers.find(name)
      const volume = registry.volumes.get(server?.volumeId ?? '')
      if (server === undefined || volume === undefined) throw new Error('no such server')
      const { iqn, initiatorIqn, chapUser: user, chapSecret: secret } = server
      return { iqn, initiatorIqn, user, secret, target: targetCredentials(server), layerId: volume.layerId }
    } finally {
      registry.close()
    }
  }

  /** Process id of `ingot-targetd`, or undefined. */
  async targetPid(): Promise<number | undefined> {
    const { stdout } = await finished(['-f', `targetd.js --config ${this.configFile}`], 'pgrep')
    return stdout === '' ? undefined : Number(stdout.split('\n')[0])
  }

  /** Everything both daemons have logged. */
  log(): Promise<string> {
    return readFile(join(this.dir, 'log'), 'utf8')
  }

  /** SIGKILL to `ingotd` alone; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child
    child?.kill('SIGKILL')
    await until('ingotd is gone', () => child?.signalCode !== null)
  }

  /** Ends both daemons. */
  async stop(): Promise<void> {
    const child = this.#child
    if (child?.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await until('ingotd ends', () => child?.exitCode !== null || child.signalCode !== null)
    const targetPid = await this.targetPid()
    if (targetPid === undefined) return
    process.kill(targetPid, 'SIGTERM')
    await until('ingot-targetd ends', async () => (await this.targetPid()) === undefined)
  }

  #config({ boot = 'enabled = false', subnet, target = '' }: Sections): string {
    return [
      `state_dir = "${this.stateDir}"`,
      `run_dir = "${join(this.dir, 'run')}"`,
      ...['[boot]', boot],
      ...(subnet === undefined ? [] : ['[subnet]', subnet]),
      ...['[target]', 'address = "127.0.0.1"', `port = ${this.iscsiPort}`, target, ''],
    ].join('\n')
  }
}

/** No use in asking again. */
class Ending extends Error {}

/** Asks `check` until it holds. @throws Error naming what was waited for, with the last failure */
export async function until(what: string, check: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  let last: unknown
  while (performance.now() < deadline) {
    try {
      if (await check()) return
    } catch (err) {
      if (err instanceof Ending) throw err
      last = err
    }
    await sleep(POLL_MS)
  }
  throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s`, { cause: last })
}

/** Runs a program (Node when not said) to its end, at most half a minute. */
export function finished(args: readonly string[], program = process.execPath): Promise<Ended> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: PATIENCE_MS })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** A TCP port of loopback that nobody has. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CommandFailed, runCommand } from '../../src/command.js'

const PATIENCE_MS = 10_000
const BLOCK_ISCSI = '/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so'

/** Why nothing can be tried with a real tgtd here; undefined when it can. */
export function reasonWithoutTgtd(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root, and tgtd obeys nobody else'
  if (spawnSync('tgtd', ['-V']).status !== 0) return 'tgt is not installed'
  if (!existsSync(BLOCK_ISCSI)) return 'qemu-block-extra is not installed'
  return undefined
}

/** Where a tgtd listens. */
interface Place {
  readonly address: string
  readonly port: number
  /** Network namespace; that of the test when left out. */
  readonly namespace?: string
}

/** A real tgtd on a management socket of its own. */
export class Tgtd {
  readonly #place: Place
  readonly #dir: string
  #child: ChildProcess | undefined

  private constructor(dir: string, place: Place) {
    this.#dir = dir
    this.#place = place
  }

  /** Not started yet; on a free port of loopback when nothing is said. */
  static async make(place?: Place): Promise<Tgtd> {
    const dir = await mkdtemp(join(tmpdir(), 'ingot-tgtd-'))
    return new Tgtd(dir, place ?? { address: '127.0.0.1', port: await freePort() })
  }

  get port(): number {
    return this.#place.port
  }

  get socketPath(): string {
    return join(this.#dir, 'socket.0')
  }

  async start(): Promise<void> {
    const { address, port, namespace } = this.#place
    const argv = ['tgtd', '-f', '-C', '0', '--iscsi', `portal=${address}:${port}`]
    if (namespace !== undefined) argv.unshift('ip', 'netns', 'exec', namespace)
    const env = { ...process.env, TGT_IPC_SOCKET: join(this.#dir, 'socket') }
    this.#child = spawn(argv[0] ?? '', argv.slice(1), { stdio: 'ignore', env })
    const deadline = performance.now() + PATIENCE_MS
    while (!(await this.#isUp())) {
      if (performance.now() > deadline || this.#child.exitCode !== null)
        throw new Error('tgtd does not start')
      await sleep(50)
    }
  }

  async #isUp(): Promise<boolean> {
    const { port, namespace } = this.#place
    if (!(await isListening({ path: this.socketPath }))) return false
    return namespace !== undefined || isListening({ port })
  }

  /** SIGKILL: what it had is gone. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child?.exitCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  async remove(): Promise<void> {
    await this.kill()
    await rm(this.#dir, { recursive: true, force: true })
  }
}

/** How an initiator comes to a LUN. */
export interface Login {
  readonly port: number
  readonly iqn: string
  readonly initiator: string
  readonly chap: { readonly user: string; readonly secret: string } | undefined
}

/** What qemu-io prints for commands on a LUN, also when it fails. */
export async function qemuIo(
  { port, iqn, initiator, chap }: Login,
  lun: number,
  commands: readonly string[],
  timeoutMs = PATIENCE_MS,
): Promise<string> {
  const options = [
    `driver=iscsi,transport=tcp,portal=127.0.0.1:${port},target=${iqn},lun=${lun}`,
    `initiator-name=${initiator}`,
    ...(chap === undefined ? [] : [`user=${chap.user},password-secret=s`]),
  ]
  const secret = chap === undefined ? [] : ['--object', `secret,id=s,data=${chap.secret}`]
  const isWriting = commands.some((command) => command.startsWith('write'))
  const words = commands.flatMap((command) => ['-c', command])
  try {
    const argv = [...secret, ...(isWriting ? [] : ['-r']), ...words, '--image-opts', options.join(',')]
    const { stdout, stderr } = await runCommand('qemu-io', argv, { timeoutMs })
    return stdout + stderr
  } catch (err) {
    if (err instanceof CommandFailed) return `${err.message}\n${err.result.stdout}`
    throw err
  }
}

function isListening(where: { path: string } | { port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', ...where }, () => {
      socket.destroy()
      resolve(true)
    }).on('error', () => resolve(false))
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import type { DiskAccess } from './daemons.js'

/** A session of QEMU's initiator on one LUN that stays logged in between its commands. */
export class DiskSession {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #exited: Promise<void>
  #text = ''
  #onText: () => void = () => undefined

  private constructor(argv: readonly string[]) {
    this.#child = spawn('qemu-io', argv)
    this.#exited = new Promise((resolve, reject) => {
      this.#child.once('error', reject).once('close', () => {
        this.#onText()
        resolve()
      })
    })
    const take = (text: string): void => {
      this.#text += text
      this.#onText()
    }
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.setEncoding('utf8').on('data', take)
  }

  /** Logs in, to read only where it is the seed disk. @throws Error with what the initiator said */
  static async open(port: number, access: DiskAccess, lun: number): Promise<DiskSession> {
    const session = new DiskSession([...(lun === 1 ? ['-r'] : []), ...diskArguments(port, access, lun)])
    await session.#prompt()
    return session
  }

  /** What a command of qemu-io printed. */
  async run(command: string): Promise<string> {
    this.#text = ''
    this.#child.stdin.write(`${command}\n`)
    return this.#prompt()
  }

  /** Logs out. */
  async close(): Promise<void> {
    this.#child.stdin.end('quit\n')
    await this.#exited
  }

  async #prompt(): Promise<string> {
    while (!this.#text.endsWith('qemu-io> ')) {
      if (this.#child.exitCode !== null) throw new Error(`qemu-io ended: ${this.#text}`)
      await new Promise<void>((resolve) => (this.#onText = resolve))
    }
    return this.#text.replaceAll('qemu-io> ', '').trim()
  }
}

/** Arguments that give a tool of QEMU one LUN of a server, with CHAP. */
export function diskArguments(port: number, access: DiskAccess, lun: number): readonly string[] {
  const { iqn, initiatorIqn, user, secret } = access
  const place = `driver=iscsi,transport=tcp,portal=127.0.0.1:${port},target=${iqn},lun=${lun}`
  const login = `user=${user},password-secret=s,initiator-name=${initiatorIqn}`
  return ['--object', `secret,id=s,data=${secret}`, '--image-opts', `${place},${login}`]
}

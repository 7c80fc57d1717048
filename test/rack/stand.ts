import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand, type CommandResult } from '../../src/command.js'
import type { RigNicOptions, RigSegment } from '../../src/rig/nic-plan.js'
import type { RigFirmware } from '../../src/rig/plan.js'
import { rigDown, rigUp } from '../../src/rig/rig.js'

/** The built programs: beside us after a build, in `dist` when a test runner runs this file as TypeScript. */
export const DIST = join(
  import.meta.dirname,
  import.meta.filename.endsWith('.ts') ? '../../dist/src' : '../../src',
)
/** Where built guest images are kept: outside the checkout, named by what they are built from. */
export const CACHE_DIR = join(homedir(), '.cache', 'ingot')
/** Where the daemons are, as the machines see them. */
export const ADDRESS = '198.18.0.1'

/** Advertisements where they can be had: every start of an iPXE is 12 s shorter. */
export const ADVERTISED = has('radvd') ? 'router_advertisement = true' : ''
/** The segment that machines are in when nothing else is said. */
export const SUBNET = `[subnet]\ncidr = "198.18.0.0/24"\n${ADVERTISED}`
/** More than the daemon gives a repair in a guest, the longest of its jobs. */
const COMMAND_LIMIT_MS = 2_400_000

/** A machine of the stand. */
export interface StandMachine {
  readonly name: string
  /** Of the NIC that it boots from. */
  readonly mac: string
  readonly ip: string
  readonly nics: readonly RigNicOptions[]
  readonly firmware: RigFirmware
}

/** A machine that a stand is to have. */
export interface StandWish {
  readonly firmware: RigFirmware
  /** When it is in no segment of `SUBNET`. */
  readonly ip?: string
  /** Where each of its NICs is plugged in; one NIC beside the daemons when nothing is said. */
  readonly segments?: readonly RigSegment[]
  /** A raw file as its local disk. */
  readonly diskFile?: string
  /** How its system disk comes: over the boot NIC (the default), or from a card that shows local disks. */
  readonly inic?: 'nic' | 'card'
}

/** What a stand may be told beyond its machines. */
export interface StandOptions {
  /** Lines for the configuration's section [target]. */
  readonly target?: readonly string[]
}

/** What a stand's configuration may be told. */
export interface StandChoices {
  /** Whether `ingotd` starts `ingot-targetd` (the default), or nobody does. */
  readonly isTargetManaged?: boolean
  /** The file's subnets, instead of the one that all machines are in. */
  readonly subnets?: string
  /** Sections of the file that it has not by itself. */
  readonly more?: string
}

/** A rig with the daemons in its namespace: what a rack is, in one directory. */
export class Stand {
  readonly dir: string
  readonly name: string
  readonly machines: readonly StandMachine[]
  #target: readonly string[] = []
  #daemon: ChildProcess | undefined
  #targetd: ChildProcess | undefined

  private constructor(dir: string, name: string, machines: readonly StandMachine[]) {
    this.dir = dir
    this.name = name
    this.machines = machines
  }

  /**
   * Makes the namespace, the machines (off) and the configuration; starts no daemon.
   */
  static async make(
    name: string,
    wishes: readonly StandWish[],
    { target = [] }: StandOptions = {},
  ): Promise<Stand> {
    const dir = await mkdtemp(join(tmpdir(), `ingot-${name}-`))
    const cardSocket = join(dir, 'run', 'nbd.sock')
    const machines = wishes.map(({ segments = ['storage'], inic = 'nic', ...wish }, i) => ({
      name: `m${i + 1}`,
      mac: macOf(i, 0),
      ip: `198.18.0.${11 + i}`,
      nics: segments.map((segment, nic) => ({ mac: macOf(i, nic), segment })),
      ...(inic === 'card' && { cardSocket }),
      ...wish,
    }))
    const stand = new Stand(dir, name, machines)
    stand.#target = target
    await mkdir(join(dir, 'state'))
    await mkdir(join(dir, 'run'))
    await writeFile(join(dir, 'ingot.toml'), stand.#config())
    await runCommand('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'key')], {
      timeoutMs: 10_000,
    })
    await rigUp({
      name,
      dir: stand.rigDir,
      address: ADDRESS,
      prefixLength: 24,
      redfishPort: 8000,
      machines: machines.map((machine) => ({ ...machine, memoryMib: 1024, cpus: 2 })),
    })
    return stand
  }

  get rigDir(): string {
    return join(this.dir, 'rig')
  }

  get socket(): string {
    return join(this.dir, 'run', 'api.sock')
  }

  /** The network namespace of machines and daemons. */
  get namespace(): string {
    return `ingot-${this.name}`
  }

  /** Starts `ingotd` in the namespace, by a program that executes it if need be; waits until its API answers. */
  async startDaemon(...wrapper: string[]): Promise<void> {
    const log = await open(join(this.dir, 'ingotd.log'), 'a')
    const argv = ['netns', 'exec', this.namespace, ...wrapper, process.execPath, join(DIST, 'ingotd.js')]
    this.#daemon = spawn('ip', [...argv, '--config', join(this.dir, 'ingot.toml')], {
      stdio: ['ignore', log.fd, log.fd],
    })
    await log.close()
    await until('ingotd answers', 30_000, async () => {
      if (this.#daemon?.exitCode !== null)
        throw new Error(`ingotd ended: ${readFileSync(join(this.dir, 'ingotd.log'), 'utf8').slice(-1000)}`)
      await this.ingot('server', 'list')
      return true
    })
  }

  /** The daemon's process id (`ip netns exec` becomes the program it runs). */
  get daemonPid(): number {
    const pid = this.#daemon?.pid
    if (pid === undefined) throw new Error('ingotd was not started')
    return pid
  }

  /** Runs the command line. @throws CommandFailed with what it printed */
  ingot(...args: string[]): Promise<CommandResult> {
    return this.#ingot(args, undefined)
  }

  /** Runs the command line, passing on what it prints as it comes. */
  ingotAloud(...args: string[]): Promise<CommandResult> {
    return this.#ingot(args, (text) => process.stdout.write(text))
  }

  /** The JSON that a command prints. */
  async ingotJson<T>(...args: string[]): Promise<T> {
    return JSON.parse((await this.ingot('-o', 'json', ...args)).stdout) as T
  }

  /** Enrols every machine. */
  async enrol(): Promise<void> {
    for (const machine of this.machines) {
      const bmc = `redfish://${ADDRESS}:8000/redfish/v1/Systems/${machine.name}`
      await this.ingot(
        ...['machine', 'add', machine.name, '--mac', machine.mac, '--ip', machine.ip],
        ...['--firmware', machine.firmware === 'bios' ? 'bios' : 'uefi', '--bmc', bmc],
        ...['--bmc-credentials-file', join(this.rigDir, 'bmc-credentials')],
        ...['--console-file', join(this.rigDir, machine.name, 'console.log')],
        ...(machine.firmware === 'uefi-secure' ? ['--loader', 'shimx64.efi'] : []),
      )
    }
  }

  /** Runs a shell script inside a guest as root, by the user that its image's cloud-init makes. */
  async ssh(ip: string, script: string, timeoutMs = 120_000, user = 'debian'): Promise<string> {
    const options = [
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
      'ConnectTimeout=20',
      'LogLevel=ERROR',
    ]
    const argv = ['netns', 'exec', this.namespace, 'ssh', '-i', join(this.dir, 'key')]
    const flags = options.flatMap((option) => ['-o', option])
    const result = await runCommand('ip', [...argv, ...flags, `${user}@${ip}`, 'sudo', 'bash', '-s'], {
      timeoutMs,
      stdin: script,
    })
    return result.stdout
  }

  /** Writes the configuration that holds from the daemons' next start on. */
  async configure(choices: StandChoices): Promise<void> {
    await writeFile(join(this.dir, 'ingot.toml'), this.#config(choices))
  }

  /** Starts `ingot-targetd` in the namespace by itself; the daemon must not be managing one. */
  async startTarget(): Promise<void> {
    const log = await open(join(this.dir, 'targetd.log'), 'a')
    const argv = ['netns', 'exec', this.namespace, process.execPath, join(DIST, 'targetd.js')]
    this.#targetd = spawn('ip', [...argv, '--config', join(this.dir, 'ingot.toml')], {
      stdio: ['ignore', log.fd, log.fd],
    })
    await log.close()
  }

  /** Ends the daemon and the target process, whatever state they are in. */
  async stopDaemons(): Promise<void> {
    const pids = [this.#daemon?.pid, this.#targetd?.pid, await this.targetPid().catch(() => undefined)]
    for (const pid of pids) if (pid !== undefined) killQuietly(pid, 'SIGTERM')
    await until('the daemons end', 15_000, () =>
      Promise.resolve(pids.every((pid) => pid === undefined || !isAlive(pid))),
    )
  }

  /** Process id of `ingot-targetd`, found by its command line. */
  async targetPid(): Promise<number> {
    const { stdout } = await runCommand(
      'pgrep',
      ['-f', `targetd.js --config ${join(this.dir, 'ingot.toml')}`],
      {
        timeoutMs: 5000,
      },
    )
    return Number(stdout.trim().split('\n')[0])
  }

  /** Takes everything down; the directory stays when `keep`. */
  async tearDown(keep = false): Promise<void> {
    await rigDown(this.rigDir, { keep })
    await this.stopDaemons()
    if (!keep) await rm(this.dir, { recursive: true, force: true })
  }

  #ingot(args: readonly string[], onStdout: ((text: string) => void) | undefined): Promise<CommandResult> {
    const argv = [join(DIST, 'operator/cli/cli.js'), '--socket', this.socket, ...args]
    return runCommand(process.execPath, argv, { timeoutMs: COMMAND_LIMIT_MS, ...(onStdout && { onStdout }) })
  }

  #config({ isTargetManaged = true, subnets = SUBNET, more = '' }: StandChoices = {}): string {
    return [
      `state_dir = "${join(this.dir, 'state')}"`,
      `run_dir = "${join(this.dir, 'run')}"`,
      `[boot]`,
      `address = "${ADDRESS}"`,
      subnets,
      `[target]`,
      `managed = ${String(isTargetManaged)}`,
      ...this.#target,
      `[image]`,
      `cache_dir = "${CACHE_DIR}"`,
      more,
      '',
    ].join('\n')
  }
}

/** Whether a program is installed. */
export function has(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program]).status === 0
}

/** Asks `check` until it holds. @throws Error naming what was waited for, with the last failure */
export async function until(what: string, timeoutMs: number, check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      if (await check()) return
    } catch (err) {
      last = err
    }
    if (performance.now() > deadline)
      throw new Error(`${what}: not within ${timeoutMs / 1000} s`, { cause: last })
    await sleep(200)
  }
}

/** Whether a process exists (a zombie does not count). */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // the state follows the name, which stands in parentheses and may hold some itself
    return !/^ [ZX]/.test(stat.slice(stat.lastIndexOf(')') + 1))
  } catch {
    return false
  }
}

function macOf(machine: number, nic: number): string {
  return `52:54:00:b0:0${7 + nic}:${(machine + 1).toString(16).padStart(2, '0')}`
}

function killQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // it has ended already
  }
}

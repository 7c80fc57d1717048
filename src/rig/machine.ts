import { copyFile, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import type { Logger } from 'pino'
import { startProcess } from '../command.js'
import { systemCode } from '../errors.js'
import { machinePaths, type MachinePaths, type RigMachinePlan } from './plan.js'
import { endProcess } from './process-by-pid.js'
import { ovmfOf, QEMU, qemuArguments, qemuMarker } from './qemu-argv.js'
import { runQmp } from './qmp.js'

/** What the virtual BMC can be told to do (Redfish `ResetType`, DSP0268 Resource). */
export const RESET_TYPES = [
  'On',
  'ForceOff',
  'GracefulShutdown',
  'ForceRestart',
  'GracefulRestart',
  'PowerCycle',
] as const

/** One of {@link RESET_TYPES}. */
export type ResetType = (typeof RESET_TYPES)[number]

/** Redfish's `BootSourceOverride*`: `Once` lasts until the next start, `Continuous` until changed. */
export interface BootOverride {
  readonly enabled: 'Disabled' | 'Once' | 'Continuous'
  readonly target: 'None' | 'Pxe' | 'Hdd'
}

type StartedProcess = ReturnType<typeof startProcess>

/** A machine as its BMC sees it. */
export interface ManagedMachine {
  readonly name: string
  readonly uuid: string
  readonly memoryMib: number
  readonly firmware: 'BIOS' | 'UEFI'
  readonly powerState: 'On' | 'Off'
  bootOverride: BootOverride
  /** Rejects with {@link PowerConflict} when the power state does not allow it. */
  reset(type: ResetType): Promise<void>
}

/** A reset that the present power state does not allow. */
export class PowerConflict extends Error {
  override readonly name = 'PowerConflict'
}

/** No boot override. */
export const NO_OVERRIDE: BootOverride = { enabled: 'Disabled', target: 'None' }

const QEMU_START_LIMIT_MS = 20_000
const QEMU_END_GRACE_MS = 3000
const CONSOLE_LIMIT_BYTES = 16 << 20

/** A QEMU guest behind a power button. Button presses are obeyed one after the other. */
export class QemuMachine implements ManagedMachine {
  readonly name: string
  readonly uuid: string
  readonly memoryMib: number
  readonly firmware: 'BIOS' | 'UEFI'
  bootOverride: BootOverride = NO_OVERRIDE

  readonly #plan: RigMachinePlan
  readonly #rigDir: string
  readonly #paths: MachinePaths
  readonly #log: Logger
  #qemu: StartedProcess | undefined
  #isRestartWished = false
  #pressed: Promise<void> = Promise.resolve()

  constructor(plan: RigMachinePlan, rigDir: string, log: Logger) {
    this.name = plan.name
    this.uuid = plan.uuid
    this.memoryMib = plan.memoryMib
    this.firmware = plan.firmware === 'bios' ? 'BIOS' : 'UEFI'
    this.#plan = plan
    this.#rigDir = rigDir
    this.#paths = machinePaths(rigDir, plan.name)
    this.#log = log.child({ machine: plan.name })
  }

  get powerState(): 'On' | 'Off' {
    return this.#qemu === undefined ? 'Off' : 'On'
  }

  reset(type: ResetType): Promise<void> {
    const done = this.#pressed.then(() => this.#obey(type))
    this.#pressed = done.catch(ignore) // told to whoever pressed
    return done
  }

  async #obey(type: ResetType): Promise<void> {
    this.#log.info({ reset: type, power: this.powerState }, 'reset asked')
    this.#isRestartWished = false
    if (type === 'On') return this.#powerOn()
    if (type === 'ForceOff') return this.#powerOff()
    if (type === 'PowerCycle') return this.#powerOff().then(() => this.#powerOn())
    if (this.#qemu === undefined) throw new PowerConflict(`${this.name} is off: ${type} needs it on`)
    if (type === 'ForceRestart') return this.#resetLine()
    this.#isRestartWished = type === 'GracefulRestart'
    return this.#qmp('system_powerdown') // the ACPI power button: the guest ends itself, or ignores it
  }

  async #powerOn(): Promise<void> {
    if (this.#qemu !== undefined) return
    await this.#prepareFiles()
    const override = this.#takeOverride()
    const boot = { machine: this.#plan, rigDir: this.#rigDir, isNetworkFirst: override.target !== 'Hdd' }
    const log = await open(this.#paths.log, 'a')
    try {
      this.#watch(startProcess(QEMU, qemuArguments(boot), { stdio: ['ignore', log.fd, log.fd] }))
    } finally {
      await log.close()
    }
    await this.#qmp('query-status') // proves that QEMU took its arguments
  }

  /** A new process is needed to change what a machine boots from, so an override restarts QEMU. */
  async #resetLine(): Promise<void> {
    if (this.bootOverride.target === 'None') return this.#qmp('system_reset')
    await this.#powerOff()
    await this.#powerOn()
  }

  async #powerOff(): Promise<void> {
    const pid = this.#qemu?.pid
    if (this.#qemu === undefined || pid === undefined) return
    const gone = new Promise<void>((resolve) => this.#qemu?.once('exit', () => resolve()))
    await endProcess({ pid, marker: qemuMarker(this.#paths) }, QEMU_END_GRACE_MS)
    await gone
  }

  #watch(qemu: StartedProcess): void {
    this.#qemu = qemu
    const onGone = (how: object): void => {
      if (this.#qemu !== qemu) return
      this.#qemu = undefined
      this.#log.info(how, 'machine is off')
      if (!this.#isRestartWished) return
      this.reset('On').catch((err: unknown) => this.#log.error({ err }, 'machine does not restart'))
    }
    qemu.once('exit', (status, signal) => onGone({ status, signal }))
    qemu.once('error', (err) => onGone({ err }))
  }

  async #prepareFiles(): Promise<void> {
    await mkdir(this.#paths.dir, { recursive: true, mode: 0o700 })
    await rm(this.#paths.qmp, { force: true })
    const size = await stat(this.#paths.console).then((found) => found.size, sizeOfAbsent)
    if (size > CONSOLE_LIMIT_BYTES) await rename(this.#paths.console, `${this.#paths.console}.old`)
    if (this.firmware === 'BIOS') return
    const hasVars = await stat(this.#paths.vars).then(() => true, sizeOfAbsent)
    if (hasVars === 0) await copyFile(ovmfOf(this.#plan.firmware).vars, this.#paths.vars)
  }

  #takeOverride(): BootOverride {
    const override = this.bootOverride
    if (override.enabled === 'Once') this.bootOverride = NO_OVERRIDE
    return override.enabled === 'Disabled' ? NO_OVERRIDE : override
  }

  async #qmp(command: string): Promise<void> {
    const gone = new AbortController()
    const onExit = (): void => gone.abort()
    this.#qemu?.once('exit', onExit)
    await runQmp(this.#paths.qmp, [command], { limitMs: QEMU_START_LIMIT_MS, signal: gone.signal }).finally(
      () => this.#qemu?.off('exit', onExit),
    )
  }
}

function sizeOfAbsent(err: unknown): 0 {
  if (systemCode(err) === 'ENOENT') return 0
  throw err
}

function ignore(): void {
  // deliberately empty
}

import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startProcess } from '../command.js'
import { DaemonError, systemCode } from '../errors.js'
import { createNamespace, deleteNamespace, hasNamespace } from './namespace.js'
import type { RigNicPlan } from './nic-plan.js'
import { machinePaths, planRig, rigPaths, type RigOptions, type RigPlan } from './plan.js'
import { qemuMarker } from './qemu-argv.js'
import { endProcess, findProcess } from './process-by-pid.js'
import { askRig, isAnswering, type SystemState } from './rig-socket.js'

/** A machine of a running rig. */
export interface RigMachineStatus {
  readonly name: string
  readonly nics: readonly RigNicPlan[]
  readonly firmware: string
  /** `Unknown` when the rig does not run. */
  readonly powerState: 'On' | 'Off' | 'Unknown'
  /** For the machine's `bmcUrl`; reachable from inside the namespace. */
  readonly bmcUrl: string
  /** What its serial port said since it was first powered on. */
  readonly consoleFile: string
}

/** A rig as it stands. */
export interface RigStatus {
  readonly name: string
  readonly dir: string
  readonly namespace: string
  readonly address: string
  readonly prefixLength: number
  readonly isRunning: boolean
  /** For every machine's `bmcCredentialsFile`. */
  readonly credentialsFile: string
  readonly machines: readonly RigMachineStatus[]
}

type StartedProcess = ReturnType<typeof startProcess>

const START_LIMIT_MS = 30_000
const POLL_MS = 25
const RIGD_GRACE_MS = 8000
const QEMU_GRACE_MS = 2000

/**
 * Builds the rig and leaves it running by itself; machines are off. Needs root (network namespaces).
 * @throws DaemonError INVALID_INPUT, IN_USE (the directory or the namespace), TIMED_OUT; nothing is left behind then
 */
export async function rigUp(options: RigOptions): Promise<RigStatus> {
  const plan = planRig(options)
  const paths = rigPaths(options.dir)
  await claimDirectory(options.dir)
  if (await hasNamespace(plan.namespace))
    throw new DaemonError(
      'IN_USE',
      `the network namespace ${plan.namespace} exists: another rig has this name`,
    )
  await writeFile(paths.plan, `${JSON.stringify(plan, undefined, 2)}\n`, { flag: 'wx', mode: 0o600 })
  try {
    const credentials = `rig:${randomBytes(18).toString('base64url')}\n`
    await writeFile(paths.credentials, credentials, { flag: 'wx', mode: 0o600 })
    await createNamespace(plan.namespace, plan)
    await startRigd(plan, options.dir)
  } catch (err) {
    await rigDown(options.dir)
    throw err
  }
  return rigStatus(options.dir)
}

/**
 * Ends the rig: machines off, rigd stopped, namespace with bridge and taps deleted, then the rig's own files. May be
 * called again, and after rigd died; a directory without a rig is left alone.
 * @param options.keep leaves the files (consoles, logs) for reading
 */
export async function rigDown(dir: string, options: { readonly keep?: boolean } = {}): Promise<void> {
  const plan = await readPlan(dir)
  if (plan === undefined) return
  const paths = rigPaths(dir)
  const rigd = await findProcess(paths.pid, rigdMarker(dir))
  if (rigd !== undefined) await endProcess(rigd, RIGD_GRACE_MS)
  for (const { name } of plan.machines) {
    const machine = machinePaths(dir, name)
    const orphan = await findProcess(machine.pid, qemuMarker(machine))
    if (orphan !== undefined) await endProcess(orphan, QEMU_GRACE_MS)
  }
  await deleteNamespace(plan.namespace)
  if (options.keep !== true) await removeFiles(dir, plan)
}

/**
 * The rig in `dir` and the power of its machines.
 * @throws DaemonError NOT_FOUND when there is none
 */
export async function rigStatus(dir: string): Promise<RigStatus> {
  const plan = await readPlan(dir)
  if (plan === undefined) throw new DaemonError('NOT_FOUND', `there is no rig in ${dir}`)
  const paths = rigPaths(dir)
  const isRunning =
    (await findProcess(paths.pid, rigdMarker(dir))) !== undefined && (await isAnswering(paths.socket))
  const machines = plan.machines.map(async (machine) => ({
    name: machine.name,
    nics: machine.nics,
    firmware: machine.firmware,
    powerState: isRunning ? (await systemState(dir, machine.name)).PowerState : ('Unknown' as const),
    bmcUrl: `redfish://${plan.address}:${plan.redfishPort}/redfish/v1/Systems/${machine.name}`,
    consoleFile: machinePaths(dir, machine.name).console,
  }))
  const { name, namespace, address, prefixLength } = plan
  const credentialsFile = paths.credentials
  return {
    name,
    dir,
    namespace,
    address,
    prefixLength,
    isRunning,
    credentialsFile,
    machines: await Promise.all(machines),
  }
}

/** Arguments stand NUL-ended in /proc/PID/cmdline, so this matches one directory only. */
function rigdMarker(dir: string): string {
  return `--dir\0${dir}\0`
}

async function systemState(dir: string, machineName: string): Promise<SystemState> {
  const paths = rigPaths(dir)
  const credentials = (await readFile(paths.credentials, 'utf8')).trim()
  return askRig(paths.socket, credentials, machineName)
}

async function claimDirectory(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const found = await readdir(dir)
  if (found.length > 0) throw new DaemonError('IN_USE', `dir: ${dir} is not empty`)
}

async function startRigd(plan: RigPlan, dir: string): Promise<void> {
  const log = await open(rigPaths(dir).log, 'a', 0o600)
  try {
    // beside this file, with this process's loader options: the same under a TypeScript loader as after a build
    const rigd = fileURLToPath(
      new URL(import.meta.url.endsWith('.ts') ? './rigd.ts' : './rigd.js', import.meta.url),
    )
    const node = [process.execPath, ...process.execArgv, rigd, '--dir', dir]
    const child = startProcess('ip', ['netns', 'exec', plan.namespace, ...node], {
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
    })
    await untilReady(child, dir)
    child.unref()
  } finally {
    await log.close()
  }
}

async function untilReady(child: StartedProcess, dir: string): Promise<void> {
  const { socket, log } = rigPaths(dir)
  let ending: string | undefined
  child.once('error', (err) => (ending = err.message))
  child.once('exit', (status) => (ending = `status ${status ?? 'unknown'}`))
  for (let waitedMs = 0; waitedMs < START_LIMIT_MS; waitedMs += POLL_MS) {
    if (await isAnswering(socket)) return
    if (ending !== undefined)
      throw new Error(`rigd ended (${ending}): ${(await readFile(log, 'utf8')).slice(-2000)}`)
    await delay(POLL_MS)
  }
  child.kill('SIGKILL')
  throw new DaemonError('TIMED_OUT', `the rig did not answer on ${socket} in ${START_LIMIT_MS} ms`)
}

async function readPlan(dir: string): Promise<RigPlan | undefined> {
  try {
    return JSON.parse(await readFile(rigPaths(dir).plan, 'utf8')) as RigPlan // written by rigUp
  } catch (err) {
    if (systemCode(err) === 'ENOENT') return undefined
    throw err
  }
}

/** Only what a rig makes; `rig.json` last, so that an interrupted end can be called again. */
async function removeFiles(dir: string, plan: RigPlan): Promise<void> {
  const paths = rigPaths(dir)
  for (const { name } of plan.machines)
    await rm(machinePaths(dir, name).dir, { recursive: true, force: true })
  for (const file of [paths.credentials, paths.pid, paths.log, paths.socket, paths.plan])
    await rm(file, { force: true })
  await rmdir(dir).catch((err: unknown) => {
    if (systemCode(err) !== 'ENOTEMPTY') throw err
  })
}

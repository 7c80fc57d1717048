import { spawnSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { systemClock } from '../../../src/clock.js'
import type { DaemonEvent } from '../../../src/events.js'
import type { BlockDevice } from '../../../src/rootdisk/block-device.js'
import type { NbdServer } from '../../../src/rootdisk/nbd/nbd-server.js'
import { serveDevice } from '../../../src/rootdisk/nbd/serve-device.js'

/** A served device and what was said about it. */
export interface Served {
  readonly server: NbdServer
  readonly socketPath: string
  readonly events: DaemonEvent[]
}

/** What a server needs besides its exports. */
export function serverDeps(events: DaemonEvent[]): Parameters<typeof serveDevice>[1] {
  return { clock: systemClock, log: pino({ level: 'silent' }), emit: (event) => events.push(event) }
}

/** A directory whose path is short enough for sockets; gone after the test. */
export function socketDir(test: { teardown(fn: () => void): unknown }): string {
  const dir = mkdtempSync(join(tmpdir(), 'ingot-nbd-'))
  test.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Serves `device` as the export `disk` until the test ends. */
export async function serve(
  device: BlockDevice,
  test: { teardown(fn: () => unknown): unknown },
): Promise<Served> {
  const events: DaemonEvent[] = []
  const socketPath = join(socketDir(test), 'nbd.sock')
  const server = serveDevice({ device, socketPath, name: 'disk', description: 'a disk' }, serverDeps(events))
  await server.start((cause) => {
    throw cause
  })
  test.teardown(() => server.stop())
  return { server, socketPath, events }
}

/** A reason to skip, or false. */
export function missing(program: string): string | false {
  return !existsSync(`/usr/bin/${program}`) && `${program} is not installed`
}

/** Status and output of a program that must end within 20 s; asynchronous, since the server is in this process. */
export function run(program: string, args: readonly string[]): Promise<{ status: number; output: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => resolve({ status: status ?? -1, output }))
  })
}

/** Runs openssl, which is quick and needs no server. */
export function openssl(args: readonly string[], cwd: string): void {
  const { status, stderr } = spawnSync('openssl', args, { cwd, encoding: 'utf8', timeout: 20_000 })
  if (status !== 0) throw new Error(stderr)
}

import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { systemCode } from '../errors.js'

const POLL_MS = 20

/** A process named by a pid file and by a word of its command line, since the kernel hands pids out again. */
export interface KnownProcess {
  readonly pid: number
  /** An argument, or the end of one, that only this process has. */
  readonly marker: string
}

/** The process a pid file names, or undefined when the file is absent, torn, or the process is another or gone. */
export async function findProcess(pidFile: string, marker: string): Promise<KnownProcess | undefined> {
  const text = await readFile(pidFile, 'utf8').catch(() => '')
  const pid = Number(text.trim())
  if (!Number.isInteger(pid) || pid <= 1) return undefined
  const known = { pid, marker }
  return (await isRunning(known)) ? known : undefined
}

/** Whether the process still runs; a zombie, whose command line is empty, does not. */
export async function isRunning({ pid, marker }: KnownProcess): Promise<boolean> {
  const cmdline = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return cmdline.includes(marker)
}

/** Asks the process to end (SIGTERM), then makes it (SIGKILL) after `graceMs`; resolves when it is gone. */
export async function endProcess(known: KnownProcess, graceMs: number): Promise<void> {
  signal(known, 'SIGTERM')
  if (await isGoneWithin(known, graceMs)) return
  signal(known, 'SIGKILL')
  if (await isGoneWithin(known, graceMs)) return
  throw new Error(`process ${known.pid} (${known.marker}) did not end on SIGKILL`)
}

async function isGoneWithin(known: KnownProcess, limitMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs <= limitMs; waitedMs += POLL_MS) {
    if (!(await isRunning(known))) return true
    await delay(POLL_MS)
  }
  return false
}

function signal({ pid }: KnownProcess, name: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, name)
  } catch (err) {
    if (systemCode(err) !== 'ESRCH') throw err
  }
}

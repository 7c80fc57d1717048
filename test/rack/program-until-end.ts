import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'

/** A program of a test. */
export interface TestProgram {
  /** Program and arguments. */
  readonly argv: readonly string[]
  /** A line of its output that fits says that it is ready. */
  readonly isReady: RegExp
  /** How it is ended. */
  readonly endSignal: 'SIGTERM' | 'SIGKILL'
}

/** Starts a program that runs until the test ends; resolves when it is ready. @throws Error when it ends before */
export async function startUntilEnd(
  t: Test,
  { argv, isReady, endSignal }: TestProgram,
): Promise<ChildProcess> {
  const [program = '', ...args] = argv
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill(endSignal)
    await once(child, 'exit')
  })
  const said: string[] = []
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line)
        if (isReady.test(line)) resolve()
      })
    }
    child.once('exit', () => reject(new Error(`${argv.join(' ')} ended: ${said.slice(-5).join('\n')}`)))
  })
  return child
}

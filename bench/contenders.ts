// The two that a bench compares: our portal over clones of one image, and tgtd over raw copies of it.
import { randomFillSync } from 'node:crypto'
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../src/command.js'
import { importRaw } from '../src/rootdisk/volume/import-raw.js'
import { createLayer } from '../src/rootdisk/volume/layer.js'

/** The clones are iqn.2026-01.bench:0 and up, each with its disk as LUN 1. */
export const IQN = 'iqn.2026-01.bench:'

/** A target process and where it listens. */
export interface Contender {
  readonly name: string
  readonly port: number
  readonly process: ChildProcess
}

/** What volume-target.ts is told, as one JSON argument. */
export interface CloneServer {
  readonly layersDir: string
  readonly runDir: string
  readonly sizeBytes: number
  readonly golden: string
  readonly clones: readonly string[]
  readonly cacheBytes: number
  /** A clone of its own that is served over NBD there, by the name `clone`. */
  readonly nbdClone: string
  readonly nbdSocket: string
}

/** What a bench has to end and to remove, however it ends. */
const running: ChildProcess[] = []
const leftovers: string[] = []

/** Kills what was started, by its process, and removes its files. */
export function end(): void {
  for (const child of running.splice(0)) child.kill('SIGKILL')
  for (const path of leftovers.splice(0)) rmSync(path, { recursive: true, force: true })
}

/** Runs a bench and cleans up after it, also when it is interrupted. */
export async function runBench(bench: (scratch: string) => Promise<Record<string, number>>): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      end()
      process.exit(1)
    })
  }
  const scratch = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'files-'))
  leftovers.push(scratch)
  try {
    const figures = await bench(scratch)
    end()
    process.stdout.write(`${JSON.stringify(figures)}\n`)
  } finally {
    end()
  }
}

/** A file of random bytes. */
export function writeRandom(path: string, sizeBytes: number): void {
  const fd = openSync(path, 'w')
  const chunk = Buffer.alloc(4 << 20)
  for (let at = 0; at < sizeBytes; at += chunk.length) {
    writeSync(fd, randomFillSync(chunk), 0, Math.min(chunk.length, sizeBytes - at), at)
  }
  closeSync(fd)
}

/** A sealed golden layer with the bytes of `raw`, empty clones of it, and where they are. */
export async function makeClones(
  scratch: string,
  raw: string,
  sizeBytes: number,
  count: number,
): Promise<CloneServer> {
  const layersDir = mkdtempSync(join(scratch, 'layers-'))
  // Live maps lie on tmpfs in a real installation.
  const runDir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ingot-bench-'))
  leftovers.push(runDir)
  await importRaw({ layersDir, layerId: 'golden', sizeBytes, sourcePath: raw })
  const clones = Array.from({ length: count }, (_, i) => `clone${i}`)
  const nbdClone = 'nbd'
  for (const layerId of [...clones, nbdClone]) await createLayer({ layersDir }, { layerId, sizeBytes })
  return {
    layersDir,
    runDir,
    sizeBytes,
    golden: 'golden',
    clones,
    cacheBytes: 1 << 30,
    nbdClone,
    nbdSocket: join(runDir, 'nbd.sock'),
  }
}

/** Our portal, in a process of its own. */
export async function startOurs(clones: CloneServer): Promise<Contender> {
  const script = new URL('./volume-target.js', import.meta.url).pathname
  const child = spawn(process.execPath, [script, JSON.stringify(clones)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  running.push(child)
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', () => {
      reject(new Error('our target ended at once'))
    })
    child.stdout.once('data', (line: Buffer) => {
      resolve(Number(line.toString()))
    })
  })
  return { name: 'ours', port, process: child }
}

/** A server that is ended with the bench; it listens where the caller told it to. */
export function spawnContender(program: string, argv: readonly string[]): Contender {
  const child = spawn(program, argv, { stdio: ['ignore', 'ignore', 'inherit'] })
  child.on('error', () => {
    process.stderr.write(`${program} does not start\n`)
  })
  running.push(child)
  return { name: program, port: 0, process: child }
}

/** Asks our target how often it read a chunk of the golden layer from the file: the most, and in all. */
export function chunkReads({
  process: child,
}: Contender): Promise<{ most: number; total: number; chunks: number }> {
  return new Promise((resolve) => {
    child.stdout?.once('data', (line: Buffer) => {
      resolve(JSON.parse(line.toString()) as { most: number; total: number; chunks: number })
    })
    child.stdin?.write('reads\n')
  })
}

/** tgtd over one raw file a target. */
export async function startTgtd(files: readonly string[]): Promise<Contender> {
  const port = await freePort()
  const control = String(port % 30_000) // tgtd names its control socket by a number
  leftovers.push(`/var/run/tgtd/socket.${control}`, `/var/run/tgtd/socket.${control}.lock`)
  mkdirSync('/var/run/tgtd', { recursive: true })
  const child = spawn('tgtd', ['-f', '-C', control, '--iscsi', `portal=127.0.0.1:${port}`], {
    stdio: 'ignore',
  })
  child.on('error', () => {
    process.stderr.write('tgtd (Debian package tgt) does not start\n')
  })
  running.push(child)
  await untilListening(port)
  const tgtadm = (...words: string[]): Promise<unknown> =>
    runCommand('tgtadm', ['-C', control, '--lld', 'iscsi', ...words], { timeoutMs: 10_000 })
  for (const [i, file] of files.entries()) {
    const tid = String(i + 1)
    await tgtadm('--mode', 'target', '--op', 'new', '--tid', tid, '-T', `${IQN}${i}`)
    await tgtadm('--mode', 'logicalunit', '--op', 'new', '--tid', tid, '--lun', '1', '-b', file)
    await tgtadm('--mode', 'target', '--op', 'bind', '--tid', tid, '-I', 'ALL')
  }
  return { name: 'tgtd', port, process: child }
}

/** Raw copies of an image, as a target without copy-on-write needs them. */
export async function rawCopies(scratch: string, raw: string, count: number): Promise<string[]> {
  const directory = mkdtempSync(join(scratch, 'raw-'))
  const paths = Array.from({ length: count }, (_, i) => join(directory, `disk${i}`))
  for (const path of paths) await runCommand('cp', ['--sparse=always', raw, path], { timeoutMs: 600_000 })
  return paths
}

/** Ends one contender before the bench does. */
export async function stop({ process: child }: Contender): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

/** The load generator's figures for one run. */
export async function load(target: Contender, words: readonly string[]): Promise<Record<string, number>> {
  const program = join(process.argv[2] ?? '', 'iscsi-load')
  const where = ['-p', String(target.port), '-P', String(target.process.pid)]
  const { stdout } = await runCommand(program, [...where, ...words], { timeoutMs: 300_000 })
  return JSON.parse(stdout) as Record<string, number>
}

/** The middle one. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

/** Two decimals. */
export function rounded(value: number): number {
  return Number(value.toFixed(2))
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  })
}

async function untilListening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        resolve(true)
      }).on('error', () => {
        resolve(false)
      })
      socket.on('connect', () => socket.destroy())
    })
    if (isUp) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('tgtd did not start')
}

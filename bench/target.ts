// Our portal over a clone against tgtd over a raw file with the same bytes: alternating rounds of the same loads.
// Prints medians and, last, the ratios as one JSON object.
import { randomFillSync } from 'node:crypto'
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../src/command.js'
import { importRaw } from '../src/rootdisk/volume/import-raw.js'
import { createLayer } from '../src/rootdisk/volume/layer.js'

const SIZE_BYTES = 512 << 20
const IQN = 'iqn.2026-01.bench:0'
const INITIATOR_IQN = 'iqn.2026-01.load:0'
/** In the order in which they run: reads first, while the clone has nothing of its own. */
const LOADS = [
  { name: 'rr4k_clone_io_per_cpu', field: 'iops_per_cpu', args: ['-m', 'rr', '-b', '4096', '-q', '32'] },
  { name: 'sr256k_mbps', field: 'MBps', args: ['-m', 'sr', '-b', '262144', '-q', '8'] },
  { name: 'rw4k_io_per_cpu', field: 'iops_per_cpu', args: ['-m', 'rw', '-b', '4096', '-q', '32'] },
  { name: 'sw256k_mbps', field: 'MBps', args: ['-m', 'sw', '-b', '262144', '-q', '8'] },
] as const

interface Contender {
  readonly port: number
  readonly process: ChildProcess
}

/** What the bench has to end and to remove, however it ends. */
const running: ChildProcess[] = []
const leftovers: string[] = []

async function main(): Promise<void> {
  const [cache = '', rounds = '3'] = process.argv.slice(2)
  const directory = mkdtempSync(join(cache, 'files-'))
  // Live maps lie on tmpfs in a real installation.
  const runDir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ingot-bench-'))
  leftovers.push(directory, runDir)
  const raw = join(directory, 'peer.raw')
  writeRandom(raw)
  const ours = await startOurs(directory, runDir, raw)
  const peer = await startPeer(raw)
  const ratios: Record<string, number> = {
    rr4k_clone_io_per_cpu: 0,
    rw4k_io_per_cpu: 0,
    sr256k_mbps: 0,
    sw256k_mbps: 0,
  }
  for (const load of LOADS) {
    const figures: [number[], number[]] = [[], []]
    for (let round = 0; round < Number(rounds); round++) {
      figures[0].push(await measure(join(cache, 'iscsi-load'), ours, load))
      figures[1].push(await measure(join(cache, 'iscsi-load'), peer, load))
    }
    const [mine, theirs] = [median(figures[0]), median(figures[1])]
    ratios[load.name] = Number((mine / theirs).toFixed(2))
    process.stdout.write(`${load.name}: ours ${mine.toFixed(0)}, tgtd ${theirs.toFixed(0)}\n`)
  }
  end()
  process.stdout.write(`${JSON.stringify(ratios)}\n`)
}

/** Kills what was started, by its process, and removes its files. */
function end(): void {
  for (const child of running.splice(0)) child.kill('SIGKILL')
  for (const path of leftovers.splice(0)) rmSync(path, { recursive: true, force: true })
}

function writeRandom(path: string): void {
  const fd = openSync(path, 'w')
  const chunk = Buffer.alloc(4 << 20)
  for (let at = 0; at < SIZE_BYTES; at += chunk.length)
    writeSync(fd, randomFillSync(chunk), 0, chunk.length, at)
  closeSync(fd)
}

/** A sealed golden layer with the bytes of `raw`, an empty clone on top of it, and a portal that serves the clone. */
async function startOurs(directory: string, runDir: string, raw: string): Promise<Contender> {
  const layersDir = join(directory, 'layers')
  mkdirSync(layersDir)
  await importRaw({ layersDir, layerId: 'golden', sizeBytes: SIZE_BYTES, sourcePath: raw })
  await createLayer({ layersDir }, { layerId: 'clone', sizeBytes: SIZE_BYTES })
  const script = new URL('./volume-target.js', import.meta.url).pathname
  const names = [String(SIZE_BYTES), IQN, INITIATOR_IQN, 'clone', 'golden']
  const child = spawn(process.execPath, [script, layersDir, runDir, ...names], {
    stdio: ['ignore', 'pipe', 'inherit'],
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
  return { port, process: child }
}

async function startPeer(backing: string): Promise<Contender> {
  const port = await freePort()
  const control = String(port % 30_000) // tgtd names its control socket by a number
  leftovers.push(`/var/run/tgtd/socket.${control}`, `/var/run/tgtd/socket.${control}.lock`)
  const child = spawn('tgtd', ['-f', '-C', control, '--iscsi', `portal=127.0.0.1:${String(port)}`], {
    stdio: 'ignore',
  })
  child.on('error', () => {
    process.stderr.write('tgtd (Debian package tgt) does not start\n')
  })
  running.push(child)
  await untilListening(port)
  const tgtadm = (...words: string[]): Promise<unknown> =>
    runCommand('tgtadm', ['-C', control, '--lld', 'iscsi', ...words], { timeoutMs: 10_000 })
  await tgtadm('--mode', 'target', '--op', 'new', '--tid', '1', '-T', IQN)
  await tgtadm('--mode', 'logicalunit', '--op', 'new', '--tid', '1', '--lun', '1', '-b', backing)
  await tgtadm('--mode', 'target', '--op', 'bind', '--tid', '1', '-I', 'ALL')
  return { port, process: child }
}

async function measure(program: string, target: Contender, load: (typeof LOADS)[number]): Promise<number> {
  const where = ['-p', String(target.port), '-P', String(target.process.pid), '-t', '2']
  const { stdout } = await runCommand(program, [...where, ...load.args], { timeoutMs: 30_000 })
  const figures = JSON.parse(stdout) as Record<string, number>
  return figures[load.field] ?? 0
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
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

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    end()
    process.exit(1)
  })
}
try {
  await main()
} finally {
  end()
}

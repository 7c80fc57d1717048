// Our portal against tgtd, alternating rounds of the same loads; prints medians and, last, the ratios.
import { spawn, type ChildProcess } from 'node:child_process'
import { ftruncateSync, mkdtempSync, openSync, closeSync, rmSync } from 'node:fs'
import { createServer, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '../src/command.js'

const SIZE_BYTES = 512 << 20
const PEER_IQN = 'iqn.2026-01.bench:0'
const LOADS = [
  { name: 'rr4k_clone_io_per_cpu', field: 'iops_per_cpu', args: ['-m', 'rr', '-b', '4096', '-q', '32'] },
  { name: 'rw4k_io_per_cpu', field: 'iops_per_cpu', args: ['-m', 'rw', '-b', '4096', '-q', '32'] },
  { name: 'sr256k_mbps', field: 'MBps', args: ['-m', 'sr', '-b', '262144', '-q', '8'] },
  { name: 'sw256k_mbps', field: 'MBps', args: ['-m', 'sw', '-b', '262144', '-q', '8'] },
] as const

interface Contender {
  readonly port: number
  readonly process: ChildProcess
}

async function main(): Promise<void> {
  const [cache = '', rounds = '3'] = process.argv.slice(2)
  const directory = mkdtempSync(join(tmpdir(), 'ingot-bench-'))
  const running: ChildProcess[] = []
  try {
    const ours = await startOurs(running)
    const peer = await startPeer(directory, running)
    const ratios: Record<string, number> = {}
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
    process.stdout.write(`${JSON.stringify(ratios)}\n`)
  } finally {
    for (const child of running) child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
}

async function startOurs(running: ChildProcess[]): Promise<Contender> {
  const script = new URL('./memory-target.js', import.meta.url).pathname
  const child = spawn(process.execPath, [script, String(SIZE_BYTES), '0', 'iqn.2026-01.load:0'], {
    stdio: ['ignore', 'pipe', 'ignore'],
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

async function startPeer(directory: string, running: ChildProcess[]): Promise<Contender> {
  const port = await freePort()
  const control = String(port % 30_000) // tgtd names its control socket by a number
  const backing = join(directory, 'peer.raw')
  const fd = openSync(backing, 'w')
  ftruncateSync(fd, SIZE_BYTES)
  closeSync(fd)
  const args = ['-f', '-C', control, '--iscsi', `portal=127.0.0.1:${String(port)}`]
  const child = spawn('tgtd', args, { stdio: 'ignore' })
  running.push(child)
  await untilListening(port)
  const tgtadm = (...words: string[]): Promise<unknown> =>
    runCommand('tgtadm', ['-C', control, '--lld', 'iscsi', ...words], { timeoutMs: 10_000 })
  await tgtadm('--mode', 'target', '--op', 'new', '--tid', '1', '-T', PEER_IQN)
  await tgtadm('--mode', 'logicalunit', '--op', 'new', '--tid', '1', '--lun', '1', '-b', backing)
  await tgtadm('--mode', 'target', '--op', 'bind', '--tid', '1', '-I', 'ALL')
  await runCommand('dd', ['if=/dev/zero', `of=${backing}`, 'bs=1M', 'count=512', 'conv=notrunc'], {
    timeoutMs: 60_000,
  })
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

await main()

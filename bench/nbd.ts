// Our NBD export of a clone against qemu-storage-daemon's of a qcow2 clone of the same image, loaded by fio.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../src/command.js'
import { median, rounded, spawnContender, stop, type Contender } from './contenders.js'

/** Clock ticks in a second of /proc/PID/stat (sysconf(_SC_CLK_TCK), the same on every Linux that Node runs on). */
const TICKS = 100

interface NbdServer {
  readonly contender: Contender
  readonly socket: string
}

/** Prints both, and gives our I/O for each CPU second of the server divided by theirs. */
export async function compareNbd(
  scratch: string,
  raw: string,
  ours: NbdServer,
  rounds: number,
): Promise<Record<string, number>> {
  const theirs = await startQemuStorageDaemon(scratch, raw)
  const ratios: Record<string, number> = {}
  for (const [name, mode] of [
    ['nbd_rr4k_io_per_cpu', 'randread'],
    ['nbd_rw4k_io_per_cpu', 'randwrite'],
  ] as const) {
    const figures: [number[], number[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      for (const [i, server] of [ours, theirs].entries()) figures[i]?.push(await ioPerCpu(server, mode))
    }
    const [mine, other] = [median(figures[0]), median(figures[1])]
    ratios[name] = rounded(mine / other)
    process.stdout.write(`${name}: ours ${mine.toFixed(0)}, qemu-storage-daemon ${other.toFixed(0)}\n`)
  }
  await stop(theirs.contender)
  return ratios
}

async function startQemuStorageDaemon(scratch: string, raw: string): Promise<NbdServer> {
  const clone = join(scratch, 'clone.qcow2')
  const socket = join(scratch, 'qsd.sock')
  await runCommand('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', clone], {
    timeoutMs: 10_000,
  })
  const contender = spawnContender('qemu-storage-daemon', [
    ...['--blockdev', `driver=file,node-name=file,filename=${clone}`],
    ...['--blockdev', 'driver=qcow2,node-name=disk,file=file'],
    ...['--nbd-server', `addr.type=unix,addr.path=${socket}`],
    ...['--export', 'type=nbd,id=export,node-name=disk,name=clone,writable=on'],
  ])
  for (let attempt = 0; attempt < 50 && !existsSync(socket); attempt++) await sleep(100)
  return { contender, socket }
}

async function ioPerCpu({ contender, socket }: NbdServer, mode: string): Promise<number> {
  const pid = contender.process.pid ?? 0
  const before = cpuSeconds(pid)
  const { stdout } = await runCommand(
    'fio',
    [
      ...['--name=load', '--ioengine=nbd', `--uri=nbd+unix:///clone?socket=${socket}`, `--rw=${mode}`],
      ...['--bs=4k', '--iodepth=32', '--size=512m', '--time_based', '--runtime=3', '--output-format=json'],
    ],
    { timeoutMs: 60_000 },
  )
  // fio greets before it reports
  const { jobs } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
    jobs: { read: { total_ios: number }; write: { total_ios: number } }[]
  }
  const ios = (jobs[0]?.read.total_ios ?? 0) + (jobs[0]?.write.total_ios ?? 0)
  return ios / Math.max(0.01, cpuSeconds(pid) - before)
}

/** User and system time of a process, all its threads (proc(5)). */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

// Our TFTP server beside dnsmasq's (and in.tftpd, where installed): CPU of the server for each MiB, in network
// namespaces of the bench's own, asked by tftp-get.c. Rounds alternate; medians; last our figures over dnsmasq's.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../src/command.js'
import { median, rounded, runBench, spawnContender, stop, writeRandom } from './contenders.js'

const NET = `ingot-tftp-${process.pid}`
const ADDRESS = '198.18.69.1'
const MIB = 1 << 20
const FILE_MIB = 64
const ACCOUNTS = '/sys/fs/cgroup/cpuacct'

/** One line of the table: what the client asks for, from whom. */
interface Load {
  readonly name: string
  readonly server: 'ours' | 'dnsmasq' | 'in.tftpd'
  readonly file: string
  readonly blksize: number
  readonly window: number
  readonly transfers: number
}

interface Server {
  /** CPU that it and its children have used, microseconds. */
  cpuUs(): number
  stop(): Promise<void>
}

const load = (
  server: Load['server'],
  shape: readonly [blksize: number, window: number],
  transfers = 1,
): Load => {
  const [blksize, window] = shape
  const name = `${server}, ${transfers} x ${blksize}/${window}`
  return { name, server, file: transfers === 1 ? 'large' : 'small', blksize, window, transfers }
}

// dnsmasq 2.90 and in.tftpd 5.2 grant no window: 1468/1 is the best that dnsmasq does, and 8192/1 that in.tftpd does.
const LOADS: readonly Load[] = [
  load('dnsmasq', [1468, 1]),
  load('ours', [1468, 1]),
  load('ours', [1468, 16]),
  load('in.tftpd', [1468, 1]),
  load('in.tftpd', [8192, 1]),
  load('dnsmasq', [1468, 1], 500),
  load('ours', [1468, 1], 500),
  load('ours', [1468, 16], 500),
]

await runBench(async (scratch) => {
  const rounds = Number(process.argv[3] ?? 5)
  writeRandom(join(scratch, 'large'), FILE_MIB * MIB)
  execFileSync('sh', ['-c', 'head -c 262144 large > small; chmod -R a+rX .'], { cwd: scratch })
  layNetwork()
  try {
    const figures = await measureAll(scratch, rounds)
    const cost = (name: string): number => figures.get(name) ?? NaN
    const theirs = cost('dnsmasq, 1 x 1468/1')
    return {
      cpu_per_mib_w16_vs_dnsmasq: rounded(cost('ours, 1 x 1468/16') / theirs),
      cpu_per_mib_w1_vs_dnsmasq: rounded(cost('ours, 1 x 1468/1') / theirs),
    }
  } finally {
    for (const name of [`${NET}-s`, `${NET}-c`]) ip(`netns del ${name}`)
  }
})

/** The median CPU for each MiB of each load, microseconds. */
async function measureAll(scratch: string, rounds: number): Promise<ReadonlyMap<string, number>> {
  const loads = LOADS.filter(({ server }) => server !== 'in.tftpd' || hasProgram(server))
  const cpu = new Map(loads.map(({ name }) => [name, [] as number[]]))
  const speed = new Map(loads.map(({ name }) => [name, [] as number[]]))
  for (let round = 0; round < rounds; round++) {
    for (const each of loads) {
      const { cpuUsPerMib, mibPerSecond } = await measure(scratch, each)
      cpu.get(each.name)?.push(cpuUsPerMib)
      speed.get(each.name)?.push(mibPerSecond)
    }
  }
  for (const { name } of loads) {
    const [cost, pace] = [median(cpu.get(name) ?? []), median(speed.get(name) ?? [])]
    process.stdout.write(`${name}: ${cost.toFixed(0)} us CPU per MiB, ${pace.toFixed(1)} MiB/s\n`)
  }
  return new Map(loads.map(({ name }) => [name, median(cpu.get(name) ?? [])]))
}

/** Starts a server, warms it, loads it, and ends it. */
async function measure(scratch: string, each: Load): Promise<{ cpuUsPerMib: number; mibPerSecond: number }> {
  const server = await start(scratch, each.server)
  try {
    await fetch(each)
    const before = server.cpuUs()
    const { bytes, seconds } = await fetch(each)
    await sleep(50)
    return { cpuUsPerMib: (server.cpuUs() - before) / (bytes / MIB), mibPerSecond: bytes / MIB / seconds }
  } finally {
    await server.stop()
  }
}

async function fetch({
  file,
  blksize,
  window,
  transfers,
}: Load): Promise<{ bytes: number; seconds: number }> {
  const shape = ['-b', String(blksize), '-w', String(window), '-n', String(transfers)]
  const client = [join(process.argv[2] ?? '', 'tftp-get'), '-s', ADDRESS, '-f', file, ...shape]
  const { stdout } = await runCommand('ip', ['netns', 'exec', `${NET}-c`, ...client], { timeoutMs: 130_000 })
  return JSON.parse(stdout) as { bytes: number; seconds: number }
}

/** Runs a server in its namespace and in a CPU account of its own: in.tftpd's children are nobody's. */
async function start(scratch: string, name: Load['server']): Promise<Server> {
  const account = join(ACCOUNTS, `${NET}-${name}`)
  mkdirSync(account)
  const script = `echo $$ > ${account}/cgroup.procs; exec ip netns exec ${NET}-s "$@" 2>/dev/null`
  const contender = spawnContender('sh', ['-c', script, 'sh', ...argvOf(name, scratch)])
  for (let attempt = 0; !isListening(); attempt++) {
    if (attempt > 200) throw new Error(`${name} does not listen`)
    await sleep(20)
  }
  return {
    cpuUs: () => Number(readFileSync(join(account, 'cpuacct.usage'), 'utf8')) / 1000,
    stop: async () => {
      await stop(contender)
      const strays = readFileSync(join(account, 'cgroup.procs'), 'utf8').split('\n')
      for (const pid of strays.map(Number)) if (pid > 0) process.kill(pid, 'SIGKILL')
      while (readFileSync(join(account, 'cgroup.procs'), 'utf8') !== '') await sleep(20)
      rmdirSync(account)
    },
  }
}

function argvOf(name: Load['server'], scratch: string): readonly string[] {
  switch (name) {
    case 'ours':
      return [process.execPath, new URL('./tftp-server.js', import.meta.url).pathname, scratch, ADDRESS]
    case 'dnsmasq':
      return [
        ...[
          'dnsmasq',
          '--no-daemon',
          '--conf-file=/dev/null',
          '--port=0',
          '--user=root',
          '--log-facility=/dev/null',
        ],
        ...[`--listen-address=${ADDRESS}`, '--enable-tftp', `--tftp-root=${scratch}`, '--tftp-max=1000'],
      ]
    case 'in.tftpd':
      return ['in.tftpd', '--foreground', '--user', 'root', '--address', `${ADDRESS}:69`, '--secure', scratch]
  }
}

function isListening(): boolean {
  const script = ['netns', 'exec', `${NET}-s`, 'cat', '/proc/net/udp']
  return execFileSync('ip', script, { encoding: 'utf8' }).includes(':0045 ')
}

function hasProgram(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((directory) => existsSync(join(directory, name)))
}

function layNetwork(): void {
  if (!existsSync(join(ACCOUNTS, 'cpuacct.usage'))) throw new Error(`the bench needs ${ACCOUNTS} (cgroup v1)`)
  for (const name of [`${NET}-s`, `${NET}-c`]) ip(`netns add ${name}`)
  ip(`-n ${NET}-s link add eth0 type veth peer name eth0 netns ${NET}-c`)
  ip(`-n ${NET}-s addr add ${ADDRESS}/24 dev eth0`)
  ip(`-n ${NET}-c addr add 198.18.69.2/24 dev eth0`)
  for (const name of [`${NET}-s`, `${NET}-c`]) ip(`-n ${name} link set eth0 up`)
}

function ip(command: string): void {
  execFileSync('ip', command.split(' '), { stdio: ['ignore', 'ignore', 'inherit'] })
}

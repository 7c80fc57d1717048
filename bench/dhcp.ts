// Our DHCP server (the whole ingotd, its leases durable before each ACK) beside Kea's with its memfile, which is never
// synced, and dnsmasq's: CPU of the server for each DISCOVER, OFFER, REQUEST, ACK, in network namespaces of the bench's
// own, asked by dhcp-load.c, 16 outstanding. Rounds alternate, each with a fresh server that has done 2,000 exchanges
// with 250 MACs; medians. Then ours and Kea's through a relay's path by perfdhcp, and 10,000 machines powered on at once.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../src/command.js'
import { median, rounded, runBench, spawnContender, stop } from './contenders.js'

const NET = `ingot-dhcp-${process.pid}`
const ADDRESS = '198.18.0.1'
const RELAY = '198.18.0.2'
const [FIRST, LAST] = ['198.18.4.0', '198.18.255.250']
const ACCOUNTS = '/sys/fs/cgroup/cpuacct'
const STORM = 10_000

type Name = 'ours' | 'kea' | 'dnsmasq'

interface Server {
  /** CPU that it and its threads have used, microseconds. */
  cpuUs(): number
  stop(): Promise<void>
}

/** What dhcp-load prints. */
interface Figures {
  readonly done: number
  readonly failed: number
  readonly naks: number
  readonly repeats: number
  readonly twice: number
  readonly seconds: number
  readonly p50_ms: number
  readonly p99_ms: number
  readonly max_ms: number
}

/** How many clients, of whom. */
const LOADS: readonly (readonly [Name, number])[] = [
  ['ours', 2000],
  ['kea', 2000],
  ['dnsmasq', 2000],
  ['ours', 500],
  ['ours', 20_000],
]

await runBench(async (scratch) => {
  const rounds = Number(process.argv[3] ?? 5)
  layNetwork()
  try {
    const cost = await measureAll(scratch, rounds)
    await relayed(scratch, 'ours')
    await relayed(scratch, 'kea')
    await powerOn(scratch)
    return {
      dora_per_cpu_vs_kea: rounded(cost('kea', 2000) / cost('ours', 2000)),
      dora_per_cpu_vs_dnsmasq: rounded(cost('dnsmasq', 2000) / cost('ours', 2000)),
      cost_20000_vs_500: rounded(cost('ours', 20_000) / cost('ours', 500)),
    }
  } finally {
    for (const name of [`${NET}-s`, `${NET}-c`]) ip(`netns del ${name}`)
  }
})

/** The median CPU for each exchange, microseconds. */
async function measureAll(scratch: string, rounds: number): Promise<(name: Name, clients: number) => number> {
  const costs = new Map(LOADS.map((load) => [load.join(' '), [] as number[]]))
  for (let round = 0; round < rounds; round++) {
    for (const [name, clients] of LOADS) {
      const { cpuUs, figures } = await measure(scratch, name, clients)
      costs.get(`${name} ${clients}`)?.push(cpuUs / figures.done)
      say(`${name}, ${clients} clients: ${describe(cpuUs, figures)}`)
    }
  }
  const cost = (name: Name, clients: number): number => median(costs.get(`${name} ${clients}`) ?? [])
  for (const [name, clients] of LOADS) {
    const us = cost(name, clients)
    say(`${name}, ${clients} clients, median: ${us.toFixed(0)} us CPU, ${(1e6 / us).toFixed(0)} a CPU-second`)
  }
  return cost
}

async function measure(
  scratch: string,
  name: Name,
  clients: number,
): Promise<{ cpuUs: number; figures: Figures }> {
  const server = await start(scratch, name)
  try {
    await load('-b', '1000000', '-n', '2000', '-m', '250')
    const before = server.cpuUs()
    const figures = await load('-n', String(clients))
    return { cpuUs: server.cpuUs() - before, figures }
  } finally {
    await server.stop()
  }
}

/** A second opinion: perfdhcp speaks as a relay does, at a steady rate. */
async function relayed(scratch: string, name: Name): Promise<void> {
  if (!hasProgram('perfdhcp')) return
  const server = await start(scratch, name)
  try {
    const before = server.cpuUs()
    const words = ['-4', '-l', RELAY, '-r', '500', '-n', '4000', '-R', '100000', '-W', '1000000', ADDRESS]
    // it ends with status 3 when an answer is missing, which its report says too
    const { stdout } = await inClient(['sh', '-c', 'perfdhcp "$@" || test $? = 3', 'sh', ...words])
    const cpuUs = server.cpuUs() - before
    const received = [...stdout.matchAll(/received packets: (\d+)/g)].map(([, count]) => Number(count))
    const acks = received.at(-1) ?? 0
    say(
      `perfdhcp, ${name}: ${acks} of 4000 through the relay's path, ${(cpuUs / acks).toFixed(0)} us CPU each`,
    )
  } finally {
    await server.stop()
  }
}

/** Everybody at once, each asking again after 4 s (RFC 2131 §4.1). */
async function powerOn(scratch: string): Promise<void> {
  const server = await start(scratch, 'ours')
  try {
    const figures = await load('-n', String(STORM), '-w', String(STORM), '-r', '4000', '-t', '60')
    const { done, twice, p50_ms: p50, p99_ms: p99, seconds } = figures
    say(`power-on of ${STORM}: ${done} have an address after ${seconds} s, ${twice} have another's`)
    say(`power-on of ${STORM}: p50 ${p50} ms, p99 ${p99} ms, ${figures.repeats} questions repeated`)
    if (done < STORM || twice > 0) throw new Error('not everybody has an address of their own')
  } finally {
    await server.stop()
  }
}

async function load(...words: string[]): Promise<Figures> {
  const { stdout } = await inClient([join(process.argv[2] ?? '', 'dhcp-load'), '-i', 'eth0', ...words])
  return JSON.parse(stdout) as Figures
}

function inClient(command: readonly string[]): Promise<{ stdout: string }> {
  return runCommand('ip', ['netns', 'exec', `${NET}-c`, ...command], { timeoutMs: 130_000 })
}

function describe(cpuUs: number, { done, failed, naks, repeats, seconds, p50_ms, p99_ms }: Figures): string {
  const pace = `${(cpuUs / done).toFixed(0)} us CPU, ${(done / seconds).toFixed(0)}/s, p50 ${p50_ms} ms, p99 ${p99_ms} ms`
  return failed + naks + repeats === 0 ? pace : `${pace}, ${failed} failed, ${naks} NAKs, ${repeats} repeated`
}

/** Runs a server in its namespace and in a CPU account of its own. */
async function start(scratch: string, name: Name): Promise<Server> {
  const account = join(ACCOUNTS, `${NET}-${name}`)
  mkdirSync(account)
  const directory = mkdtempSync(join(scratch, `${name}-`))
  const script = `echo $$ > ${account}/cgroup.procs; exec ip netns exec ${NET}-s "$@" >${directory}/log 2>&1`
  const contender = spawnContender('sh', ['-c', script, 'sh', ...argvOf(name, directory)])
  for (let attempt = 0; !isListening(name); attempt++) {
    if (attempt > 500) throw new Error(`${name} does not listen: ${readFileSync(`${directory}/log`, 'utf8')}`)
    await sleep(20)
  }
  return {
    cpuUs: () => Number(readFileSync(join(account, 'cpuacct.usage'), 'utf8')) / 1000,
    stop: async () => {
      await stop(contender)
      while (readFileSync(join(account, 'cgroup.procs'), 'utf8') !== '') await sleep(20)
      rmdirSync(account)
    },
  }
}

function argvOf(name: Name, directory: string): readonly string[] {
  switch (name) {
    case 'ours':
      writeFileSync(join(directory, 'ingot.toml'), ourConfig(directory))
      return [
        process.execPath,
        new URL('../src/ingotd.js', import.meta.url).pathname,
        '--config',
        join(directory, 'ingot.toml'),
      ]
    case 'kea':
      writeFileSync(join(directory, 'kea.json'), keaConfig(directory))
      return ['env', `KEA_PIDFILE_DIR=${directory}`, `KEA_LOCKFILE_DIR=${directory}`].concat(
        'kea-dhcp4',
        '-c',
        join(directory, 'kea.json'),
      )
    case 'dnsmasq':
      return [
        ...['dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--port=0', '--user=root', '--quiet-dhcp'],
        ...['--interface=eth0', `--dhcp-range=${FIRST},${LAST},255.255.0.0,1h`, '--dhcp-authoritative'],
        ...['--no-ping', '--dhcp-lease-max=100000', `--dhcp-leasefile=${directory}/leases`],
      ]
  }
}

function ourConfig(directory: string): string {
  mkdirSync(join(directory, 'state'))
  return [
    `state_dir = "${directory}/state"`,
    `run_dir = "${directory}/run"`,
    'log_level = "warn"',
    'unknown_machines = "address"',
    ...['[boot]', `address = "${ADDRESS}"`],
    ...['[subnet]', 'cidr = "198.18.0.0/16"', `pool_first = "${FIRST}"`, `pool_last = "${LAST}"`],
    ...['[target]', 'managed = false', '[nbd]', 'enabled = false', ''],
  ].join('\n')
}

function keaConfig(directory: string): string {
  const subnet = { subnet: '198.18.0.0/16', pools: [{ pool: `${FIRST} - ${LAST}` }] }
  return JSON.stringify({
    Dhcp4: {
      'interfaces-config': { interfaces: ['eth0'] },
      'lease-database': { type: 'memfile', persist: true, name: join(directory, 'leases.csv') },
      'valid-lifetime': 3600,
      subnet4: [subnet],
      'multi-threading': { 'enable-multi-threading': true, 'thread-pool-size': 2 },
      loggers: [
        { name: 'kea-dhcp4', severity: 'WARN', output_options: [{ output: join(directory, 'kea.log') }] },
      ],
    },
  })
}

// Kea reads frames; beside them it has a UDP socket bound to its address.
function isListening(name: Name): boolean {
  const udp = execFileSync('ip', ['netns', 'exec', `${NET}-s`, 'cat', '/proc/net/udp'], { encoding: 'utf8' })
  return name === 'ours' ? udp.includes('FFFFFFFF:0043 ') : udp.includes(':0043 ')
}

function hasProgram(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((directory) => existsSync(join(directory, name)))
}

function layNetwork(): void {
  if (!existsSync(join(ACCOUNTS, 'cpuacct.usage'))) throw new Error(`the bench needs ${ACCOUNTS} (cgroup v1)`)
  for (const name of [`${NET}-s`, `${NET}-c`]) {
    ip(`netns add ${name}`)
    ip(`-n ${name} link set lo up`)
  }
  ip(`-n ${NET}-s link add eth0 type veth peer name eth0 netns ${NET}-c`)
  ip(`-n ${NET}-s addr add ${ADDRESS}/16 dev eth0`)
  ip(`-n ${NET}-c addr add ${RELAY}/16 dev eth0`)
  for (const name of [`${NET}-s`, `${NET}-c`]) ip(`-n ${name} link set eth0 up`)
}

function ip(command: string): void {
  execFileSync('ip', command.split(' '), { stdio: ['ignore', 'ignore', 'inherit'] })
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

import { spawn } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { runCommand } from '../../src/command.js'
import type { DaemonEvent } from '../../src/events.js'
import type { LeaseRecord } from '../../src/registry/records.js'

const SERVER_NS = `ingot-dhcp-s${String(process.pid)}`
const CLIENT_NS = `ingot-dhcp-c${String(process.pid)}`
const MAC = '02:00:00:00:0c:01' // the veth's own; the server has 198.18.0.50 for it
const TIMEOUT_MS = 30_000

interface ServerLine {
  readonly ready?: true
  readonly saved?: readonly LeaseRecord[]
  readonly removed?: string
  readonly event?: DaemonEvent
}

/** The lines our server prints, waited for one by one. */
interface ServerLog {
  readonly until: (what: (line: ServerLine) => boolean) => Promise<ServerLine>
}

function hasTool(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function missing(...tools: string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root for network namespaces'
  const absent = tools.find((tool) => !hasTool(tool))
  return absent === undefined ? undefined : `needs ${absent}`
}

async function ip(...args: string[]): Promise<void> {
  await runCommand('ip', args, { timeoutMs: TIMEOUT_MS })
}

async function inClient(...command: string[]): Promise<string> {
  const { stdout } = await runCommand('ip', ['netns', 'exec', CLIENT_NS, ...command], {
    timeoutMs: TIMEOUT_MS,
  })
  return stdout
}

async function makeWire(t: Test): Promise<void> {
  t.teardown(async () => {
    for (const name of [CLIENT_NS, SERVER_NS]) await ip('netns', 'del', name).catch(() => undefined)
  })
  await ip('netns', 'add', SERVER_NS)
  await ip('netns', 'add', CLIENT_NS)
  await ip(
    'link',
    'add',
    'dhcps',
    'netns',
    SERVER_NS,
    'type',
    'veth',
    'peer',
    'name',
    'dhcpc',
    'netns',
    CLIENT_NS,
  )
  await ip('-n', SERVER_NS, 'address', 'add', '198.18.0.1/24', 'dev', 'dhcps')
  await ip('-n', SERVER_NS, 'link', 'set', 'dhcps', 'up')
  await ip('-n', CLIENT_NS, 'link', 'set', 'dhcpc', 'address', MAC, 'up')
  await ip('-n', CLIENT_NS, 'route', 'add', 'default', 'dev', 'dhcpc')
}

function script(name: string): string[] {
  return [process.execPath, ...process.execArgv, fileURLToPath(new URL(name, import.meta.url))]
}

function startServer(t: Test, ...wrapper: string[]): ServerLog {
  const command = ['netns', 'exec', SERVER_NS, ...wrapper, ...script('dhcp-in-namespace.ts')]
  if (wrapper.length > 0) command.push('fd')
  const child = spawn('ip', command, { stdio: ['pipe', 'pipe', 'ignore'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const until: ServerLog['until'] = async (what) => {
    for (;;) {
      const next = await lines.next()
      if (next.done === true) throw new Error('the server ended')
      const line = JSON.parse(next.value) as ServerLine
      if (what(line)) return line
    }
  }
  return { until }
}

const SET_ADDRESS = `#!/bin/sh
case "$reason" in
  BOUND) ip address add "$new_ip_address/24" dev "$interface"
    echo "$new_ip_address $new_host_name $new_routers $new_domain_name_servers $new_dhcp_lease_time" > "\${0}.bound" ;;
esac
`

const TOOLS = ['/usr/sbin/ip', '/usr/sbin/dhclient', '/usr/sbin/dhcping']
const ACTIVATE = '/usr/bin/systemd-socket-activate'

/** A test that is skipped, with the reason in its name, where something it needs is missing. */
function rackTest(name: string, tools: readonly string[], body: (t: Test) => Promise<void>): void {
  const reason = missing(...tools)
  const fullName = reason === undefined ? name : `${name} (skipped: ${reason})`
  void t.test(fullName, { skip: reason ?? false }, body)
}

async function runDhclient(t: Test): Promise<{ bound: string; release: () => Promise<string> }> {
  const folder = t.testdir({ 'set-address': SET_ADDRESS })
  const hook = `${folder}/set-address`
  await runCommand('chmod', ['755', hook], { timeoutMs: TIMEOUT_MS })
  const files = ['-sf', hook, '-lf', `${folder}/leases`, '-pf', `${folder}/pid`]
  await inClient('dhclient', '-4', '-1', ...files, 'dhcpc')
  const bound = readFileSync(`${hook}.bound`, 'latin1')
  return { bound, release: () => inClient('dhclient', '-4', '-r', ...files, 'dhcpc') }
}

const BOUND = '198.18.0.50 web1 198.18.0.1 198.18.0.53 3600\n'

rackTest('an inherited socket serves its interface', [...TOOLS, ACTIVATE], async (t) => {
  await makeWire(t)
  // the tool cannot bind to a device as systemd does; a route makes the limited broadcast leave all the same
  await ip('-n', SERVER_NS, 'route', 'add', 'default', 'dev', 'dhcps')
  startServer(t, ACTIVATE, '--datagram', '--listen=0.0.0.0:67')
  const { bound, release } = await runDhclient(t)
  t.equal(bound, BOUND)
  await release()
})

rackTest('real DHCP clients are served', TOOLS, async (t) => {
  await makeWire(t)
  const server = startServer(t)
  await server.until((line) => line.ready === true)

  await t.test('npm dhcp’s client is bound to a pool address', async (t) => {
    t.match(await inClient(...script('dhcp-npm-client.ts')), /^198\.18\.0\.1[0-4]\d$/)
    const { saved } = await server.until((line) => line.saved !== undefined)
    t.match(saved, [{ mac: '02:00:00:00:0c:77' }])
  })

  await t.test('dhclient gets the machine’s address and name, and gives it back', async (t) => {
    const { bound, release } = await runDhclient(t)
    t.equal(bound, BOUND)
    const { event } = await server.until((line) => line.event?.stage === 'dhcp')
    t.match(event, { mac: MAC, ip: '198.18.0.50' })
    await release()
    t.equal((await server.until((line) => line.removed !== undefined)).removed, '198.18.0.50')
  })

  await t.test('dhcping is answered: a NAK for a foreign address, an ACK to INFORM', async (t) => {
    await inClient('ip', 'address', 'replace', '198.18.0.9/24', 'dev', 'dhcpc')
    const ping = [
      'dhcping',
      '-v',
      '-t',
      '5',
      '-s',
      '198.18.0.1',
      '-h',
      '02:00:00:00:0c:10',
      '-c',
      '198.18.0.9',
    ]
    t.match(await inClient(...ping), /Got answer from: 198\.18\.0\.1/)
    t.match(await inClient(...ping, '-i'), /Got answer from: 198\.18\.0\.1/)
  })

  await t.test(
    'dhcping is acknowledged when it renews a free address of the pool, and releases it',
    async (t) => {
      await inClient('ip', 'address', 'replace', '198.18.0.140/24', 'dev', 'dhcpc')
      const ping = [
        'dhcping',
        '-v',
        '-t',
        '5',
        '-s',
        '198.18.0.1',
        '-h',
        '02:00:00:00:0c:11',
        '-c',
        '198.18.0.140',
      ]
      t.match(await inClient(...ping), /Got answer from: 198\.18\.0\.1/)
      t.match((await server.until((line) => line.saved !== undefined)).saved, [{ ip: '198.18.0.140' }])
      t.equal((await server.until((line) => line.removed !== undefined)).removed, '198.18.0.140')
    },
  )
})

import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync } from 'node:fs'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { runCommand, startProcess } from '../../src/command.js'
import { DaemonError } from '../../src/errors.js'
import { rigDown, rigStatus, rigUp } from '../../src/rig/rig.js'

const TOOLS = [
  '/usr/bin/qemu-system-x86_64',
  '/usr/bin/tcpdump',
  '/dev/net/tun',
  '/usr/share/OVMF/OVMF_CODE_4M.fd',
]
const missing = TOOLS.find((path) => !existsSync(path))
const reason = process.getuid?.() === 0 ? missing && `${missing} is missing` : 'needs root'
const skip = reason ?? false
const FIRMWARES = ['bios', 'uefi', 'uefi-native'] as const
const PREFIX = `t${String(process.pid)}`
const MAC = '52:54:00:18:77:01'

interface Place {
  readonly name: string
  readonly dir: string
}

/** Short, since socket paths end at 107 bytes. */
function place(t: { teardown(fn: () => Promise<void>): void }, name: string): Place {
  const parent = mkdtempSync(join(tmpdir(), 'rig-'))
  const dir = join(parent, 'r')
  t.teardown(async () => {
    await rigDown(dir)
    await rm(parent, { recursive: true })
  })
  return { name: `${PREFIX}-${name}`, dir }
}

async function press(dir: string, machine: string, ResetType: string): Promise<number | undefined> {
  const auth = (await readFile(join(dir, 'bmc-credentials'), 'utf8')).trim()
  const path = `/redfish/v1/Systems/${machine}/Actions/ComputerSystem.Reset`
  const sent = request({ socketPath: join(dir, 'rig.sock'), path, method: 'POST', auth, agent: false })
  sent.end(JSON.stringify({ ResetType }))
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode
}

/** Command lines of every process that names `word`. */
async function processesNaming(word: string): Promise<string[]> {
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry) && entry !== String(process.pid))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter((line) => line.includes(word))
}

/** Waits for the machine's first DHCPDISCOVER on the bridge. */
async function discoverSeen(namespace: string, mac: string, start: () => Promise<unknown>): Promise<string> {
  const tcpdump = ['tcpdump', '-l', '-n', '-c', '1', '-i', 'br0', `udp dst port 67 and ether src ${mac}`]
  const args = ['netns', 'exec', namespace, ...tcpdump]
  const [seen] = await Promise.all([runCommand('ip', args, { timeoutMs: 40_000 }), start()])
  return seen.stdout
}

void t.test(
  'machines of each firmware ask for an address at power-on, and nothing stays',
  { skip },
  async (t) => {
    const { name, dir } = place(t, 'all')
    const machines = FIRMWARES.map((firmware, index) => ({
      ...{ name: firmware, nics: [{ mac: `52:54:00:18:77:1${String(index)}` }], firmware },
      ...{ memoryMib: 256, cpus: 1 },
    }))
    const rig = await rigUp({ name, dir, machines })
    t.match(rig, { isRunning: true, namespace: `ingot-${name}`, machines: [{ powerState: 'Off' }] })
    t.equal((await stat(rig.credentialsFile)).mode & 0o777, 0o600)
    for (const machine of machines) {
      const mac = machine.nics[0]?.mac ?? ''
      const packet = await discoverSeen(rig.namespace, mac, () => press(dir, machine.name, 'On'))
      t.match(packet, `BOOTP/DHCP, Request from ${mac}`)
      const console = join(dir, machine.name, 'console.log')
      t.ok((await stat(console)).size > 0, `${machine.name} talks on the serial port`)
      t.match((await rigStatus(dir)).machines.find((one) => one.name === machine.name)?.powerState, 'On')
    }
    t.equal(await press(dir, 'bios', 'ForceRestart'), 204)
    process.kill(Number(await readFile(join(dir, 'bios', 'qemu.pid'), 'utf8')), 'SIGKILL')
    while ((await rigStatus(dir)).machines[0]?.powerState === 'On'); // QEMU's end is noticed by itself
    t.equal(await press(dir, 'bios', 'GracefulShutdown'), 409)
    t.equal(await press(dir, 'uefi', 'ForceOff'), 204)
    const powers = (await rigStatus(dir)).machines.map((machine) => machine.powerState)
    t.same(powers, ['Off', 'Off', 'On'])
    await rigDown(dir)
    await rigDown(dir)
    t.notOk(existsSync(`/run/netns/ingot-${name}`), 'no namespace')
    t.notOk(existsSync(dir), 'no directory')
    t.same(await processesNaming(dir), [], 'no process')
  },
)

void t.test('a rig whose daemon was killed is cleaned up with its orphaned machines', { skip }, async (t) => {
  const { name, dir } = place(t, 'killed')
  const rig = await rigUp({
    name,
    dir,
    machines: [{ name: 'm1', nics: [{ mac: MAC }], firmware: 'bios', memoryMib: 128, cpus: 1 }],
  })
  await press(dir, 'm1', 'On')
  process.kill(Number(await readFile(join(dir, 'rigd.pid'), 'utf8')), 'SIGKILL')
  const bystander = startProcess('ip', ['netns', 'exec', rig.namespace, 'sleep', '60'], {
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  t.teardown(() => bystander.kill())
  t.match(await rigStatus(dir), { isRunning: false, machines: [{ powerState: 'Unknown' }] })
  await rigDown(dir, { keep: true })
  t.same(await processesNaming(dir), [], 'no process')
  t.notOk(existsSync(`/run/netns/${rig.namespace}`), 'no namespace')
  t.ok(existsSync(join(dir, 'm1', 'console.log')), 'the console is kept')
  t.equal(bystander.exitCode, null, 'what is not ours still runs')
})

void t.test('a directory with files of somebody else is refused and left alone', { skip }, async (t) => {
  const { name, dir } = place(t, 'full')
  const rig = await rigUp({ name, dir, machines: [] })
  await writeFile(join(dir, 'mine.txt'), 'mine')
  const again = await rigUp({ name, dir, machines: [] }).catch((err: unknown) => err)
  t.ok(again instanceof DaemonError && again.code === 'IN_USE')
  const sameName = await rigUp({ name, dir: `${dir}2`, machines: [] }).catch((err: unknown) => err)
  t.match(sameName, { code: 'IN_USE', message: `the network namespace ${rig.namespace} exists` })
  await rigDown(dir)
  t.same(readdirSync(dir), ['mine.txt'])
})

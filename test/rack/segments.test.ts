import { spawn, type ChildProcess } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCommand } from '../../src/command.js'
import type { NetworkReportView } from '../../src/operator/api/doctor-schema.js'
import { bootsTo, createServers, reasonForNoFirmware } from './firmware-guests.js'
import { ADVERTISED, Stand, SUBNET, until, type StandMachine } from './stand.js'

// Guests on networks that are not one segment of our own: another server's addresses, two interfaces, a relay.
//
//   site (198.18.0.2)   relay (198.18.0.254 | 198.18.1.1)
//         |                |              |
//   ------+------ br0 -----+--     ---- br1 ----
//         |         |                     |
//        m1   us (198.18.0.1)            m2
const LIMIT_MS = 600_000
const COMMAND = { timeoutMs: 20_000 } as const
const INHERITED = join(import.meta.dirname, 'inherited-sockets.py').replace('/dist/', '/')
const TOOLS = ['python3', 'dnsmasq', 'dhcrelay']

const reason = reasonForNoFirmware(...TOOLS)
const note = reason === undefined ? '' : ` (skipped: ${reason})`

t.setTimeout(LIMIT_MS)

async function ip(...args: string[]): Promise<void> {
  await runCommand('ip', args, COMMAND)
}

/** A namespace whose interfaces are plugged into bridges of the stand: `[interface, bridge, address]`. */
async function neighbour(
  t: Test,
  stand: Stand,
  name: string,
  plugs: readonly (readonly [string, string, string])[],
): Promise<string> {
  const namespace = `${stand.namespace}-${name}`
  await ip('netns', 'add', namespace)
  t.teardown(() => ip('netns', 'del', namespace))
  for (const [link, bridge, address] of plugs) {
    const plug = `${name}-${link}`
    const pair = ['link', 'add', plug, 'type', 'veth', 'peer', 'name', link, 'netns', namespace]
    await ip('-n', stand.namespace, ...pair)
    await ip('-n', stand.namespace, 'link', 'set', plug, 'master', bridge, 'up')
    await ip('-n', namespace, 'address', 'add', address, 'dev', link)
    await ip('-n', namespace, 'link', 'set', link, 'up')
  }
  return namespace
}

/** A program of another host, ended with the test. */
async function run(t: Test, stand: Stand, namespace: string, ...command: string[]): Promise<ChildProcess> {
  const log = await open(join(stand.dir, `${namespace}.log`), 'a')
  const child = spawn('ip', ['netns', 'exec', namespace, ...command], { stdio: ['ignore', log.fd, log.fd] })
  await log.close()
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

function machineAt(stand: Stand, index: number): StandMachine {
  const machine = stand.machines[index]
  if (machine === undefined) throw new Error('no machine')
  return machine
}

/** What the doctor says, whether it is content or not. */
async function doctor(stand: Stand): Promise<NetworkReportView> {
  const { stdout } = await stand.ingot('-o', 'json', 'doctor', 'network').catch((err: unknown) => {
    if (err instanceof Error && 'result' in err) return err.result as { stdout: string } // CommandFailed
    throw err
  })
  return JSON.parse(stdout) as NetworkReportView
}

async function beside(t: Test, stand: Stand): Promise<void> {
  const site = await neighbour(t, stand, 'site', [['eth0', 'br0', '198.18.0.2/24']])
  const files = [`--dhcp-leasefile=${stand.dir}/dnsmasq.leases`, '--conf-file=/dev/null']
  const range = ['--dhcp-range=198.18.0.200,198.18.0.220,1h', '--dhcp-authoritative']
  await run(
    t,
    stand,
    site,
    'dnsmasq',
    '--keep-in-foreground',
    '--port=0',
    '--interface=eth0',
    ...range,
    ...files,
  )
  await stand.configure({ subnets: `${SUBNET}\nmode = "proxy"` })
  await stand.startDaemon()
  await until('dnsmasq is found', 20_000, async () => (await doctor(stand)).is_sound)
  const { subnets } = await doctor(stand)
  t.match(subnets, [{ mode: 'proxy', other_servers: [{ server: '198.18.0.2', boot_file: null }] }])
  for (const index of [0, 2]) await bootsTo(t, stand, machineAt(stand, index))
  await stand.stopDaemons()
  await stand.configure({})
  await stand.startDaemon()
  const { is_sound, findings } = await doctor(stand)
  t.notOk(is_sound, 'a server that answers where we give addresses is wrong')
  t.match(findings, [{ about: '198.18.0.0/24', message: /^198\.18\.0\.2 answers DHCP here too/ }])
  await t.rejects(stand.ingot('doctor', 'network'), /1 thing is wrong/, 'and ends the command with 1')
  await stand.stopDaemons()
}

async function twoInterfaces(t: Test, stand: Stand): Promise<void> {
  await ip('-n', stand.namespace, 'address', 'add', '198.18.1.1/24', 'dev', 'br1')
  const segment = (name: string, net: number): string =>
    `[[subnet]]\ncidr = "198.18.${net}.0/24"\naddress = "198.18.${net}.1"\nrouter = "198.18.${net}.1"
     interface = "${name}"\n${ADVERTISED}`
  await stand.configure({ subnets: [segment('br0', 0), segment('br1', 1)].join('\n') })
  await stand.startDaemon('python3', INHERITED, 'br0', 'br1', '--')
  for (const index of [0, 1]) await bootsTo(t, stand, machineAt(stand, index))
  await stand.stopDaemons()
  await ip('-n', stand.namespace, 'address', 'del', '198.18.1.1/24', 'dev', 'br1')
}

async function behindRelay(t: Test, stand: Stand): Promise<void> {
  const relay = await neighbour(t, stand, 'relay', [
    ['near', 'br0', '198.18.0.254/24'],
    ['far', 'br1', '198.18.1.1/24'],
  ])
  await runCommand('ip', ['netns', 'exec', relay, 'sysctl', '-q', '-w', 'net.ipv4.ip_forward=1'], COMMAND)
  await run(t, stand, relay, 'dhcrelay', '-4', '-d', '-a', '-id', 'far', '-iu', 'near', '198.18.0.1')
  const far = '[[subnet]]\ncidr = "198.18.1.0/24"\nrelayed = true\nrouter = "198.18.1.1"'
  await stand.configure({ subnets: `[[subnet]]\ncidr = "198.18.0.0/24"\n${far}` })
  await stand.startDaemon()
  t.match((await doctor(stand)).findings, [{ about: '198.18.1.0/24', message: /no route/ }])
  await ip('-n', stand.namespace, 'route', 'add', '198.18.1.0/24', 'via', '198.18.0.254')
  await bootsTo(t, stand, machineAt(stand, 1))
  const { subnets, findings } = await doctor(stand)
  t.match(subnets, [{}, { cidr: '198.18.1.0/24', relayed: true, relays: ['198.18.1.1'] }])
  t.strictSame(findings, [], 'with a route all is well')
  await stand.stopDaemons()
}

void t.test(`guests boot on every kind of network${note}`, { skip: reason !== undefined }, async (t) => {
  t.setTimeout(LIMIT_MS)
  const bios = { firmware: 'bios' } as const
  const wishes = [bios, { ...bios, ip: '198.18.1.12' }, { firmware: 'uefi-native' } as const]
  const stand = await Stand.make(`seg${process.pid}`, wishes)
  t.teardown(() => stand.tearDown())
  await ip('-n', stand.namespace, ...'link add br1 type bridge stp_state 0 forward_delay 0'.split(' '))
  await ip('-n', stand.namespace, 'link', 'set', 'br1', 'up')
  await ip('-n', stand.namespace, 'link', 'set', 'tap1', 'master', 'br1')
  await stand.configure({
    subnets: `[[subnet]]\ncidr = "198.18.0.0/24"\n[[subnet]]\ncidr = "198.18.1.0/24"\nrelayed = true`,
  })
  await stand.startDaemon()
  await createServers(stand)
  await stand.stopDaemons()
  await t.test("as a proxy beside another server's addresses", (t) => beside(t, stand))
  await t.test('on two interfaces with inherited sockets of their own', (t) => twoInterfaces(t, stand))
  await t.test('behind a relay', (t) => behindRelay(t, stand))
})

import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'
import { CommandFailed, runCommand } from '../../../src/command.js'
import { DOCUMENTS, type Document } from './documents.js'
import { GuestTree, PROGRAM } from './guest-tree.js'

// Debian's packages, unpacked by .ci/install-debian: installed, they would take over this host's network.
const NETPLAN = join(homedir(), '.cache/ingot/netplan')
const IFUPDOWN = join(homedir(), '.cache/ingot/ifupdown')

/** The first reason why a test cannot run here, or undefined. */
async function reasonOf(folder: string, needsNamespace: boolean): Promise<string | undefined> {
  if (!existsSync(folder)) return `nothing unpacked in ${folder.replace(homedir(), '~')}`
  if (!needsNamespace) return undefined
  try {
    await runCommand(
      '/usr/bin/unshare',
      ['-n', '-m', '/usr/sbin/ip', 'link', 'add', 'agt0', 'type', 'veth'],
      {
        timeoutMs: 10_000,
      },
    )
    return undefined
  } catch {
    return 'no network namespace may be made here'
  }
}

const noNetplan = await reasonOf(NETPLAN, false)
void t.test(
  `netplan itself accepts every network that is written for it${noNetplan === undefined ? '' : ` (skipped: ${noNetplan})`}`,
  { skip: noNetplan !== undefined },
  async (t) => {
    const generate = join(NETPLAN, 'usr/libexec/netplan/generate')
    const env = { LD_LIBRARY_PATH: join(NETPLAN, 'usr/lib/x86_64-linux-gnu') }
    const ours = readdirSync('fixtures/firstboot/network', { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('/network_data.json'))
      .map((path) => [path, readFileSync(join('fixtures/firstboot/network', path), 'utf8')] as const)
    const own = Object.entries(DOCUMENTS).map(([name, document]) => [name, JSON.stringify(document)] as const)
    const folder = t.testdir()
    for (const renderer of ['networkd', 'NetworkManager']) {
      for (const [name, text] of renderer === 'networkd' ? [...ours, ...own] : own) {
        const guest = new GuestTree(folder, 'netplan')
        guest.wish(JSON.parse(text) as Document)
        guest.write('lib/netplan/00-network.yaml', `network: {version: 2, renderer: ${renderer}}\n`)
        chmodSync(join(guest.root, 'lib/netplan/00-network.yaml'), 0o600)
        const said = await guest.run(['--early'])
        t.equal(said.code, 0, said.stdout)
        t.match(guest.read('etc/netplan/60-ingot-network.yaml'), `renderer: "${renderer}"`)
        const { stderr } = await runCommand(generate, ['--root-dir', guest.root], { timeoutMs: 20_000, env })
        t.equal(stderr, '', `${renderer}: ${name}`)
        const made = renderer === 'networkd' ? 'run/systemd/network' : 'run/NetworkManager/system-connections'
        t.ok(existsSync(join(guest.root, made)), `${renderer}: ${name}`)
        for (const part of ['root', 'seed', 'tools']) rmSync(join(folder, part), { recursive: true })
      }
    }
  },
)

const noIfupdown = await reasonOf(IFUPDOWN, true)
void t.test(
  `the real ifup brings a network up, back, and leaves it alone when it is right${noIfupdown === undefined ? '' : ` (skipped: ${noIfupdown})`}`,
  { skip: noIfupdown !== undefined },
  async (t) => {
    const folder = t.testdir()
    mkdirSync(join(folder, 'etc/network'), { recursive: true })
    cpSync(join(IFUPDOWN, 'etc/network'), join(folder, 'etc/network'), { recursive: true })
    const nic = { id: 'nic0', type: 'phy', ethernet_mac_address: '52:54:00:00:00:01', mtu: 1400 }
    const routes = [
      { network: '0.0.0.0', netmask: '0.0.0.0', gateway: '198.18.9.1' },
      { network: '10.9.0.0', netmask: '255.255.0.0', gateway: '198.18.9.2', metric: 7 },
    ]
    const networks = [
      { link: 'nic0', type: 'ipv4', ip_address: '198.18.9.11', netmask: '255.255.255.0', routes },
      { link: 'nic0', type: 'ipv6', ip_address: 'fd00:7::11/64', gateway: 'fd00:7::1' },
    ]
    mkdirSync(join(folder, 'seed/openstack/latest'), { recursive: true })
    const document = JSON.stringify({ links: [nic], networks, services: [] })
    writeFileSync(join(folder, 'seed/openstack/latest/network_data.json'), document)
    const script = resolve('test/plugins/bms-network-config/ifupdown-in-namespace.sh')
    const argv = ['-n', '-m', 'sh', script, folder, join(IFUPDOWN, 'sbin'), PROGRAM]
    try {
      const { stdout } = await runCommand('/usr/bin/unshare', argv, { timeoutMs: 100_000 })
      t.match(stdout, 'all as expected')
    } catch (cause) {
      if (!(cause instanceof CommandFailed)) throw cause
      t.fail(cause.result.stdout + cause.result.stderr)
    }
  },
)

const NETWORK_MANAGER = join(homedir(), '.cache/ingot/network-manager')
const noNmcli = await reasonOf(NETWORK_MANAGER, false)
void t.test(
  `NetworkManager itself takes every connection${noNmcli === undefined ? '' : ` (skipped: ${noNmcli})`}`,
  { skip: noNmcli !== undefined },
  async (t) => {
    const env = { LD_LIBRARY_PATH: join(NETWORK_MANAGER, 'usr/lib/x86_64-linux-gnu') }
    // it reads a connection, checks it whole, and writes it again
    const argv = ['--offline', 'connection', 'modify', 'connection.autoconnect', 'yes']
    const golden = 'fixtures/plugins/bms-network-config/NetworkManager'
    for (const name of readdirSync(golden)) {
      for (const part of readFileSync(join(golden, name), 'utf8').split(/^--- /m)) {
        const path = /^etc\S+\.nmconnection\n/.exec(part)
        if (path === null) continue
        const options = { timeoutMs: 20_000, env, stdin: part.slice(path[0].length) }
        const { stdout } = await runCommand(join(NETWORK_MANAGER, 'usr/bin/nmcli'), argv, options)
        t.match(stdout, '[connection]\nid=ingot-', `${name}: ${path[0]}`)
      }
    }
  },
)

const NETWORKD = '/lib/systemd/systemd-networkd'
const noNetworkd = await reasonOf(NETWORKD, true)
void t.test(
  `networkd itself reads every file without a complaint${noNetworkd === undefined ? '' : ` (skipped: ${noNetworkd})`}`,
  { skip: noNetworkd !== undefined },
  async (t) => {
    const folder = join(t.testdir(), 'files')
    mkdirSync(folder)
    const golden = 'fixtures/plugins/bms-network-config/networkd'
    for (const name of readdirSync(golden)) {
      for (const part of readFileSync(join(golden, name), 'utf8').split(/^--- /m)) {
        const path = /^etc\/systemd\/network\/(\S+)\n/.exec(part)
        const file = `${name.replace(/\W/g, '-')}-${path?.[1] ?? ''}`
        if (path !== null) writeFileSync(join(folder, file), part.slice(path[0].length))
      }
    }
    t.ok(readdirSync(folder).length > 20)
    writeFileSync(join(folder, '99-wrong.network'), '[Network]\nAddresses=198.18.0.11/24\n')
    const script = resolve('test/plugins/bms-network-config/networkd-in-namespace.sh')
    const argv = ['-n', '-m', 'sh', script, NETWORKD, folder]
    const { stdout } = await runCommand('/usr/bin/unshare', argv, { timeoutMs: 60_000 })
    const complaints = stdout.split('\n').filter((line) => /\.(network|netdev):\d+: /.test(line))
    t.same(complaints.length, 1, complaints.join('\n'))
    t.match(complaints[0], '99-wrong.network:2: Unknown key', 'it does complain of what is wrong')
  },
)

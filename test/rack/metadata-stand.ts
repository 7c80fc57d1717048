import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { runCommand } from '../../src/command.js'
import type { EventRecord, LeaseRecord, MachineRecord, ServerRecord } from '../../src/registry/records.js'
import { openRegistry, type Registry } from '../../src/registry/registry.js'
import { CLONE, GOLDEN, IMAGE, MACHINE, SERVER, VOLUME } from '../registry/sample-records.js'
import { startUntilEnd } from './program-until-end.js'

const TIMEOUT_MS = 30_000

/** A server of the stand: one NIC, in a namespace of its name. */
export interface StandServer {
  readonly name: string
  readonly mac: string
  /** The fixed address; from the pool when there is none. */
  readonly ip?: string
  readonly server?: Partial<ServerRecord>
}

/** What curl got. */
export interface Got {
  readonly status: number
  readonly text: string
}

const CONFIG = `
unknown_machines = "address"
availability_zone = "az-1"
[boot]
address = "198.18.0.1"
[[subnet]]
cidr = "198.18.0.0/24"
router = "198.18.0.254"
pool_first = "198.18.0.100"
pool_last = "198.18.0.110"
[[subnet]]
cidr = "198.18.2.0/24"
relayed = true
router = "198.18.2.2"
[nbd]
enabled = false
[target]
managed = false
address = "198.18.0.1"
`

const DHCLIENT = `
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
request subnet-mask, routers, rfc3442-classless-static-routes;
`

// As RFC 3442 has it: the routes of option 121 (those to single hosts, and the default), and none of option 3.
const HOOK = `#!/bin/sh
[ "$reason" = BOUND ] || exit 0
ip address add "$new_ip_address/24" dev "$interface"
set -- $new_rfc3442_classless_static_routes
while [ $# -ge 5 ]; do
  if [ "$1" = 32 ]; then ip route add "$2.$3.$4.$5" via "$6.$7.$8.$9"; shift 9
  else ip route add default via "$2.$3.$4.$5"; shift 5; fi
done
echo "$new_ip_address" >"$0.bound"
`

/**
 * ingotd in a network namespace, on a bridge with 198.18.0.1/24 and with the metadata address on its loopback. Every
 * client is a namespace on that bridge, with an interface `eth0`; `far` ones are behind a router, in 198.18.2.0/24.
 */
export class MetadataStand {
  readonly #t: Test
  readonly #dir: string

  private constructor(t: Test, dir: string) {
    this.#t = t
    this.#dir = dir
  }

  /** Builds the network of the daemon and the router; everything goes when the test ends. */
  static async make(t: Test): Promise<MetadataStand> {
    const dir = mkdtempSync(join(tmpdir(), 'ingot-md-')) // short: sockets are in it
    t.teardown(() => rmSync(dir, { recursive: true }))
    const stand = new MetadataStand(t, dir)
    await stand.#namespace('server')
    await stand.script('server', [
      'ip address add 169.254.169.254/32 dev lo',
      'ip link add br0 type bridge stp_state 0 forward_delay 0',
      'ip address add 198.18.0.1/24 dev br0',
      'ip link set br0 up',
      'ip route add 198.18.2.0/24 via 198.18.0.2',
    ])
    await stand.client('router', '02:00:00:00:00:fe')
    await stand.script('router', [
      'ip address add 198.18.0.2/24 dev eth0',
      'ip link add far0 type bridge stp_state 0 forward_delay 0',
      'ip address add 198.18.2.2/24 dev far0',
      'ip link set far0 up',
      'ip route add 169.254.169.254 via 198.18.0.1',
      'sysctl -qw net.ipv4.ip_forward=1',
    ])
    return stand
  }

  /** A namespace on the bridge. */
  client(name: string, mac: string): Promise<void> {
    return this.#plug(name, mac, 'server', 'br0')
  }

  /** A namespace behind the router, with this address. */
  async far(name: string, mac: string, ip: string): Promise<void> {
    await this.#plug(name, mac, 'router', 'far0')
    await this.script(name, [`ip address add ${ip}/24 dev eth0`, 'ip route add default via 198.18.2.2'])
  }

  /** Words that lead into a namespace. */
  inside(name: string): string[] {
    return ['ip', 'netns', 'exec', this.#name(name)]
  }

  /** Runs a program in a namespace to its end. */
  async run(name: string, ...command: string[]): Promise<string> {
    const [program = '', ...args] = [...this.inside(name), ...command]
    return (await runCommand(program, args, { timeoutMs: TIMEOUT_MS })).stdout
  }

  /** Runs lines of a shell script in a namespace. */
  script(name: string, lines: readonly string[]): Promise<string> {
    return this.run(name, 'sh', '-ec', lines.join('\n'))
  }

  /** Has dhclient get an address, with the routes that come with it. @returns the address */
  async lease(name: string): Promise<string> {
    const folder = join(this.#dir, name)
    mkdirSync(folder)
    writeFileSync(join(folder, 'conf'), DHCLIENT)
    writeFileSync(join(folder, 'hook'), HOOK)
    chmodSync(join(folder, 'hook'), 0o755)
    const files = [
      ...['-cf', join(folder, 'conf'), '-sf', join(folder, 'hook')],
      ...['-lf', join(folder, 'leases'), '-pf', join(folder, 'pid')],
    ]
    await this.run(name, 'dhclient', '-4', '-1', ...files, 'eth0')
    await this.run(name, 'dhclient', '-4', '-x', ...files, 'eth0') // ends; the address stays
    return (await this.run(name, 'cat', join(folder, 'hook.bound'))).trimEnd()
  }

  /** Asks for a path of the metadata service, or for a whole URL. */
  async ask(name: string, path: string, ...options: string[]): Promise<Got> {
    const url = path.startsWith('http:') ? path : `http://169.254.169.254${path}`
    const curl = ['curl', '-s', '--max-time', '10', '--path-as-is', '-w', '\n%{http_code}', ...options, url]
    const said = await this.run(name, ...curl)
    const end = said.lastIndexOf('\n')
    return { status: Number(said.slice(end + 1)), text: said.slice(0, end) }
  }

  /** Starts ingotd with these servers and leases in its registry; resolves when it is ready. */
  async startDaemon(servers: readonly StandServer[], leases: readonly LeaseRecord[]): Promise<void> {
    const [state, run] = [join(this.#dir, 'state'), join(this.#dir, 'run')]
    mkdirSync(state)
    const registry = openRegistry(join(state, 'registry.sqlite'))
    registry.transaction(() => {
      registry.layers.insert(GOLDEN)
      registry.images.insert(IMAGE)
      for (const server of servers) insert(registry, server)
    })
    registry.leases.apply(leases.map((lease) => [lease.ip, lease]))
    registry.close()
    const config = join(this.#dir, 'ingot.toml')
    writeFileSync(config, `state_dir = "${state}"\nrun_dir = "${run}"\n${CONFIG}`)
    const daemon = fileURLToPath(new URL('../../dist/src/ingotd.js', import.meta.url))
    await startUntilEnd(this.#t, {
      argv: [...this.inside('server'), process.execPath, daemon, '--config', config],
      isReady: /"msg":"ready"/,
      endSignal: 'SIGTERM',
    })
  }

  /** One request to the API of the daemon. */
  async api(method: string, path: string, body: object): Promise<unknown> {
    const argv = ['-sf', '--unix-socket', join(this.#dir, 'run/api.sock'), '-X', method]
    const json = ['-H', 'content-type: application/json', '-d', JSON.stringify(body)]
    const url = `http://localhost/ingot/v1${path}`
    return JSON.parse((await runCommand('curl', [...argv, ...json, url], { timeoutMs: TIMEOUT_MS })).stdout)
  }

  /** What was told so far, of kinds that begin so. */
  events(kind: string): EventRecord[] {
    const registry = openRegistry(join(this.#dir, 'state/registry.sqlite'), { readOnly: true })
    try {
      return registry.events.list({ limit: 10_000 }).filter((event) => event.kind.startsWith(kind))
    } finally {
      registry.close()
    }
  }

  async #plug(name: string, mac: string, where: string, bridge: string): Promise<void> {
    await this.#namespace(name)
    const peer = ['peer', 'name', 'eth0', 'address', mac, 'netns', this.#name(name)]
    await this.run(where, 'ip', 'link', 'add', `p-${name}`, 'type', 'veth', ...peer)
    await this.run(where, 'ip', 'link', 'set', `p-${name}`, 'master', bridge, 'up')
    await this.run(name, 'ip', 'link', 'set', 'eth0', 'up')
  }

  async #namespace(name: string): Promise<void> {
    await runCommand('ip', ['netns', 'add', this.#name(name)], { timeoutMs: TIMEOUT_MS })
    this.#t.teardown(async () => {
      await runCommand('ip', ['netns', 'del', this.#name(name)], { timeoutMs: TIMEOUT_MS })
    })
    await this.run(name, 'ip', 'link', 'set', 'lo', 'up')
  }

  #name(name: string): string {
    return `metadata-${name}-${process.pid}`
  }
}

function insert(registry: Registry, { name, mac, ip, server }: StandServer): void {
  const [machineId, layerId, volumeId] = [`machine-${name}`, `layer-${name}`, `volume-${name}`]
  const nic = { mac, machineId, position: 0, ip, switchPort: undefined, role: 'tenant' } as const
  const machine: MachineRecord = { ...MACHINE, id: machineId, name: `node-${name}`, nics: [nic] }
  registry.layers.insert({ ...CLONE, id: layerId })
  registry.volumes.insert({ ...VOLUME, id: volumeId, name: volumeId, layerId, naa: naa(name) })
  registry.machines.insert(machine)
  registry.servers.insert({
    ...{ ...SERVER, id: `server-${name}`, name, machineId, volumeId, instanceId: `instance-${name}` },
    ...{ iqn: `${SERVER.iqn}-${name}`, initiatorIqn: `${SERVER.initiatorIqn}-${name}` },
    ...{ bootToken: `token-${name}`, chapUser: name, chapSecret: `the secret of ${name}` },
    ...{
      userData: Buffer.from(`#cloud-config\n# the data of ${name}\n`),
      seedSecret: Buffer.alloc(32, name),
    },
    ...{ keys: [{ name: `key of ${name}`, publicKey: `ssh-ed25519 ${'AAAAC3Nza'.repeat(6)} ${name}` }] },
    ...server,
  })
}

function naa(name: string): string {
  return `6e1be11e${Buffer.from(name).toString('hex').padStart(8, '0').slice(0, 8)}`
}

import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { runCommand } from '../../src/command.js'
import { decodePacket, encodePacket, type DhcpPacket } from '../../src/netboot/dhcp/codec.js'
import { openRegistry } from '../../src/registry/registry.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import { fill, MACHINE, SERVER } from '../registry/sample-records.js'
import { startUntilEnd } from './program-until-end.js'

const TIMEOUT_MS = 30_000

/** Where the machine of {@link DhcpSegments} is enrolled: its address is in the proxy segment. */
export const MACHINE_IP = '198.18.3.50'

/** An answer, and who sent it. */
export interface Answer {
  readonly from: string
  readonly port: number
  readonly packet: DhcpPacket
}

const CONFIG = `
unknown_machines = "address"
[boot]
address = "198.18.0.1"
[[subnet]]
cidr = "198.18.0.0/24"
interface = "seg0"
router = "198.18.0.254"
domain_search = ["zero.example"]
pool_first = "198.18.0.100"
pool_last = "198.18.0.110"
[[subnet]]
cidr = "198.18.1.0/24"
interface = "seg1"
address = "198.18.1.1"
router = "198.18.1.1"
domain_search = ["one.example"]
pool_first = "198.18.1.100"
pool_last = "198.18.1.110"
[[subnet]]
cidr = "198.18.2.0/24"
relayed = true
router = "198.18.2.2"
domain_search = ["far.example"]
pool_first = "198.18.2.100"
pool_last = "198.18.2.110"
[[subnet]]
cidr = "198.18.3.0/24"
interface = "seg3"
address = "198.18.3.1"
mode = "proxy"
[target]
managed = false
address = "198.18.0.1"
`

/**
 * ingotd with three segments in a network namespace: `seg0` and `seg1` have its addresses, `seg3` those of
 * somebody else. Each has a client; a fourth, `far`, is behind a relay on `seg0`. Client namespaces have one
 * interface, `eth0`; the relay has `near` and `far`.
 */
export class DhcpSegments {
  readonly #t: Test
  readonly #dir: string

  private constructor(t: Test, dir: string) {
    this.#t = t
    this.#dir = dir
  }

  /** Builds the network; everything goes when the test ends. */
  static async make(t: Test): Promise<DhcpSegments> {
    const dir = mkdtempSync(join(tmpdir(), 'ingot-seg-')) // short: sockets are in it
    t.teardown(() => rmSync(dir, { recursive: true }))
    const made = new DhcpSegments(t, dir)
    for (const name of ['server', 'c0', 'c1', 'c3', 'far', 'relay', 'other']) await made.#namespace(name)
    for (const [segment, address] of [
      ['seg0', '198.18.0.1'],
      ['seg1', '198.18.1.1'],
      ['seg3', '198.18.3.1'],
    ] as const) {
      await made.inside('server', 'ip', 'link', 'add', segment, 'type', 'bridge')
      await made.inside('server', 'ip', 'address', 'add', `${address}/24`, 'dev', segment)
      await made.inside('server', 'ip', 'link', 'set', segment, 'up')
    }
    await made.#plug('seg0', 'c0', 'eth0')
    await made.#plug('seg0', 'relay', 'near')
    await made.#plug('seg1', 'c1', 'eth0')
    await made.#plug('seg3', 'c3', 'eth0')
    await made.#plug('seg3', 'other', 'eth0')
    await made.#farSegment()
    return made
  }

  /** Runs a program in a namespace to its end. */
  async inside(name: string, ...command: string[]): Promise<string> {
    const { stdout } = await runCommand('ip', ['netns', 'exec', this.name(name), ...command], {
      timeoutMs: TIMEOUT_MS,
    })
    return stdout
  }

  /** The namespace's name on this host. */
  name(name: string): string {
    return `ingot-seg-${name}-${process.pid}`
  }

  /** Starts a program that runs until the test ends; resolves with the first line that fits. */
  start(name: string, isReady: RegExp, ...command: string[]): Promise<ChildProcess> {
    const argv = ['ip', 'netns', 'exec', this.name(name), ...command]
    return startUntilEnd(this.#t, { argv, isReady, endSignal: 'SIGKILL' })
  }

  /** Starts ingotd with a socket for each port of each segment. @param mac the machine's, in hex with colons */
  async startDaemon(mac: string): Promise<void> {
    const [state, run] = [join(this.#dir, 'state'), join(this.#dir, 'run')]
    mkdirSync(state)
    const registry = openRegistry(join(state, 'registry.sqlite'))
    fill(registry)
    registry.servers.delete(SERVER.id)
    registry.machines.delete(MACHINE.id)
    const nic = {
      mac,
      machineId: MACHINE.id,
      position: 0,
      ip: MACHINE_IP,
      switchPort: undefined,
      role: 'tenant' as const,
    }
    registry.machines.insert({ ...MACHINE, firmware: 'uefi', nics: [nic] })
    registry.servers.insert(SERVER)
    registry.close()
    const config = join(this.#dir, 'ingot.toml')
    writeFileSync(config, `state_dir = "${state}"\nrun_dir = "${run}"\n${CONFIG}`)
    const sockets = ['seg0', 'seg1', 'seg3'].flatMap((segment) => {
      return [`dhcp-${segment}=${segment}:67`, `pxe-${segment}=${segment}:4011`]
    })
    const daemon = [process.execPath, path('../../dist/src/ingotd.js'), '--config', config]
    await this.start('server', /"ready"/, 'python3', path('with-sockets.py'), ...sockets, '--', ...daemon)
  }

  /** Sends a message by `eth0` and waits for so many answers. */
  async ask(
    name: string,
    request: DhcpPacket,
    answers: number,
    to: Partial<Destination> = {},
  ): Promise<Answer[]> {
    const { address = '255.255.255.255', port = 67, sourcePort = 68 } = to
    const payload = encodePacket(request, 1472).toString('hex')
    const numbers = [String(sourcePort), address, String(port), payload, String(answers)]
    const printed = await this.inside(name, 'python3', path('udp-ask.py'), 'eth0', ...numbers)
    return printed
      .trimEnd()
      .split('\n')
      .map((line) => {
        const [from = '', theirPort = '', hex = ''] = line.split(' ')
        return { from, port: Number(theirPort), packet: decodePacket(Buffer.from(hex, 'hex')) }
      })
  }

  async #namespace(name: string): Promise<void> {
    await runCommand('ip', ['netns', 'add', this.name(name)], { timeoutMs: TIMEOUT_MS })
    this.#t.teardown(async () => {
      await runCommand('ip', ['netns', 'del', this.name(name)], { timeoutMs: TIMEOUT_MS })
    })
  }

  async #plug(segment: string, name: string, interface_: string): Promise<void> {
    const near = `${segment}-${name}`
    const peer = ['peer', 'name', interface_, 'netns', this.name(name)]
    await this.inside('server', 'ip', 'link', 'add', near, 'type', 'veth', ...peer)
    await this.inside('server', 'ip', 'link', 'set', near, 'master', segment, 'up')
    await this.inside(name, 'ip', 'link', 'set', interface_, 'up')
  }

  async #farSegment(): Promise<void> {
    const peer = ['peer', 'name', 'eth0', 'netns', this.name('far')]
    await this.inside('relay', 'ip', 'link', 'add', 'far', 'type', 'veth', ...peer)
    await this.inside('far', 'ip', 'link', 'set', 'eth0', 'up')
    await this.inside('relay', 'ip', 'link', 'set', 'far', 'up')
    await this.inside('relay', 'ip', 'address', 'add', '198.18.2.2/24', 'dev', 'far')
    await this.inside('relay', 'ip', 'address', 'add', '198.18.0.2/24', 'dev', 'near')
    await this.inside('relay', 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    await this.inside('server', 'ip', 'route', 'add', '198.18.2.0/24', 'via', '198.18.0.2')
  }
}

/** Where a message goes; by default a broadcast to port 67 from 68. */
export interface Destination {
  readonly address: string
  readonly port: number
  readonly sourcePort: number
}

/** `yiaddr from TYPE`, for comparison. */
export function brief({ from, packet }: Answer): string {
  return `${formatIpv4(packet.yiaddr)} from ${from}`
}

function path(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { CommandFailed, runCommand } from '../../../src/command.js'
import { NICS, type Document } from './documents.js'

/** The program under test. */
export const PROGRAM = resolve('plugins/bms-network-config/files/usr/bin/bms-network-config')

/** What a run of the program left. */
export interface Run {
  readonly code: number
  readonly stdout: string
}

/** Files whose presence makes a tree look as if the back end were installed and enabled. */
const SIGNS: Readonly<Record<string, readonly string[]>> = {
  netplan: ['usr/sbin/netplan', 'usr/lib/systemd/systemd-networkd', 'lib/netplan/00-network.yaml'],
  networkd: [
    'usr/lib/systemd/systemd-networkd',
    'etc/systemd/system/multi-user.target.wants/systemd-networkd.service',
  ],
  NetworkManager: [
    'usr/sbin/NetworkManager',
    'etc/systemd/system/multi-user.target.wants/NetworkManager.service',
  ],
  ifupdown: ['sbin/ifup', 'etc/systemd/system/multi-user.target.wants/networking.service'],
  'ifcfg-suse': ['usr/sbin/wicked', 'etc/systemd/system/multi-user.target.wants/wicked.service'],
  ifcfg: ['etc/sysconfig/network-scripts/ifup', 'etc/rc3.d/S10network'],
}

// Answers questions from files beside it, notes every command that changes something, and lets the first of
// them bring about what lies in `after`.
const STAND_IN = `#!/bin/sh
here=$(dirname "$0")
name=$(basename "$0")
case "$name $*" in
  "ip -j -d address show") cat "$here/address.json" ;;
  "ip -j -4 route show") cat "$here/route4.json" ;;
  "ip -j -6 route show") cat "$here/route6.json" ;;
  "ip -j route get"*) cat "$here/get.json" ;;
  "systemctl is-active"*) [ -e "$here/active" ] ;;
  "netplan get") ;;
  "ifquery --state"*) [ -e "$here/active" ] && echo up ;;
  *)
    echo "$name $*" >> "$here/calls"
    [ -d "$here/after" ] && cp "$here/after/"* "$here/"
    exit 0 ;;
esac
`
const TOOLS = [
  'ip',
  'systemctl',
  'networkctl',
  'nmcli',
  'netplan',
  'ifup',
  'ifdown',
  'ifquery',
  'wicked',
  'udevadm',
]

/** One interface for the stand-in of `ip -j -d address show`. */
export interface Interface {
  readonly ifname: string
  readonly [key: string]: unknown
}

/** Interfaces and routes as iproute2 prints them. */
export interface KernelState {
  readonly address: readonly Interface[]
  readonly route4?: readonly unknown[]
  readonly route6?: readonly unknown[]
}

/** An interface that is up, with these addresses (`a/p`). */
export function up(
  ifname: string,
  mac: string,
  addresses: readonly string[] = [],
  more: object = {},
): Interface {
  const info = addresses.map((text) => {
    const [local, prefixlen] = text.split('/')
    return {
      family: text.includes(':') ? 'inet6' : 'inet',
      local,
      prefixlen: Number(prefixlen),
      scope: 'global',
    }
  })
  return { ifname, address: mac, flags: ['UP', 'LOWER_UP'], mtu: 1500, addr_info: info, ...more }
}

/** The three NICs of the machine, up and without addresses. */
export const BARE: KernelState = { address: NICS.map((mac, index) => up(`ens${index + 3}`, mac)) }

/** A guest in a folder: its files, stand-ins for its programs, and a seed. */
export class GuestTree {
  readonly root: string
  readonly tools: string
  readonly seed: string

  constructor(folder: string, backend: string) {
    this.root = join(folder, 'root')
    this.tools = join(folder, 'tools')
    this.seed = join(folder, 'seed')
    mkdirSync(this.tools, { recursive: true })
    for (const path of SIGNS[backend] ?? []) this.write(path, '')
    writeFileSync(join(this.tools, 'stand-in'), STAND_IN)
    chmodSync(join(this.tools, 'stand-in'), 0o755)
    for (const tool of TOOLS) symlinkSync('stand-in', join(this.tools, tool))
    this.kernel(BARE)
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true })
    writeFileSync(join(this.root, path), text)
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8')
  }

  /** What the seed says. */
  wish(document: Document): void {
    mkdirSync(join(this.seed, 'openstack/latest'), { recursive: true })
    writeFileSync(join(this.seed, 'openstack/latest/network_data.json'), JSON.stringify(document))
  }

  /** The kernel's state now, or from the first command on that changes something. */
  kernel(state: KernelState, when: 'now' | 'after' = 'now'): void {
    const folder = when === 'now' ? this.tools : join(this.tools, 'after')
    mkdirSync(folder, { recursive: true })
    for (const key of ['address', 'route4', 'route6'] as const) {
      writeFileSync(join(folder, `${key}.json`), JSON.stringify(state[key] ?? []))
    }
  }

  /** The back end runs. */
  activate(): void {
    writeFileSync(join(this.tools, 'active'), '')
  }

  /** Commands so far that change something. */
  calls(): string[] {
    const path = join(this.tools, 'calls')
    return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : []
  }

  /** Runs the program on the files alone, or with the stand-ins too. */
  run(args: readonly string[], programs: 'files only' | 'programs' = 'files only'): Promise<Run> {
    const env: Record<string, string> =
      programs === 'programs' ? { BMS_NETWORK_CONFIG_TOOLS: this.tools } : {}
    return runProgram(['--root', this.root, '--seed', this.seed, '--wait', '2', ...args], env)
  }

  /** All files under /etc but those that the tree began with, as one text. */
  texts(): string {
    return this.files()
      .filter((path) => path.startsWith('etc/') && this.read(path) !== '')
      .map((path) => `--- ${path}\n${this.read(path)}`)
      .join('\n')
  }

  /** Paths of all files, sorted. */
  files(): string[] {
    return readdirSync(this.root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(this.root.length + 1))
      .sort()
  }
}

/** Runs the program with these arguments. */
export async function runProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const options = { timeoutMs: 60_000, env: { PYTHONDONTWRITEBYTECODE: '1', ...env } }
  try {
    return {
      code: 0,
      stdout: (await runCommand('/usr/bin/python3', ['-W', 'error', PROGRAM, ...args], options)).stdout,
    }
  } catch (cause) {
    if (!(cause instanceof CommandFailed)) throw cause
    const code = /status (\d+)|code (\d+)/.exec(cause.message)
    return { code: Number(code?.[1] ?? code?.[2] ?? -1), stdout: cause.result.stdout + cause.result.stderr }
  }
}

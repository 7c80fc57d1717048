import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { stringify } from 'smol-toml'
import { systemClock } from '../../../src/clock.js'
import { parseConfig } from '../../../src/config.js'
import type { DaemonEvent } from '../../../src/events.js'
import { openRegistry, type Registry } from '../../../src/registry/registry.js'
import type { LeaseStore } from '../../../src/netboot/dhcp/lease-store.js'
import type { Service } from '../../../src/service.js'
import { netbootServices } from '../../../src/wiring/netboot.js'
import { PretendNetwork, type Datagram, type Interface } from '../../fakes/pretend-network.js'
import { CLONE, fill, MACHINE, SERVER, VOLUME } from '../../registry/sample-records.js'
import type { ClientFile } from './client-file.js'
import { quad, readDhcp, writeDhcp } from './dhcp-bytes.js'

/** The daemon's address on the first segment. */
export const ADDRESS = '198.18.0.1'
const FIRST_SEGMENT = 'first'
const FIRST_FD = 1000
const HTTP_PORT = 8080
const STEP_MS = 1000
const PATIENCE_MS = 10_000

/** Its answers tell that all that was sent before it has been looked at. */
const SENTINEL = { mac: '02:00:5e:00:00:fe', ip: '198.18.0.250', xid: 0x5e5e5e5e }

const CONFIG = {
  boot: { address: ADDRESS, http_port: HTTP_PORT },
  subnet: {
    cidr: '198.18.0.0/24',
    router: '198.18.0.254',
    dns: ['198.18.0.53'],
    pool_first: '198.18.0.200',
    pool_last: '198.18.0.209',
  },
}

/** The daemon's boot services, wired as in `ingotd`, on a pretended host with one client's machine enrolled. */
export class Stand {
  readonly network: PretendNetwork
  readonly registry: Registry
  /** Everything emitted that is not the sentinel's. */
  readonly events: DaemonEvent[] = []
  /** What was logged as an error, a line each. */
  readonly errors: string[] = []
  /** Where boot files are. */
  readonly loaders: string
  readonly #directory: string
  readonly #client: ClientFile
  readonly #sent: Datagram[] = []
  readonly #restore: (() => void)[] = []
  #services: readonly Service[] = []
  #wake: () => void = () => undefined
  #advancedMs = 0
  #sentinelPort = 40_000

  private constructor(client: ClientFile) {
    this.#client = client
    this.#directory = mkdtempSync(join(tmpdir(), 'ingot-zoo-'))
    this.loaders = join(this.#directory, 'loaders')
    this.registry = openRegistry(':memory:')
    const segments = client.segments ?? { [FIRST_SEGMENT]: ADDRESS }
    const interfaces = Object.entries(segments).map(([segment, address]) => ({ segment, address }))
    this.network = new PretendNetwork(interfaces, inherited(interfaces))
    this.network.onSent = (datagram) => {
      this.#sent.push(datagram)
      this.#wake()
    }
  }

  /** Started and ready. The one who opens it closes it. */
  static async open(client: ClientFile): Promise<Stand> {
    const stand = new Stand(client)
    try {
      stand.#prepare()
      await stand.#start()
    } catch (err) {
      await stand.close()
      throw err
    }
    return stand
  }

  async close(): Promise<void> {
    for (const service of [...this.#services].reverse()) await service.stop()
    for (const restore of this.#restore.reverse()) restore()
    this.registry.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  /** Lets time pass for the daemon; nothing waits. */
  advance(ms: number): void {
    this.#advancedMs += ms
  }

  /** Puts a datagram on a segment, a second after the last one. */
  inject(datagram: Omit<Datagram, 'segment'> & { readonly segment?: string | undefined }): void {
    this.advance(STEP_MS)
    this.network.inject({ ...datagram, segment: datagram.segment ?? FIRST_SEGMENT })
  }

  /** Every DHCP reply that the daemon has sent since the last call, once all before it is answered. */
  async dhcpReplies(segment = FIRST_SEGMENT): Promise<Datagram[]> {
    if (this.network.isListening(67)) await this.#dhcpSentinel(segment)
    return this.#sent.splice(0).filter(({ bytes }) => bytes[0] === 2 && xidOf(bytes) !== SENTINEL.xid)
  }

  /** The next datagram to `address:port`; undefined when TFTP has nothing for it. */
  async next(address: string, port: number): Promise<Datagram | undefined> {
    const taken = await this.#find(({ to }) => to.address === address && to.port === port)
    return taken
  }

  /** Whether TFTP has answered nothing to `address:port`, once it has served two later requests. */
  async hasNothingFor(address: string, port: number): Promise<boolean> {
    await this.#tftpSentinel()
    await this.#tftpSentinel()
    return !this.#sent.some(({ to }) => to.address === address && to.port === port)
  }

  /** How often something was counted by any service: a reason of silence, or a counter by its name. */
  counted(name: string): number {
    return this.#services.reduce((sum, service) => {
      const counters = 'counters' in service ? (service.counters as Record<string, unknown>) : {}
      const silent = (counters['silent'] ?? {}) as Record<string, unknown>
      return sum + Number(silent[name] ?? counters[name] ?? 0)
    }, 0)
  }

  #prepare(): void {
    const loaders = this.loaders
    mkdirSync(loaders)
    for (const [index, file] of loaderFiles().entries())
      writeFileSync(join(loaders, file), Buffer.alloc(5000 + 700 * index, `${file} `))
    const real = { ...systemClock }
    const clock = {
      nowMs: () => real.nowMs() + this.#advancedMs,
      monotonicMs: () => real.monotonicMs() + this.#advancedMs,
    }
    Object.assign(systemClock, clock)
    this.#restore.push(() => Object.assign(systemClock, real))
    this.#restore.push(this.network.install())
    enrol(this.registry, this.#client)
  }

  async #start(): Promise<void> {
    const { config = {}, segments = {} } = this.#client
    const merged = mergedConfig({ ...config }, this.#directory)
    const log = pino({ level: 'error' }, { write: (line: string) => void this.errors.push(line) })
    const context = {
      config: parseConfig(stringify(merged), 'zoo'),
      configFile: 'zoo',
      log,
      sockets: new Map(
        Object.keys(segments).flatMap((name, index): [string, number[]][] => [
          [`dhcp-${name}`, [FIRST_FD + 2 * index]],
          [`pxe-${name}`, [FIRST_FD + 2 * index + 1]],
        ]),
      ),
    }
    const emit = (event: DaemonEvent): void => {
      if (event.mac !== SENTINEL.mac && event.ip !== SENTINEL.ip) this.events.push(event)
    }
    const services = await netbootServices(context, this.registry, emit, leasesIn(this.registry))
    for (const service of services) {
      await service.start((err) => this.errors.push(err.message))
      this.#services = [...this.#services, service]
    }
  }

  async #tftpSentinel(): Promise<void> {
    const from = { address: SENTINEL.ip, port: this.#sentinelPort++ }
    const bytes = Buffer.from('\0\x01undionly.kpxe\0octet\0', 'latin1')
    this.inject({ from, to: { address: ADDRESS, port: 69 }, bytes })
    const block = await this.#find(({ to }) => to.port === from.port)
    if (block !== undefined) this.inject({ from, to: block.from, bytes: Buffer.from([0, 5, 0, 0, 0]) })
  }

  async #dhcpSentinel(segment: string): Promise<void> {
    const pxe = Buffer.from('PXEClient:Arch:00007:UNDI:003000')
    const isProxy = JSON.stringify(this.#client.config ?? {}).includes('"proxy"')
    const options: [number, Buffer][] = isProxy
      ? [
          [53, Buffer.of(1)],
          [60, pxe],
          [93, Buffer.of(0, 7)],
        ]
      : [
          [53, Buffer.of(3)],
          [50, quad(SENTINEL.ip)],
        ]
    const chaddr = Buffer.from(SENTINEL.mac.replaceAll(':', ''), 'hex')
    const bytes = writeDhcp({ xid: SENTINEL.xid, chaddr, options })
    const from = { address: '0.0.0.0', port: 68 }
    const where = segment === FIRST_SEGMENT || isProxy ? segment : FIRST_SEGMENT
    this.inject({ from, to: { address: '255.255.255.255', port: 67 }, bytes, segment: where })
    await this.#find(({ bytes: sent }) => sent[0] === 2 && xidOf(sent) === SENTINEL.xid)
  }

  async #find(isIt: (datagram: Datagram) => boolean): Promise<Datagram | undefined> {
    const late = new AbortController()
    const timer = setTimeout(() => {
      late.abort()
      this.#wake()
    }, PATIENCE_MS)
    try {
      for (;;) {
        const at = this.#sent.findIndex(isIt)
        if (at >= 0) return this.#sent.splice(at, 1)[0]
        if (late.signal.aborted) throw new Error(`no answer in ${String(PATIENCE_MS / 1000)} s`)
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      clearTimeout(timer)
    }
  }
}

/** A reply as text for messages. */
export function shown({ from, to, bytes }: Datagram): string {
  const { type, yiaddr } = readDhcp(bytes)
  return `${type} of ${yiaddr} from ${from.address}:${String(from.port)} to ${to.address}:${String(to.port)}`
}

function inherited(interfaces: readonly Interface[]): Map<number, Interface & { port: number }> {
  return new Map(
    interfaces.flatMap((one, index): [number, Interface & { port: number }][] => [
      [FIRST_FD + 2 * index, { ...one, port: 67 }],
      [FIRST_FD + 2 * index + 1, { ...one, port: 4011 }],
    ]),
  )
}

function xidOf(bytes: Buffer): number {
  return bytes.length < 8 ? 0 : bytes.readUInt32BE(4)
}

/** The loaders of the table, and what the signed path needs. */
function loaderFiles(): string[] {
  const rows = JSON.parse(readFileSync('boot/loaders.json', 'utf8')) as { file?: string }[]
  const others = ['shimx64.efi', 'grubx64.efi', 'ipxe.efi', 'bootcode.bin']
  return [...new Set([...rows.flatMap(({ file }) => file ?? []), ...others])]
}

function mergedConfig(own: Record<string, unknown>, directory: string): Record<string, unknown> {
  const subnet = own['subnet'] ?? {}
  return {
    ...own,
    state_dir: directory,
    run_dir: directory,
    log_level: 'error',
    boot: { ...CONFIG.boot, loader_dirs: [join(directory, 'loaders')], ...(own['boot'] ?? {}) },
    subnet: Array.isArray(subnet)
      ? subnet.map((one: object, index) => (index === 0 ? { ...CONFIG.subnet, ...one } : one))
      : { ...CONFIG.subnet, ...subnet },
  }
}

/** The sample machine and its server as the sentinel, and the client's own. */
function enrol(registry: Registry, { machine }: ClientFile): void {
  fill(registry)
  registry.servers.delete(SERVER.id)
  registry.machines.delete(MACHINE.id)
  const sentinel = {
    mac: SENTINEL.mac,
    ip: SENTINEL.ip,
    machineId: 'sentinel',
    position: 0,
    switchPort: undefined,
  }
  registry.machines.insert({ ...MACHINE, id: 'sentinel', name: 'sentinel', nics: [sentinel] })
  registry.servers.insert({ ...SERVER, machineId: 'sentinel', bootToken: 'sentinel-token' })
  if (machine === undefined) return
  const { nics, firmware = 'uefi', boots_from = 'server', loader } = machine
  registry.machines.insert({
    ...MACHINE,
    id: 'zoo',
    name: 'zoo',
    firmware,
    nics: nics.map((nic, position) => {
      return { ...nic, machineId: 'zoo', position, ip: nic.ip, switchPort: undefined }
    }),
    ...(loader !== undefined && { loader }),
  })
  if (boots_from === 'nothing') return
  registry.layers.insert({ ...CLONE, id: 'zoo' })
  registry.volumes.insert({ ...VOLUME, id: 'zoo', name: 'zoo', layerId: 'zoo', naa: '6e1be11e000000ff' })
  registry.servers.insert({
    ...SERVER,
    ...{ id: 'zoo', name: 'zoo', machineId: 'zoo', volumeId: 'zoo', bootIntent: boots_from },
    ...{ instanceId: 'zoo', chapUser: 'zoo' },
    ...{ iqn: 'iqn.2026-11.test.ingot:zoo', initiatorIqn: 'iqn.2026-11.test.ingot:host:zoo' },
    bootToken: 'zoo-token',
  })
}

/** Files in the loader directory, for those who count them. */
export function contentOf(stand: Stand, file: string): Buffer {
  if (!readdirSync(stand.loaders).includes(file)) throw new Error(`the stand has no loader ${file}`)
  return readFileSync(join(stand.loaders, file))
}

/** Leases that are in the registry's table at once. */
function leasesIn({ leases }: Registry): LeaseStore {
  return {
    all: () => leases.all(),
    save: (lease, done) => {
      leases.apply([[lease.ip, lease]])
      done()
    },
    remove: (ip) => {
      leases.apply([[ip, undefined]])
    },
  }
}

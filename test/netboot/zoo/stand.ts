import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { systemClock } from '../../../src/clock.js'
import { BootCredentials } from '../../../src/control/boot-credentials.js'
import { parseConfig } from '../../../src/config.js'
import type { DaemonEvent } from '../../../src/events.js'
import { openRegistry, type Registry } from '../../../src/registry/registry.js'
import type { LeaseStore } from '../../../src/netboot/dhcp/lease-store.js'
import type { Service } from '../../../src/service.js'
import { netbootServices } from '../../../src/wiring/netboot.js'
import { PretendNetwork, type Datagram } from '../../fakes/pretend-network.js'
import type { ClientFile } from './client-file.js'
import { quad, readDhcp, writeDhcp } from './dhcp-bytes.js'
import { enrol, loaderFiles, planStand, SENTINEL, type StandPlan } from './stand-plan.js'

/** What the sentinel says where a proxy answers, and elsewhere. */
const PXE_DISCOVER: readonly (readonly [number, Buffer])[] = [
  [53, Buffer.of(1)],
  [60, Buffer.from('PXEClient:Arch:00007:UNDI:003000')],
  [93, Buffer.of(0, 7)],
]
const INIT_REBOOT: readonly (readonly [number, Buffer])[] = [
  [53, Buffer.of(3)],
  [50, quad(SENTINEL.ip)],
]
const STEP_MS = 1000
const PATIENCE_MS = 30_000

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
  readonly #plan: StandPlan
  readonly #sent: Datagram[] = []
  readonly #restore: (() => void)[] = []
  /** Every boot token that there was. */
  readonly #tokens = new Set<string>()
  #services: readonly Service[] = []
  #wake: () => void = () => undefined
  #advancedMs = 0
  #sentinelPort = 40_000

  private constructor(client: ClientFile) {
    this.#directory = mkdtempSync(join(tmpdir(), 'ingot-zoo-'))
    this.loaders = join(this.#directory, 'loaders')
    this.registry = openRegistry(':memory:')
    enrol(this.registry, client)
    this.#plan = planStand(client, this.#directory)
    this.network = new PretendNetwork(this.#plan.interfaces, this.#plan.inherited)
    this.network.onSent = (datagram) => {
      this.#sent.push(datagram)
      this.#wake()
    }
  }

  /** The daemon's address on the first segment. */
  get address(): string {
    return this.#plan.address
  }

  /** The first segment's name. */
  get segment(): string {
    return this.#plan.interfaces[0]?.segment ?? ''
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

  /** Lets time pass for the daemon, which else stands still; nothing waits. */
  advance(ms: number): void {
    this.#advancedMs += ms
  }

  /** Puts a datagram on a segment, a second after the last one. */
  inject(datagram: Omit<Datagram, 'segment'> & { readonly segment?: string | undefined }): void {
    this.advance(STEP_MS)
    this.network.inject({ ...datagram, segment: datagram.segment ?? this.segment })
  }

  /** Every DHCP reply that the daemon has sent since the last call, once all before it is answered. */
  async dhcpReplies(): Promise<Datagram[]> {
    if (this.network.isListening(67)) await this.#dhcpSentinel()
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
    const startMs = real.nowMs()
    const clock = {
      nowMs: () => startMs + this.#advancedMs,
      monotonicMs: () => this.#advancedMs,
    }
    Object.assign(systemClock, clock)
    this.#restore.push(() => Object.assign(systemClock, real))
    this.#restore.push(this.network.install())
  }

  async #start(): Promise<void> {
    const log = pino({ level: 'error' }, { write: (line: string) => void this.errors.push(line) })
    const { config, sockets } = this.#plan
    const context = { config: parseConfig(config, 'zoo'), configFile: 'zoo', log, sockets }
    const emit = (event: DaemonEvent): void => {
      for (const { bootToken } of this.registry.servers.list()) this.#tokens.add(bootToken)
      if ([...this.#tokens].some((token) => event.message.includes(token)))
        this.errors.push(`a token is told: ${event.message}`)
      if (event.mac !== SENTINEL.mac && event.ip !== SENTINEL.ip) this.events.push(event)
    }
    const { registry } = this
    const credentials = new BootCredentials({ registry, hasScript: () => false, canRotateSecret: true })
    const life = { emit, watch: () => undefined, credentials }
    const services = await netbootServices(context, registry, life, { leases: leasesIn(registry) })
    for (const service of services) {
      await service.start((err) => this.errors.push(err.message))
      this.#services = [...this.#services, service]
    }
  }

  async #tftpSentinel(): Promise<void> {
    const from = { address: SENTINEL.ip, port: this.#sentinelPort++ }
    const bytes = Buffer.from('\0\x01undionly.kpxe\0octet\0', 'latin1')
    this.inject({ from, to: { address: this.address, port: 69 }, bytes })
    const block = await this.#find(({ to }) => to.port === from.port)
    if (block !== undefined) this.inject({ from, to: block.from, bytes: Buffer.from([0, 5, 0, 0, 0]) })
  }

  async #dhcpSentinel(): Promise<void> {
    const { mode, isRelayed } = this.#plan
    const chaddr = Buffer.from(SENTINEL.mac.replaceAll(':', ''), 'hex')
    const giaddr = isRelayed ? SENTINEL.ip : undefined
    const options = mode === 'proxy' ? PXE_DISCOVER : INIT_REBOOT
    const from = isRelayed ? { address: SENTINEL.ip, port: 67 } : { address: '0.0.0.0', port: 68 }
    const to = { address: isRelayed ? this.address : '255.255.255.255', port: 67 }
    this.inject({ from, to, bytes: writeDhcp({ xid: SENTINEL.xid, chaddr, giaddr, options }) })
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

function xidOf(bytes: Buffer): number {
  return bytes.length < 8 ? 0 : bytes.readUInt32BE(4)
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
    find: (ip) => leases.findByIp(ip),
    save: (lease, done) => {
      leases.apply([[lease.ip, lease]])
      done()
    },
    remove: (ip) => {
      leases.apply([[ip, undefined]])
    },
  }
}

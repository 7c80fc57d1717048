import type { RemoteInfo } from 'node:dgram'
import type { Logger } from 'pino'
import type { Clock } from '../../clock.js'
import type { EmitEvent } from '../../events.js'
import type { Service } from '../../service.js'
import { formatIpv4, parseIpv4 } from '../../wire/ipv4.js'
import { macFromBytes } from '../../wire/mac.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { clientMac } from './boot-traits.js'
import { decodeRequest, encodePacket } from './codec.js'
import type { DhcpPacket } from './codec.js'
import { silence } from './decision.js'
import type { DhcpReply, Effect, Silence } from './decision.js'
import { countReply, freshCounters } from './dhcp-counters.js'
import type { DhcpCounters } from './dhcp-counters.js'
import { ackEvent, proxyEvent, silenceNote, unsentEvent } from './dhcp-events.js'
import { openDhcpSockets } from './dhcp-sockets.js'
import type { DhcpSockets } from './dhcp-sockets.js'
import type { DhcpMachine, DhcpSubnets, ServedSubnet } from './dhcp-subnets.js'
import { DropWatch } from './drop-watch.js'
import { decideDhcp } from './engine.js'
import type { LeaseStore } from './lease-store.js'
import { decidePxe } from './proxy.js'
import type { Source } from './proxy.js'
import { OncePer, RateLimit } from '../../rate-limit.js'
import { sightingOf } from './sighting.js'
import type { DhcpWatch } from './sighting.js'

const TEN_MINUTES_MS = 600_000
/** A firmware that asks again within it is at the same step of its boot. */
const SAME_STEP_MS = 10_000
const DEFAULT_PER_SECOND = 20
const GIADDR_AT = 24
const CHADDR_AT = 28
const CHADDR_END = 34

/** The sockets of one segment. Addresses are dotted IPv4. */
export interface DhcpServerOptions {
  /** Our address on the segment: the source of every reply. */
  readonly address: string
  /** Default 67; 0 picks a free port. */
  readonly port?: number
  /** Where firmware asks boot servers; default 4011. */
  readonly pxePort?: number
  /** Default 68. */
  readonly clientPort?: number
  /** Inherited sockets bound to the segment's interface (socket activation), for `port` and for `pxePort`. */
  readonly fd?: number | undefined
  readonly pxeFd?: number | undefined
  /** In the service's name. */
  readonly interface?: string | undefined
  /** Datagrams one MAC (or, when relayed, one MAC behind one relay) may send in a second; default 20. */
  readonly maxPerSecondPerSource?: number
  /** Default 255.255.255.255; the loopback's 127.255.255.255 in tests. */
  readonly broadcastAddress?: string
}

/** What the DHCP server needs from the rest of the daemon. */
export interface DhcpServerDeps {
  readonly subnets: DhcpSubnets
  /** The subnet of the segment itself; undefined when only relays are heard. */
  readonly own: ServedSubnet | undefined
  /** The machine that has a NIC with this MAC (lower case, colons), or that is at the switch port of option 82. */
  readonly findMachine: (mac: string, relayInfo: Uint8Array | undefined) => DhcpMachine | undefined
  readonly leases: LeaseStore
  readonly watch?: DhcpWatch | undefined
  readonly clock: Clock
  readonly emit: EmitEvent
  readonly log: Logger
}

/** A request, and what is known about who sent it. */
interface Heard {
  readonly request: DhcpPacket
  readonly mac: string
  readonly machine: DhcpMachine | undefined
  /** Set on the port of boot servers, which answer to where the question came from. */
  readonly source: Source | undefined
  readonly nowMs: number
}

/** The DHCPv4 server of one segment, on port 67 and on PXE's 4011. */
export class DhcpServer implements Service {
  readonly name: string

  readonly counters: DhcpCounters = freshCounters()
  readonly #options: DhcpServerOptions
  readonly #deps: DhcpServerDeps
  readonly #rate: RateLimit
  readonly #told: OncePer
  readonly #toldOfStrangers: OncePer // apart, since they can use up its keys
  readonly #steps: OncePer
  readonly #logged: OncePer
  readonly #drops: DropWatch
  #sockets: DhcpSockets | undefined
  #pxe: DhcpSockets | undefined

  constructor(options: DhcpServerOptions, deps: DhcpServerDeps) {
    this.name = options.interface === undefined ? 'dhcp' : `dhcp-${options.interface}`
    this.#options = options
    this.#deps = deps
    this.#rate = new RateLimit(options.maxPerSecondPerSource ?? DEFAULT_PER_SECOND, deps.clock)
    this.#told = new OncePer(TEN_MINUTES_MS, deps.clock)
    this.#steps = new OncePer(SAME_STEP_MS, deps.clock)
    this.#toldOfStrangers = new OncePer(TEN_MINUTES_MS, deps.clock)
    this.#logged = new OncePer(TEN_MINUTES_MS, deps.clock)
    this.#drops = new DropWatch(deps.clock, async () => (await this.status()).kernelDrops, deps.emit)
  }

  /** The port requests come to, once started. */
  get port(): number | undefined {
    return this.#sockets?.port
  }

  /** The port boot servers are asked at, once started. */
  get pxePort(): number | undefined {
    return this.#pxe?.port
  }

  async start(onFatal: (cause: Error) => void): Promise<void> {
    const { address, port = 67, pxePort = 4011, fd, pxeFd } = this.#options
    const at = { address, port, fd, hearsBroadcasts: this.#deps.own !== undefined }
    const pxeAt = { address, port: pxePort, fd: pxeFd, hearsBroadcasts: false }
    try {
      this.#sockets = await openDhcpSockets(
        at,
        (datagram, from) => this.#receive(datagram, from, false),
        onFatal,
      )
      this.#pxe = await openDhcpSockets(
        pxeAt,
        (datagram, from) => this.#receive(datagram, from, true),
        onFatal,
      )
      this.#drops.start()
    } catch (err) {
      await this.stop()
      throw new Error(`cannot serve DHCP on ${address}:${port} and ${pxePort}`, { cause: err })
    }
  }

  async stop(): Promise<void> {
    this.#drops.stop()
    const [sockets, pxe] = [this.#sockets, this.#pxe]
    this.#sockets = undefined
    this.#pxe = undefined
    await sockets?.close()
    await pxe?.close()
  }

  /** The counters, with what the kernel dropped until now. */
  async status(): Promise<DhcpCounters> {
    const drops = [await this.#sockets?.kernelDrops(), await this.#pxe?.kernelDrops()]
    this.counters.kernelDrops = drops.reduce<number>((sum, count = 0) => sum + count, 0)
    return this.counters
  }

  // The one border to the wire: whatever a datagram does, the next one is served.
  #receive(datagram: Buffer, from: RemoteInfo, isPxe: boolean): void {
    this.counters.received++
    const source = datagram.toString('latin1', GIADDR_AT, CHADDR_END)
    if (!this.#rate.allows(source, () => this.#isOfMachine(datagram))) {
      this.counters.rateLimited++
      return
    }
    try {
      const request = decodeRequest(datagram)
      const mac = clientMac(request) ?? ''
      if (this.#deps.watch?.isOurs(mac) === true) return
      const machine = mac === '' ? undefined : this.#deps.findMachine(mac, request.options.relayInfo)
      const asker = isPxe ? { ip: parseIpv4(from.address) ?? 0, port: from.port } : undefined
      this.#answer({ request, mac, machine, source: asker, nowMs: this.#deps.clock.nowMs() })
    } catch (err) {
      this.#rejected(err, from)
    }
  }

  #isOfMachine(datagram: Buffer): boolean {
    const mac = macFromBytes(datagram.subarray(CHADDR_AT, CHADDR_END))
    return this.#deps.findMachine(mac, undefined) !== undefined
  }

  #answer(heard: Heard): void {
    const { request, mac, machine, source, nowMs } = heard
    const { subnets, own } = this.#deps
    const hasSource = source !== undefined && source.ip !== 0
    const subnet = hasSource ? subnets.at(source.ip) : subnets.find(request, own)
    if (subnet === undefined) {
      this.#deps.watch?.saw(sightingOf(heard, undefined, false))
      // who asks boot servers from elsewhere may have made up where: nobody is to make us send there
      const reason = hasSource ? 'inform-from-elsewhere' : 'unknown-link'
      this.#keepSilent(silence(reason), heard, undefined)
      return
    }
    const record = subnet.record(mac, machine, request, nowMs)
    const decision =
      source === undefined
        ? decideDhcp(request, record, subnet.policy, nowMs)
        : decidePxe(request, source, record, subnet.policy)
    this.#deps.watch?.saw(sightingOf(heard, subnet, decision.kind === 'reply'))
    if (decision.kind === 'silence') this.#keepSilent(decision, heard, subnet)
    else this.#reply(decision, heard, subnet)
  }

  #rejected(err: unknown, from: RemoteInfo): void {
    if (err instanceof MalformedPacket) {
      this.counters.malformed++
      this.#deps.log.debug({ ip: from.address, err }, 'malformed DHCP packet dropped')
      return
    }
    this.counters.failed++
    if (this.#logged.allows('failed')) this.#deps.log.error({ ip: from.address, err }, 'DHCP request failed')
  }

  #keepSilent({ reason, effect }: Silence, heard: Heard, subnet: ServedSubnet | undefined): void {
    const { mac, request } = heard
    this.counters.silent[reason]++
    this.#deps.log.debug({ mac, reason }, 'DHCP request not answered')
    if (effect !== undefined && subnet !== undefined) this.#apply(effect, mac, subnet)
    const note = silenceNote(reason, mac, request)
    if (note === undefined) return
    const told = note.isByAnybody ? this.#toldOfStrangers : this.#told
    if (told.allows(note.key)) this.#deps.emit(note.event)
  }

  #reply(reply: DhcpReply, heard: Heard, subnet: ServedSubnet): void {
    const datagram = encodePacket(reply.packet, reply.budgetBytes)
    const sockets = heard.source === undefined ? this.#sockets : this.#pxe
    const send = (): void => this.#send(datagram, reply, sockets)
    if (reply.effect !== undefined) this.#apply(reply.effect, heard.mac, subnet)
    if (reply.effect?.kind === 'bind') {
      // RFC 2131 §4.3.1: on disk before the client is told. One that hears nothing asks again.
      this.#deps.leases.save(reply.effect.lease, (cause) => {
        if (cause !== undefined) {
          this.counters.unsaved++
          return
        }
        send()
        const event = ackEvent(reply, heard.mac, heard.machine)
        if (event !== undefined) this.#deps.emit(event)
      })
      return
    }
    send()
    const event = proxyEvent(reply, heard.mac, heard.machine)
    if (event !== undefined && this.#steps.allows(event.message)) this.#deps.emit(event)
  }

  #apply(effect: Effect, mac: string, { book }: ServedSubnet): void {
    switch (effect.kind) {
      case 'offer':
        book.offer(effect.ip, mac, effect.untilMs)
        break
      case 'bind':
        book.lease(parseIpv4(effect.lease.ip) ?? 0, mac, effect.lease.expiresMs)
        break
      case 'withdraw':
        book.withdraw(mac)
        break
      case 'release':
        book.release(effect.ip)
        this.#deps.leases.remove(formatIpv4(effect.ip))
        break
      case 'decline':
        book.quarantine(effect.ip, effect.untilMs)
        this.#deps.leases.remove(formatIpv4(effect.ip))
        break
    }
  }

  #send(datagram: Uint8Array, { to, packet }: DhcpReply, sockets: DhcpSockets | undefined): void {
    if (sockets === undefined) return
    const { broadcastAddress = '255.255.255.255' } = this.#options
    countReply(this.counters, packet)
    const ip = to.ip === 'broadcast' ? broadcastAddress : formatIpv4(to.ip)
    sockets.send(datagram, this.#portOf(to.port, sockets), ip, (err) => {
      if (err === null) return
      this.counters.sendErrors++
      this.#deps.log.debug({ ip, err }, 'DHCP reply could not be sent')
      if (this.#toldOfStrangers.allows(`unsent ${ip}`)) this.#deps.emit(unsentEvent(ip, err))
    })
  }

  #portOf(port: DhcpReply['to']['port'], sockets: DhcpSockets): number {
    if (port === 'client') return this.#options.clientPort ?? 68
    return port === 'relay' ? sockets.port : port
  }
}

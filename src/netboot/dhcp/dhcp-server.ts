import type { RemoteInfo } from 'node:dgram'
import type { Logger } from 'pino'
import type { Clock } from '../../clock.js'
import type { EmitEvent } from '../../events.js'
import type { Service } from '../../service.js'
import { formatIpv4, parseIpv4 } from '../../wire/ipv4.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import type { DecideBoot } from '../boot-client.js'
import { AddressBook } from './address-book.js'
import { clientMac } from './boot-traits.js'
import { decodeRequest, encodePacket, MESSAGE } from './codec.js'
import type { DhcpPacket } from './codec.js'
import { parseDhcpOptions } from './dhcp-options.js'
import type { DhcpServerOptions, ParsedDhcpOptions } from './dhcp-options.js'
import { openDhcpSockets } from './dhcp-sockets.js'
import type { DhcpSockets } from './dhcp-sockets.js'
import { decideDhcp, SILENCE } from './engine.js'
import type { ClientRecord, DhcpReply, Effect, Silence, SilenceReason } from './engine.js'
import { LeaseCommit } from './lease-commit.js'
import type { LeaseStore } from './lease-store.js'
import { OncePer, RateLimit } from './rate-limit.js'

const TEN_MINUTES_MS = 600_000
const DEFAULT_PER_SECOND = 20
const GIADDR_AT = 24
const CHADDR_END = 34

/** A machine as DHCP sees it. Without `ip` it is served from the pool. */
export interface DhcpMachine {
  readonly machineId: string
  readonly name: string
  /** The fixed address of this NIC, dotted. */
  readonly ip?: string | undefined
  readonly hostName?: string | undefined
}

/** What the DHCP server needs from the rest of the daemon. */
export interface DhcpServerDeps {
  /** The machine that has a NIC with this MAC (lower case, colons). */
  readonly findMachine: (mac: string) => DhcpMachine | undefined
  /** Whether an address belongs to a machine, so that the pool leaves it alone; default: none does. */
  readonly isFixedAddress?: (ip: string) => boolean
  readonly leases: LeaseStore
  readonly bootAnswer: DecideBoot
  readonly clock: Clock
  readonly emit: EmitEvent
  readonly log: Logger
}

/** What happened since the server was made. */
export interface DhcpCounters {
  received: number
  offers: number
  acks: number
  naks: number
  /** Datagrams that break the format. */
  malformed: number
  /** Datagrams of a source that had its share for this second. */
  rateLimited: number
  /** Our own mistakes, each logged. */
  failed: number
  /** ACKs not sent because their lease could not be saved. */
  unsaved: number
  sendErrors: number
  /** Messages not answered, by reason. */
  readonly silent: Record<SilenceReason, number>
}

/** The DHCPv4 server of one segment. */
export class DhcpServer implements Service {
  readonly name = 'dhcp'

  readonly counters: DhcpCounters
  readonly #options: DhcpServerOptions
  readonly #deps: DhcpServerDeps
  readonly #parsed: ParsedDhcpOptions
  readonly #rate: RateLimit
  readonly #told: OncePer
  readonly #logged: OncePer // apart from #told, whose keys any stranger's MAC can use up
  readonly #commit: LeaseCommit
  #book: AddressBook
  #sockets: DhcpSockets | undefined

  /** @throws DaemonError CONFIG_INVALID */
  constructor(options: DhcpServerOptions, deps: DhcpServerDeps) {
    this.#options = options
    this.#deps = deps
    this.#parsed = parseDhcpOptions(options, deps.bootAnswer)
    this.#rate = new RateLimit(options.maxPerSecondPerSource ?? DEFAULT_PER_SECOND, deps.clock)
    this.#told = new OncePer(TEN_MINUTES_MS, deps.clock)
    this.#logged = new OncePer(TEN_MINUTES_MS, deps.clock)
    this.#commit = new LeaseCommit(deps.leases, (err, count) => this.#unsaved(err, count))
    this.#book = new AddressBook(undefined, [], [], () => false) // read at start
    this.counters = freshCounters()
  }

  /** The port requests come to, once started. */
  get port(): number | undefined {
    return this.#sockets?.port
  }

  async start(onFatal: (cause: Error) => void): Promise<void> {
    const { serverAddress, port = 67, fd } = this.#options
    this.#book = this.#readBook()
    try {
      this.#sockets = await openDhcpSockets(
        { address: serverAddress, port, fd },
        (datagram, from) => this.#receive(datagram, from),
        onFatal,
      )
    } catch (err) {
      throw new Error(`cannot serve DHCP on ${serverAddress}:${port}`, { cause: err })
    }
  }

  async stop(): Promise<void> {
    this.#commit.flush()
    const sockets = this.#sockets
    this.#sockets = undefined
    await sockets?.close()
  }

  // The one border to the wire: whatever a datagram does, the next one is served.
  #receive(datagram: Buffer, from: RemoteInfo): void {
    this.counters.received++
    if (!this.#rate.allows(datagram.toString('latin1', GIADDR_AT, CHADDR_END))) {
      this.counters.rateLimited++
      return
    }
    try {
      this.#answer(decodeRequest(datagram))
    } catch (err) {
      this.#rejected(err, from)
    }
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

  #answer(request: DhcpPacket): void {
    const nowMs = this.#deps.clock.nowMs()
    const mac = clientMac(request)
    const machine = mac === undefined ? undefined : this.#deps.findMachine(mac)
    const record = mac === undefined ? undefined : this.#record(mac, machine, request, nowMs)
    const decision = decideDhcp(request, record, this.#parsed.policy, nowMs)
    if (decision.kind === 'silence') this.#keepSilent(decision, mac ?? '')
    else this.#reply(decision, mac ?? '', machine)
  }

  #record(
    mac: string,
    machine: DhcpMachine | undefined,
    request: DhcpPacket,
    nowMs: number,
  ): ClientRecord | undefined {
    const hostName = machine?.hostName
    if (machine?.ip !== undefined) return { ip: parseIpv4(machine.ip), isHeld: true, hostName }
    if (machine === undefined && this.#options.unknownMachines === 'ignore') return undefined
    const held = this.#book.held(mac, nowMs)
    if (held !== undefined) return { ip: held, isHeld: true, hostName }
    const wanted = request.ciaddr === 0 ? request.options.requestedIp : request.ciaddr
    return { ip: this.#book.candidate(wanted, nowMs), isHeld: false, hostName }
  }

  #keepSilent({ reason, effect }: Silence, mac: string): void {
    this.counters.silent[reason]++
    this.#deps.log.debug({ mac, reason }, 'DHCP request not answered')
    if (effect !== undefined) this.#apply(effect, mac)
    const message = noteworthy(reason, mac)
    if (message === undefined || !this.#told.allows(`${reason} ${reason === 'pool-full' ? '' : mac}`)) return
    this.#deps.emit({ kind: `dhcp.${reason}`, message, mac })
  }

  #reply(reply: DhcpReply, mac: string, machine: DhcpMachine | undefined): void {
    const datagram = encodePacket(reply.packet, reply.budgetBytes)
    const send = (): void => this.#send(datagram, reply, mac)
    if (reply.effect !== undefined) this.#apply(reply.effect, mac)
    if (reply.effect?.kind !== 'bind') {
      send()
      return
    }
    this.#commit.add(reply.effect.lease, () => {
      send()
      this.#tellAck(reply, mac, machine)
    })
  }

  #apply(effect: Effect, mac: string): void {
    switch (effect.kind) {
      case 'offer':
        this.#book.offer(effect.ip, mac, effect.untilMs)
        break
      case 'bind':
        this.#book.lease(parseIpv4(effect.lease.ip) ?? 0, mac, effect.lease.expiresMs)
        break
      case 'withdraw':
        this.#book.withdraw(mac)
        break
      case 'release':
        this.#book.release(effect.ip)
        this.#commit.remove(formatIpv4(effect.ip))
        break
      case 'decline':
        this.#book.quarantine(effect.ip, effect.untilMs)
        this.#commit.remove(formatIpv4(effect.ip))
        break
    }
  }

  #send(datagram: Uint8Array, { to, packet }: DhcpReply, mac: string): void {
    const sockets = this.#sockets
    if (sockets === undefined) return
    const { clientPort = 68, broadcastAddress = '255.255.255.255' } = this.#options
    const port = to.port === 'client' ? clientPort : sockets.port
    this.#count(packet)
    sockets.send(datagram, port, to.ip === 'broadcast' ? broadcastAddress : formatIpv4(to.ip), (err) => {
      if (err === null) return
      this.counters.sendErrors++
      if (this.#logged.allows('send')) this.#deps.log.warn({ mac, err }, 'DHCP reply could not be sent')
    })
  }

  #count({ options }: DhcpPacket): void {
    if (options.messageType === MESSAGE.OFFER) this.counters.offers++
    else if (options.messageType === MESSAGE.ACK) this.counters.acks++
    else this.counters.naks++
  }

  // A renewal is no step of a boot; firmware, loader and system each begin with an ACK of their own.
  #tellAck({ packet, bootReason }: DhcpReply, mac: string, machine: DhcpMachine | undefined): void {
    if (machine === undefined || bootReason === undefined) return
    const ip = formatIpv4(packet.yiaddr)
    const { bootFile } = packet.options
    const boot = bootFile ?? 'nothing to boot'
    const why = bootReason === '' ? '' : ` (${bootReason})`
    this.#deps.emit({
      kind: 'dhcp.ack',
      stage: 'dhcp',
      message: `${machine.name} was given ${ip} and ${boot}${why}`,
      mac,
      ip,
    })
  }

  #unsaved(err: unknown, count: number): void {
    this.counters.unsaved += count
    if (this.#logged.allows('unsaved')) this.#deps.log.error({ err }, 'DHCP leases could not be saved')
  }

  #readBook(): AddressBook {
    const { leases, isFixedAddress = () => false } = this.#deps
    const { pool, excluded } = this.#parsed
    return new AddressBook(pool, excluded, leases.all(), isFixedAddress)
  }
}

function noteworthy(reason: SilenceReason, mac: string): string | undefined {
  switch (reason) {
    case 'unknown-machine':
      return `${mac} asked for an address but belongs to no machine`
    case 'pool-full':
      return `no address is left in the pool for ${mac}`
    case 'address-outside-subnet':
      return `the address of ${mac} is outside the subnet served here`
    case 'declined':
      return `${mac} found its address in use by somebody else`
    default:
      return undefined
  }
}

function freshCounters(): DhcpCounters {
  const counts = { received: 0, offers: 0, acks: 0, naks: 0, malformed: 0, rateLimited: 0, failed: 0 }
  const silent = Object.fromEntries(SILENCE.map((reason) => [reason, 0])) as Record<SilenceReason, number>
  return { ...counts, unsaved: 0, sendErrors: 0, silent }
}

import dgram, { type RemoteInfo } from 'node:dgram'
import { EventEmitter } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import { Server, type AddressInfo, type ListenOptions } from 'node:net'

const LIMITED_BROADCAST = '255.255.255.255'
const WILDCARD = '0.0.0.0'
const FIRST_EPHEMERAL = 49_152

type Listen = (this: Server, ...args: unknown[]) => Server

/** A dotted address and a port. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** One UDP datagram; `segment` is the wire that it is on. */
export interface Datagram {
  readonly from: Endpoint
  readonly to: Endpoint
  readonly bytes: Buffer
  readonly segment: string
}

/** An interface of the pretended host. */
export interface Interface {
  readonly segment: string
  readonly address: string
}

/**
 * A host with interfaces and segments that this process pretends to be, so that DHCP runs on ports 67, 68 and 4011
 * with real addresses, without root and without a packet on a real wire. UDP sockets made after `install` are in it;
 * a TCP listener on one of its addresses gets a free port of loopback.
 */
export class PretendNetwork {
  readonly #interfaces: readonly Interface[]
  readonly #inherited: ReadonlyMap<number, Interface & { readonly port: number }>
  readonly #sockets = new Set<PretendSocket>()
  readonly #tcpPorts = new Map<string, number>()
  #queue: Datagram[] = []
  #isDraining = false
  #nextPort = FIRST_EPHEMERAL
  /** Called for every datagram that the host sends. */
  onSent: (datagram: Datagram) => void = () => undefined

  /** @param inherited descriptors as the service manager hands them over: bound to one interface and a port */
  constructor(
    interfaces: readonly Interface[],
    inherited: ReadonlyMap<number, Interface & { readonly port: number }> = new Map(),
  ) {
    this.#interfaces = interfaces
    this.#inherited = inherited
  }

  /** Takes the place of the kernel's sockets. @returns how to give it back */
  install(): () => void {
    const { createSocket } = dgram
    const { listen } = Server.prototype as { listen: Listen } // one of its overloads
    const make = (): PretendSocket => new PretendSocket(this)
    const listenHere = (server: Server, args: unknown[]): Server => this.#listen(server, args, listen)
    Object.assign(dgram, { createSocket: make })
    const pretended = function (this: Server, ...args: unknown[]): Server {
      return listenHere(this, args)
    }
    Object.assign(Server.prototype, { listen: pretended })
    syncBuiltinESMExports()
    return () => {
      Object.assign(dgram, { createSocket })
      Object.assign(Server.prototype, { listen })
      syncBuiltinESMExports()
    }
  }

  /** The port of 127.0.0.1 that stands for `address:port`, once somebody listens there. */
  tcpPort(address: string, port: number): number | undefined {
    return this.#tcpPorts.get(`${address}:${String(port)}`)
  }

  /** Puts a datagram on a wire, from outside. */
  inject(datagram: Datagram): void {
    this.#queue.push(datagram)
    if (this.#isDraining) return
    this.#isDraining = true
    setImmediate(() => this.#drain())
  }

  /** Whether any socket would take a datagram to that port. */
  isListening(port: number): boolean {
    return [...this.#sockets].some((socket) => socket.local?.port === port)
  }

  open(socket: PretendSocket, at: Endpoint | { readonly fd: number }): Endpoint & { device?: Interface } {
    this.#sockets.add(socket)
    if ('fd' in at) {
      const device = this.#inherited.get(at.fd)
      if (device === undefined) throw Object.assign(new Error('bind EBADF'), { code: 'EBADF' })
      return { address: WILDCARD, port: device.port, device }
    }
    const isOurs =
      [WILDCARD, LIMITED_BROADCAST].includes(at.address) || this.#interfaceOf(at.address) !== undefined
    if (!isOurs) throw Object.assign(new Error(`bind EADDRNOTAVAIL ${at.address}`), { code: 'EADDRNOTAVAIL' })
    return { address: at.address, port: at.port === 0 ? this.#nextPort++ : at.port }
  }

  close(socket: PretendSocket): void {
    this.#sockets.delete(socket)
  }

  /** What the host sends: to the tap, and to its own sockets when it is for them. */
  send(socket: PretendSocket, bytes: Buffer, to: Endpoint): void {
    const { local } = socket
    if (local === undefined) throw new Error('sent before it was bound')
    const device = local.device ?? this.#interfaceOf(local.address) ?? this.#interfaces[0]
    if (device === undefined) throw new Error('no interface')
    const { segment } = device
    const datagram = { from: { address: device.address, port: local.port }, to, bytes, segment }
    this.onSent(datagram)
    if (this.#interfaceOf(to.address) !== undefined) this.inject(datagram)
  }

  #interfaceOf(address: string): Interface | undefined {
    return this.#interfaces.find((one) => one.address === address)
  }

  #drain(): void {
    const queue = this.#queue
    this.#queue = []
    this.#isDraining = false
    for (const datagram of queue) this.#receiver(datagram)?.deliver(datagram)
  }

  /** A connected socket goes before a bound one, a bound address before the wildcard: as in Linux. */
  #receiver(datagram: Datagram): PretendSocket | undefined {
    const takers = [...this.#sockets].filter((socket) => socket.takes(datagram))
    return takers.sort((a, b) => b.rank - a.rank)[0]
  }

  #listen(server: Server, args: unknown[], listen: Listen): Server {
    const [options] = args
    const { host, port } = (typeof options === 'object' ? (options ?? {}) : {}) as ListenOptions
    const isOurs = host !== undefined && this.#interfaceOf(host) !== undefined
    if (!isOurs) return listen.apply(server, args)
    server.once('listening', () => {
      this.#tcpPorts.set(`${host}:${String(port ?? 0)}`, (server.address() as AddressInfo).port)
    })
    return listen.call(server, { host: '127.0.0.1', port: 0 }, ...args.slice(1))
  }
}

/** As much of dgram.Socket as servers use. */
class PretendSocket extends EventEmitter {
  readonly #network: PretendNetwork
  #peer: Endpoint | undefined
  local: (Endpoint & { readonly device?: Interface }) | undefined

  constructor(network: PretendNetwork) {
    super()
    this.#network = network
  }

  get rank(): number {
    return (this.#peer === undefined ? 0 : 2) + (this.local?.address === WILDCARD ? 0 : 1)
  }

  bind(...args: unknown[]): this {
    const callback = args.find((arg) => typeof arg === 'function') as (() => void) | undefined
    if (callback !== undefined) this.once('listening', callback)
    const [first, second] = args
    const at = (typeof first === 'object' ? first : { port: first, address: second }) as Partial<
      Endpoint & { fd: number }
    >
    setImmediate(() => this.#open(at))
    return this
  }

  connect(port: number, address: string, callback?: () => void): void {
    this.#peer = { address, port }
    setImmediate(() => {
      this.emit('connect')
      callback?.()
    })
  }

  /** `send(message, [offset, length,] [port, address,] [callback])`; copies, for the sender may use its bytes again. */
  send(message: Uint8Array | readonly Uint8Array[], ...args: unknown[]): void {
    const whole = Buffer.concat(message instanceof Uint8Array ? [message] : message)
    const numbers = args.filter((arg) => typeof arg === 'number')
    const address = args.find((arg) => typeof arg === 'string')
    const to = address === undefined ? this.#peer : { address, port: numbers.at(-1) ?? 0 }
    if (to === undefined) throw new Error('sent to nobody')
    const [offset = 0, length = whole.length] = numbers.length > 1 ? numbers : []
    this.#network.send(this, whole.subarray(offset, offset + length), to)
    const done = args.at(-1)
    if (typeof done === 'function') setImmediate(() => (done as (err: null) => void)(null))
  }

  /** Whether the kernel would give it `datagram`. */
  takes({ from, to, segment }: Datagram): boolean {
    const { local } = this
    if (local?.port !== to.port) return false
    if (local.device !== undefined && local.device.segment !== segment) return false
    if (this.#peer !== undefined && !isSame(this.#peer, from)) return false
    return local.address === WILDCARD || local.address === to.address
  }

  deliver({ from, bytes }: Datagram): void {
    const remote: RemoteInfo = { ...from, family: 'IPv4', size: bytes.length }
    this.emit('message', bytes, remote)
  }

  address(): AddressInfo {
    const { address = WILDCARD, port = 0 } = this.local ?? {}
    return { address, port, family: 'IPv4' }
  }

  close(callback?: () => void): this {
    this.#network.close(this)
    if (callback !== undefined) this.once('close', callback)
    setImmediate(() => this.emit('close'))
    return this
  }

  setBroadcast(): void {
    // every segment takes broadcasts
  }

  setRecvBufferSize(): void {
    // the queue has no end
  }

  getRecvBufferSize(): number {
    return 1 << 20
  }

  getSendQueueCount(): number {
    return 0
  }

  getSendQueueSize(): number {
    return 0
  }

  setSendBufferSize(): void {
    // the queue has no end
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  #open({ fd, address = WILDCARD, port = 0 }: Partial<Endpoint & { fd: number }>): void {
    try {
      this.local = this.#network.open(this, fd === undefined ? { address, port } : { fd })
    } catch (err) {
      this.emit('error', err)
      return
    }
    this.emit('listening')
  }
}

function isSame(a: Endpoint, b: Endpoint): boolean {
  return a.address === b.address && a.port === b.port
}

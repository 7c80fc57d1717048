import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { decodePacket, MESSAGE } from '../../src/netboot/dhcp/codec.js'
import { formatIpv4 } from '../../src/wire/ipv4.js'
import { dhcpDatagram, ip4 } from '../fakes/dhcp-request.js'

const SERVER = '127.0.0.1'
const RELAY = '127.0.0.2'
/** A client that hears nothing asks again. */
const RETRY_MS = 300

interface Exchange {
  readonly mac: string
  readonly datagram: Buffer
}

/** Clients behind one relay, 32 at a time, that hold the server to what it acknowledged. */
export class LeaseClients {
  /** What was acknowledged, and not given back since. */
  readonly ipOfMac = new Map<string, string>()
  /** An address that two clients had at once, if there was one. */
  readonly givenTwice: string[] = []
  acks = 0
  readonly #macOfIp = new Map<string, string>()
  readonly #exchanges = new Map<number, Exchange>()
  readonly #socket: Socket
  readonly #port: number
  readonly #retry: NodeJS.Timeout
  #onAck: () => void = () => undefined
  #lastXid = 0
  #lastMac = 0

  private constructor(socket: Socket, port: number) {
    this.#socket = socket
    this.#port = port
    socket.on('message', (datagram) => {
      this.#receive(datagram)
    })
    this.#retry = setInterval(() => {
      for (const { datagram } of this.#exchanges.values()) this.#send(datagram)
    }, RETRY_MS)
  }

  /** Opens the relay's socket on a port that the server then has to have too. */
  static async open(): Promise<{ clients: LeaseClients; port: number }> {
    const socket = createSocket('udp4').bind(0, RELAY)
    await once(socket, 'listening')
    socket.setRecvBufferSize(1 << 20)
    const { port } = socket.address()
    return { clients: new LeaseClients(socket, port), port }
  }

  close(): void {
    clearInterval(this.#retry)
    this.#socket.close()
  }

  /** Keeps 32 exchanges going until the server has acknowledged `count` more. */
  async run(count: number): Promise<void> {
    const end = this.acks + count
    while (this.#exchanges.size < 32) this.#begin()
    await new Promise<void>((resolve) => {
      this.#onAck = (): void => {
        if (this.acks < end) this.#begin()
        else resolve()
      }
    })
    this.#onAck = () => undefined
  }

  /** The server died: what was going on begins anew, with other clients. */
  forget(): void {
    this.#exchanges.clear()
  }

  // Of seven exchanges one is a client that comes back, and one gives its address back and asks for another.
  #begin(): void {
    const kind = ++this.#lastXid % 7
    const known = this.#someKnown()
    if (kind === 0 && known !== undefined) {
      this.#ask(known.mac, MESSAGE.REQUEST, { requestedIp: ip4(known.ip) })
      return
    }
    if (kind === 1 && known !== undefined) this.#release(known)
    const mac = (++this.#lastMac).toString(16).padStart(8, '0').replace(/../g, ':$&')
    this.#ask(`02:01${mac}`, MESSAGE.DISCOVER, {})
  }

  #someKnown(): { mac: string; ip: string } | undefined {
    for (const [mac, ip] of this.ipOfMac) {
      if ([...this.#exchanges.values()].some((exchange) => exchange.mac === mac)) continue
      this.ipOfMac.delete(mac)
      this.ipOfMac.set(mac, ip) // another one next time
      return { mac, ip }
    }
    return undefined
  }

  #release({ mac, ip }: { mac: string; ip: string }): void {
    this.ipOfMac.delete(mac)
    this.#macOfIp.delete(ip)
    this.#send(dhcpDatagram(MESSAGE.RELEASE, { serverId: ip4(SERVER) }, { mac, ciaddr: ip4(ip) }))
  }

  #ask(mac: string, type: number, options: { requestedIp?: number; serverId?: number }): void {
    const xid = ++this.#lastXid
    const datagram = dhcpDatagram(type, options, { mac, xid, giaddr: ip4(RELAY) })
    this.#exchanges.set(xid, { mac, datagram })
    this.#send(datagram)
  }

  #send(datagram: Buffer): void {
    this.#socket.send(datagram, this.#port, SERVER)
  }

  #receive(datagram: Buffer): void {
    const { xid, yiaddr, options } = decodePacket(datagram)
    const exchange = this.#exchanges.get(xid)
    if (exchange === undefined) return // a second answer to a repeated question
    this.#exchanges.delete(xid)
    if (options.messageType === MESSAGE.OFFER) {
      this.#ask(exchange.mac, MESSAGE.REQUEST, { requestedIp: yiaddr, serverId: ip4(SERVER) })
      return
    }
    if (options.messageType === MESSAGE.ACK) this.#acknowledged(exchange.mac, formatIpv4(yiaddr))
    else this.#ask(exchange.mac, MESSAGE.DISCOVER, {})
  }

  #acknowledged(mac: string, ip: string): void {
    const owner = this.#macOfIp.get(ip)
    if (owner !== undefined && owner !== mac) this.givenTwice.push(`${ip}: ${owner} and ${mac}`)
    this.#macOfIp.set(ip, mac)
    this.ipOfMac.set(mac, ip)
    this.acks++
    this.#onAck()
  }
}

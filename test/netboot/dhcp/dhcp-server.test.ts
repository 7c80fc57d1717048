import { createSocket } from 'node:dgram'
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { pino } from 'pino'
import t from 'tap'
import type { Test } from 'tap'
import type { Clock } from '../../../src/clock.js'
import { systemClock } from '../../../src/clock.js'
import type { DaemonEvent } from '../../../src/events.js'
import type { LeaseRecord } from '../../../src/registry/records.js'
import type { DecideBoot } from '../../../src/netboot/boot-client.js'
import { decodePacket, MESSAGE } from '../../../src/netboot/dhcp/codec.js'
import type { DhcpPacket } from '../../../src/netboot/dhcp/codec.js'
import type { DhcpSubnetOptions } from '../../../src/netboot/dhcp/dhcp-options.js'
import { DhcpServer } from '../../../src/netboot/dhcp/dhcp-server.js'
import type { DhcpServerDeps, DhcpServerOptions } from '../../../src/netboot/dhcp/dhcp-server.js'
import { DhcpSubnets, ServedSubnet } from '../../../src/netboot/dhcp/dhcp-subnets.js'
import { encapsulate } from '../../../src/netboot/dhcp/options.js'
import type { DhcpSubnetsDeps } from '../../../src/netboot/dhcp/dhcp-subnets.js'
import type { LeaseStore } from '../../../src/netboot/dhcp/lease-store.js'
import { dhcpDatagram, ip4 } from '../../fakes/dhcp-request.js'
import { readPcap } from '../../fakes/pcap.js'

const FIXTURES = new URL('../../../fixtures/dhcp/', import.meta.url)
const MACHINE_MAC = '52:54:00:00:00:01'
const STRANGER_MAC = '52:54:00:00:00:99'
const SERVER = ip4('127.0.0.1')
const CLIENT = '127.0.0.2' // where replies to relays and to clients with an address come

/** Leases in memory, saved when a turn of the event loop has passed. */
class MemoryLeases implements LeaseStore {
  readonly byIp = new Map<string, LeaseRecord>()
  isBroken = false

  all(): LeaseRecord[] {
    return [...this.byIp.values()]
  }

  find(ip: string): LeaseRecord | undefined {
    return this.byIp.get(ip)
  }

  save(lease: LeaseRecord, done: (cause?: Error) => void): void {
    setImmediate(() => {
      if (!this.isBroken) this.byIp.set(lease.ip, lease)
      done(this.isBroken ? new Error('disk full') : undefined)
    })
  }

  remove(ip: string): void {
    this.byIp.delete(ip)
  }
}

interface Bench {
  readonly server: DhcpServer
  readonly leases: MemoryLeases
  readonly events: DaemonEvent[]
  readonly send: (datagram: Uint8Array) => void
  /** The next reply to arrive. */
  readonly receive: () => Promise<DhcpPacket>
}

const SOCKETS: DhcpServerOptions = {
  ...{ address: '127.0.0.1', port: 0, pxePort: 0, maxPerSecondPerSource: 1000 },
}
const SUBNET: DhcpSubnetOptions = {
  ...{ address: '127.0.0.1', cidr: '127.0.0.0/8', router: '127.0.0.254', mode: 'authoritative' },
  ...{ dns: ['127.0.0.53'], pool: { first: '127.0.0.100', last: '127.0.0.103' }, leaseSeconds: 3600 },
}

/** What a test wants otherwise. */
interface Choices {
  readonly sockets?: Partial<DhcpServerOptions>
  readonly subnet?: Partial<DhcpSubnetOptions>
  readonly served?: Partial<DhcpSubnetsDeps>
  readonly deps?: Partial<DhcpServerDeps>
  readonly bootAnswer?: DecideBoot
}

async function openClient(t: Test, port: number): Promise<Socket> {
  const socket = createSocket({ type: 'udp4' })
  socket.bind(port, CLIENT)
  await once(socket, 'listening')
  t.teardown(() => void socket.close())
  return socket
}

/** A started server and a client that speaks as a relay at 127.0.0.2, so that replies are unicast. */
async function bench(t: Test, choices: Choices = {}): Promise<Bench> {
  const leases = new MemoryLeases()
  const events: DaemonEvent[] = []
  const boot: DecideBoot = choices.bootAnswer ?? (() => ({ bootFile: 'undionly.kpxe', reason: 'BIOS' }))
  const served = { leases, unknownMachines: 'address' as const, ...choices.served }
  const own = new ServedSubnet({ ...SUBNET, ...choices.subnet }, boot, served)
  const server = new DhcpServer(
    { ...SOCKETS, ...choices.sockets },
    {
      subnets: new DhcpSubnets([own]),
      own,
      findMachine: (mac) =>
        mac === MACHINE_MAC
          ? { machineId: '1', name: 'node1', ip: '127.0.0.50', hostName: 'web1' }
          : undefined,
      leases,
      clock: systemClock,
      emit: (event) => events.push(event),
      log: pino({ level: 'silent' }),
      ...choices.deps,
    },
  )
  await server.start((cause) => t.fail(cause.message))
  t.teardown(() => server.stop())
  const port = server.port ?? 0
  const socket = await openClient(t, port)
  const arrived: DhcpPacket[] = []
  socket.on('message', (datagram) => arrived.push(decodePacket(datagram)))
  const receive = async (): Promise<DhcpPacket> => {
    while (arrived.length === 0) await once(socket, 'message')
    const [first = decodePacket(discover('')), ...rest] = arrived.splice(0)
    arrived.push(...rest)
    return first
  }
  const send = (datagram: Uint8Array): void => {
    socket.send(datagram, port, '127.0.0.1')
  }
  return { server, leases, events, receive, send }
}

const RELAYED = { giaddr: ip4(CLIENT) }

function discover(mac: string, xid = 1): Buffer {
  return dhcpDatagram(MESSAGE.DISCOVER, {}, { ...RELAYED, mac, xid })
}

function request(mac: string, requestedIp: number, xid = 1): Buffer {
  return dhcpDatagram(MESSAGE.REQUEST, { serverId: SERVER, requestedIp }, { ...RELAYED, mac, xid })
}

void t.test('a machine gets its fixed address, its lease is saved, and the boot step is told', async (t) => {
  const { send, receive, leases, events, server } = await bench(t)
  send(discover(MACHINE_MAC))
  const offer = await receive()
  t.match(offer, { yiaddr: ip4('127.0.0.50'), file: 'undionly.kpxe', options: { hostName: 'web1' } })
  send(request(MACHINE_MAC, offer.yiaddr))
  t.equal((await receive()).options.messageType, MESSAGE.ACK)
  t.match(leases.all(), [{ ip: '127.0.0.50', mac: MACHINE_MAC }])
  t.match(events, [
    { stage: 'dhcp', mac: MACHINE_MAC, ip: '127.0.0.50', message: /node1.*undionly\.kpxe.*BIOS/ },
  ])
  t.match(server.counters, { received: 2, offers: 1, acks: 1 })
})

void t.test('duplicate DISCOVERs get the same address, others another', async (t) => {
  const { send, receive } = await bench(t)
  send(discover(STRANGER_MAC, 1))
  send(discover(STRANGER_MAC, 1))
  send(discover('52:54:00:00:00:98', 2))
  const addresses = [await receive(), await receive(), await receive()].map(({ yiaddr }) => yiaddr)
  t.equal(addresses[0], addresses[1])
  t.not(addresses[0], addresses[2])
})

void t.test('no ACK is sent before its lease is saved', async (t) => {
  const { send, receive, leases } = await bench(t)
  const macs = ['a1', 'a2', 'a3'].map((tail) => `52:54:00:00:00:${tail}`)
  for (const [i, mac] of macs.entries()) send(request(mac, ip4('127.0.0.100') + i))
  for (const [i] of macs.entries()) {
    const { options } = await receive()
    t.equal(options.messageType, MESSAGE.ACK)
    t.ok(leases.byIp.size > i)
  }
})

void t.test('a lease that cannot be saved is not acknowledged', async (t) => {
  const { send, receive, leases, server } = await bench(t)
  leases.isBroken = true
  send(request(STRANGER_MAC, ip4('127.0.0.100')))
  send(dhcpDatagram(MESSAGE.INFORM, {}, { ciaddr: ip4('127.0.0.9'), mac: STRANGER_MAC }))
  send(discover(MACHINE_MAC))
  t.equal((await receive()).options.messageType, MESSAGE.OFFER)
  t.match(server.counters, { unsaved: 1, acks: 1 }, 'the one ACK is the INFORM’s')
  leases.isBroken = false
  send(request(STRANGER_MAC, ip4('127.0.0.100')))
  t.equal((await receive()).options.messageType, MESSAGE.ACK)
})

void t.test('a full pool is silent and tells it once', async (t) => {
  const { send, receive, server, events } = await bench(t, {
    subnet: { pool: { first: '127.0.0.100', last: '127.0.0.100' } },
  })
  send(discover('52:54:00:00:00:a1'))
  await receive()
  send(discover('52:54:00:00:00:a2'))
  send(discover('52:54:00:00:00:a3'))
  send(discover(MACHINE_MAC, 7))
  t.equal((await receive()).xid, 7)
  t.equal(server.counters.silent['pool-full'], 2)
  t.equal(events.filter(({ kind }) => kind === 'dhcp.pool-full').length, 1)
})

void t.test('an unknown machine is told once in ten minutes and not answered', async (t) => {
  let nowMs = 0
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs }
  const { send, receive, server, events } = await bench(t, {
    served: { unknownMachines: 'ignore' },
    deps: { clock },
  })
  const askTwice = async (xid: number): Promise<void> => {
    send(discover(STRANGER_MAC))
    send(discover(STRANGER_MAC))
    send(discover(MACHINE_MAC, xid))
    t.equal((await receive()).xid, xid)
  }
  await askTwice(10)
  t.match(events, [{ kind: 'dhcp.unknown-machine', mac: STRANGER_MAC }])
  nowMs += 600_000
  await askTwice(11)
  t.equal(events.length, 2)
  t.equal(server.counters.silent['unknown-machine'], 4)
})

void t.test('RELEASE frees the lease, DECLINE sets the address aside', async (t) => {
  const { send, receive, leases, server } = await bench(t)
  const first = ip4('127.0.0.100')
  send(request(STRANGER_MAC, first))
  await receive()
  send(dhcpDatagram(MESSAGE.RELEASE, {}, { ciaddr: first, mac: STRANGER_MAC }))
  send(discover(STRANGER_MAC))
  t.equal((await receive()).yiaddr, first + 1, 'the released address is used last')
  t.equal(leases.byIp.size, 0)
  send(dhcpDatagram(MESSAGE.DECLINE, { requestedIp: first + 1 }, { mac: STRANGER_MAC }))
  send(dhcpDatagram(MESSAGE.DISCOVER, { requestedIp: first + 1 }, { ...RELAYED, mac: STRANGER_MAC }))
  t.equal((await receive()).yiaddr, first + 2)
  t.match(server.counters.silent, { released: 1, declined: 1 })
})

void t.test('leases survive a restart of the server', async (t) => {
  const { send, receive, server } = await bench(t)
  send(request(STRANGER_MAC, ip4('127.0.0.102')))
  await receive()
  await server.stop()
  t.equal(server.port, undefined)
  await server.start((cause) => t.fail(cause.message))
  const client = await openClient(t, server.port ?? 0)
  client.send(discover(STRANGER_MAC), server.port ?? 0, '127.0.0.1')
  const [datagram] = (await once(client, 'message')) as [Buffer]
  t.equal(decodePacket(datagram).yiaddr, ip4('127.0.0.102'))
})

void t.test(
  'a client without an address is answered by broadcast, one that renews to its address',
  async (t) => {
    const client = createSocket('udp4')
    client.bind(0, '0.0.0.0')
    await once(client, 'listening')
    t.teardown(() => void client.close())
    const { server } = await bench(t, {
      sockets: { clientPort: client.address().port, broadcastAddress: '127.255.255.255' },
    })
    client.send(dhcpDatagram(MESSAGE.DISCOVER, {}, { mac: MACHINE_MAC }), server.port ?? 0, '127.0.0.1')
    const [offer] = (await once(client, 'message')) as [Buffer]
    t.equal(decodePacket(offer).yiaddr, ip4('127.0.0.50'))
    const renew = dhcpDatagram(MESSAGE.REQUEST, {}, { mac: MACHINE_MAC, ciaddr: ip4('127.0.0.50') })
    client.send(renew, server.port ?? 0, '127.0.0.1')
    const [ack] = (await once(client, 'message')) as [Buffer]
    t.equal(decodePacket(ack).options.messageType, MESSAGE.ACK)
  },
)

void t.test('one source may not use up the server', async (t) => {
  const { send, receive, server } = await bench(t, { sockets: { maxPerSecondPerSource: 5 } })
  for (let i = 0; i < 50; i++) send(discover(STRANGER_MAC))
  send(discover(MACHINE_MAC, 9))
  for (let reply = await receive(); reply.xid !== 9; reply = await receive());
  t.ok(server.counters.rateLimited >= 40, `${String(server.counters.rateLimited)} dropped`)
})

void t.test(
  'a flood of spoofed MACs leaves machines their address, and other events their place',
  async (t) => {
    const clock: Clock = { ...systemClock, monotonicMs: () => 0 } // one second that does not end
    const { send, receive, server, events } = await bench(t, { deps: { clock } })
    for (let sent = 0; sent < 17_000; sent += 100) {
      for (let i = sent; i < sent + 100; i++) {
        const tail = i.toString(16).padStart(4, '0')
        const mac = `06:00:00:00:${tail.slice(0, 2)}:${tail.slice(2)}`
        const giaddr = ip4('10.0.0.0') + i
        send(dhcpDatagram(MESSAGE.DISCOVER, {}, i % 2 === 0 ? { mac, giaddr } : { ...RELAYED, mac }))
      }
      send(discover(MACHINE_MAC, sent + 1_000_000))
      for (let reply = await receive(); reply.xid !== sent + 1_000_000; reply = await receive());
    }
    send(discover(MACHINE_MAC, 9))
    for (let reply = await receive(); reply.xid !== 9; reply = await receive()) t.not(reply.yiaddr, 0)
    t.ok(server.counters.rateLimited > 0, `${String(server.counters.rateLimited)} turned away`)
    t.equal(events.filter(({ kind }) => kind === 'dhcp.pool-full').length, 1)
  },
)

void t.test('a reply that cannot leave is told once, with where it was to go', async (t) => {
  const { send, receive, server, events } = await bench(t)
  const relayInfo = encapsulate([[5, [127, 0, 0, 0]]])
  // a socket of the loopback sends nowhere else
  const far = { giaddr: ip4('198.18.0.9'), mac: '52:54:00:00:00:a1' }
  for (const xid of [1, 2]) send(dhcpDatagram(MESSAGE.DISCOVER, { relayInfo }, { ...far, xid }))
  send(discover(MACHINE_MAC, 9))
  for (let reply = await receive(); reply.xid !== 9; reply = await receive());
  t.equal(server.counters.sendErrors, 2)
  t.match(
    events.filter(({ kind }) => kind === 'dhcp.unsent'),
    [{ ip: '198.18.0.9' }],
  )
})

void t.test(
  'port 4011 answers to where the question came from, and nobody outside our subnets',
  async (t) => {
    const { server } = await bench(t)
    const elsewhere = await bench(t, {
      subnet: { cidr: '198.18.0.0/24', address: '198.18.0.1', pool: undefined },
    })
    const client = createSocket('udp4')
    client.bind(0, CLIENT)
    await once(client, 'listening')
    t.teardown(() => void client.close())
    const pxe = { vendorClass: 'PXEClient:Arch:00000:UNDI:002001' }
    const ask = (xid: number): Buffer => dhcpDatagram(MESSAGE.REQUEST, pxe, { mac: MACHINE_MAC, xid })
    client.send(ask(1), elsewhere.server.pxePort ?? 0, '127.0.0.1')
    client.send(ask(2), server.pxePort ?? 0, '127.0.0.1')
    const [datagram] = (await once(client, 'message')) as [Buffer] // the loopback keeps the order
    t.match(decodePacket(datagram), { xid: 2, yiaddr: 0, file: 'undionly.kpxe', options: { messageType: 5 } })
    t.equal(server.counters.acks, 1)
    t.same(
      [elsewhere.server.counters.acks, elsewhere.server.counters.silent['inform-from-elsewhere']],
      [0, 1],
    )
  },
)

void t.test('our own mistake costs one request, not the service', async (t) => {
  let isBroken = true
  const bootAnswer = (): undefined => {
    if (isBroken) throw new TypeError('a bug')
  }
  const { send, receive, server } = await bench(t, { bootAnswer })
  send(discover(MACHINE_MAC))
  send(dhcpDatagram(MESSAGE.REQUEST, {}, { ...RELAYED, ciaddr: ip4('127.0.0.9'), mac: MACHINE_MAC }))
  await receive() // the NAK needs no boot answer
  isBroken = false
  send(discover(MACHINE_MAC, 8))
  t.equal((await receive()).xid, 8)
  t.equal(server.counters.failed, 1)
})

void t.test('20,000 mutated packets leave it serving', async (t) => {
  const { send, receive, server } = await bench(t, { sockets: { maxPerSecondPerSource: 1_000_000 } })
  const seeds = readdirSync(FIXTURES)
    .filter((name) => name.endsWith('.pcap'))
    .flatMap((name) => readPcap(new URL(name, FIXTURES)))
    .map(({ payload }) => payload)
  let state = 12345
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  for (let sent = 0; sent < 20_000; sent += 100) {
    for (let i = 0; i < 99; i++) send(mutated(seeds[random(seeds.length)] ?? new Uint8Array(), random))
    send(discover(MACHINE_MAC, sent + 1_000_000))
    for (let reply = await receive(); reply.xid !== sent + 1_000_000; reply = await receive());
  }
  const { received, failed, malformed } = server.counters
  t.equal(received, 20_000)
  t.equal(failed, 0)
  t.ok(malformed > 1000, `${String(malformed)} malformed`)
})

function mutated(seed: Uint8Array, random: (below: number) => number): Uint8Array {
  const bytes = Uint8Array.from(seed)
  for (let i = random(8); i >= 0; i--)
    bytes[random(2) === 0 ? random(bytes.length) : 240 + random(60)] = random(256)
  bytes[0] = random(10) === 0 ? random(256) : 1
  return random(5) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes
}

void t.test('a port in use fails the start with a sentence', async (t) => {
  const { server } = await bench(t)
  const deps = { ...({} as DhcpServerDeps), leases: new MemoryLeases(), clock: systemClock }
  const second = new DhcpServer({ ...SOCKETS, port: server.port ?? 0 }, deps)
  await t.rejects(
    second.start(() => undefined),
    { message: /cannot serve DHCP on 127\.0\.0\.1/ },
  )
})

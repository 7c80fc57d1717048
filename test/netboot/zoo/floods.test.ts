import { readdirSync, readFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { readPcap } from '../../fakes/pcap.js'
import type { Datagram } from '../../fakes/pretend-network.js'
import { mutated, randomFrom } from '../../fakes/mutations.js'
import { parseClient } from './client-file.js'
import { quad, readDhcp, writeDhcp } from './dhcp-bytes.js'
import { Stand } from './stand.js'

const PACKETS = process.env['INGOT_FULL'] === undefined ? 5_000 : 1_000_000
const BURST = 1000
const DISCOVER = 1
const REQUEST = 3

const recorded = readdirSync('fixtures/dhcp')
  .filter((file) => file.endsWith('.pcap'))
  .flatMap((file) => readPcap(`fixtures/dhcp/${file}`).map(({ payload }) => payload))
const reads = readdirSync('fixtures/tftp')
  .filter((file) => file.endsWith('.hex'))
  .map((file) => Buffer.from(readFileSync(`fixtures/tftp/${file}`, 'latin1').trim(), 'hex'))
const TFTP_REPLIES = [
  '0003000161626364',
  '00040001',
  '0005000178787800',
  '0006626c6b73697a650031343332000000',
]

/** A segment where strangers are given addresses, and a machine without a fixed one. */
function segment(subnet: string): string {
  return `name = "a flooded segment"
source = "modelled for this test"
config = { unknown_machines = "address", subnet = { ${subnet} } }
[machine]
nics = [{ mac = "52:54:00:bb:00:01" }]
[[step]]
wait_seconds = 1
`
}
const HUNDRED = 'pool_first = "198.18.0.100", pool_last = "198.18.0.199"'
const THOUSANDS = 'cidr = "198.18.0.0/20", pool_first = "198.18.1.0", pool_last = "198.18.8.255"'

async function open(t: Test, subnet = HUNDRED): Promise<{ stand: Stand; sent: Datagram[] }> {
  const stand = await Stand.open(parseClient(segment(subnet), 'flood.toml'))
  t.teardown(() => stand.close())
  const sent: Datagram[] = []
  stand.network.onSent = (datagram) => sent.push(datagram)
  return { stand, sent }
}

/** Sends `count` datagrams to a port, each a second of the daemon's time after the last, and lets each take effect. */
async function flood(
  stand: Stand,
  count: number,
  make: (index: number) => Pick<Datagram, 'from' | 'to' | 'bytes'>,
): Promise<void> {
  for (let index = 0; index < count; index++) {
    stand.inject(make(index))
    await turn()
  }
}

/** Whether a DHCP message says itself that it is an answer (RFC 2131 §2, table 3). */
function isAnswer(bytes: Buffer): boolean {
  if (bytes[0] !== 1) return true
  try {
    return ['OFFER', 'ACK', 'NAK'].includes(readDhcp(bytes).type)
  } catch {
    return false // not a message at all
  }
}

for (const port of [67, 4011]) {
  void t.test(
    `${String(PACKETS)} mutated packets at port ${String(port)}: no reply to a reply, and it serves on`,
    async (t) => {
      const { stand, sent } = await open(t)
      const random = randomFrom(port)
      const answers = new Set<number>()
      await flood(stand, PACKETS, (index) => {
        const bytes = mutated(recorded, random)
        if (bytes.length >= 8) bytes.writeUInt32BE(index, 4)
        if (bytes.length >= 8 && isAnswer(bytes)) answers.add(index)
        return { from: { address: '198.18.0.9', port: 68 }, to: { address: stand.address, port }, bytes }
      })
      t.ok(answers.size > PACKETS / 10, `${String(answers.size)} replies among them`)
      const answered = sent.filter(({ bytes }) => bytes[0] === 2 && answers.has(bytes.readUInt32BE(4)))
      t.equal(answered.length, 0, 'none of them was answered')
      t.ok(sent.length > PACKETS / 100, `${String(sent.length)} others were`)
      t.equal(stand.counted('failed'), 0, 'no mistake of ours')
      t.same(stand.errors, [])
      stand.advance(1000)
      t.ok((await known(stand, sent)).startsWith('198.18.0.'), 'a known machine is offered an address')
    },
  )
}

void t.test(
  `${String(PACKETS)} mutated packets at port 69: no reply to DATA, ACK, OACK or ERROR`,
  async (t) => {
    const { stand, sent } = await open(t)
    const random = randomFrom(69)
    const seeds = [...reads, ...TFTP_REPLIES.map((hex) => Buffer.from(hex, 'hex'))]
    const replies = new Set<string>()
    let answered = 0
    stand.network.onSent = ({ to }) => {
      if (replies.has(`${to.address}:${String(to.port)}`)) answered++
      sent.length++
    }
    await flood(stand, PACKETS, (index) => {
      const bytes = mutated(seeds, random)
      // nobody asks twice from one port: an answer may come late
      const from = {
        address: `198.18.0.${String(9 + Math.floor(index / 60_000))}`,
        port: 1024 + (index % 60_000),
      }
      const isRequest = bytes.length >= 2 && [1, 2].includes(bytes.readUInt16BE(0))
      if (!isRequest) replies.add(`${from.address}:${String(from.port)}`)
      return { from, to: { address: stand.address, port: 69 }, bytes }
    })
    t.equal(answered, 0)
    t.ok(sent.length > PACKETS / 100, `${String(sent.length)} answers to read and write requests`)
    t.same(stand.errors, [])
  },
)

function message(type: number, mac: number, options: readonly (readonly [number, Buffer])[] = []): Buffer {
  const chaddr = Buffer.alloc(6)
  chaddr.writeUIntBE(mac, 0, 6)
  return writeDhcp({ xid: mac % 2 ** 32, chaddr, options: [[53, Buffer.of(type)], ...options] })
}

function broadcast(bytes: Buffer): Pick<Datagram, 'from' | 'to' | 'bytes' | 'segment'> {
  const to = { address: '255.255.255.255', port: 67 }
  return { from: { address: '0.0.0.0', port: 68 }, to, bytes, segment: 'first' }
}

/** Sends a message and gives the address in the reply. */
async function address(stand: Stand, sent: Datagram[], bytes: Buffer): Promise<string> {
  const before = sent.length
  const isReply = (one: Datagram): boolean => one.bytes.readUInt32BE(4) === bytes.readUInt32BE(4)
  stand.network.inject(broadcast(bytes))
  await until(() => sent.slice(before).some(isReply))
  const reply = sent.slice(before).find(isReply)
  return reply === undefined ? '' : readDhcp(reply.bytes).yiaddr
}

/** Gives up after half a minute: then what follows fails. */
async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!isSo() && performance.now() < deadline) await turn()
}

const KNOWN = 0x525400bb0001

async function known(stand: Stand, sent: Datagram[]): Promise<string> {
  return address(stand, sent, message(DISCOVER, KNOWN))
}

void t.test(
  `${String(BURST)} machines without fixed addresses ask at once: each has one, none has another’s`,
  async (t) => {
    const { stand, sent } = await open(t, THOUSANDS)
    const macs = Array.from({ length: BURST }, (_, index) => 0x0c0000000000 + index)
    for (const mac of macs) stand.network.inject(broadcast(message(DISCOVER, mac)))
    await turn()
    for (const mac of macs) stand.network.inject(broadcast(message(DISCOVER, mac))) // nobody has heard us yet
    await turn()
    const offers = new Map(sent.map(({ bytes }) => [readDhcp(bytes).xid, readDhcp(bytes).yiaddr]))
    t.equal(sent.length, 2 * BURST, 'two offers each')
    t.equal(offers.size, BURST)
    t.equal(new Set(offers.values()).size, BURST, 'an address each, the second offer as the first')
    sent.length = 0
    for (const mac of macs) {
      const ip = offers.get(mac % 2 ** 32) ?? ''
      stand.network.inject(
        broadcast(
          message(REQUEST, mac, [
            [50, quad(ip)],
            [54, quad(stand.address)],
          ]),
        ),
      )
    }
    await until(() => sent.length >= BURST)
    const acks = new Map(sent.map(({ bytes }) => [readDhcp(bytes).xid, readDhcp(bytes).yiaddr]))
    t.same(acks, offers, 'everybody is given what was offered')
  },
)

const SPOOFED = 100_000
const BATCH = 100
const STRANGER = 0x020000000001

void t.test(
  `${String(SPOOFED)} spoofed MACs in a moment: known machines and those with a lease keep theirs`,
  async (t) => {
    const { stand, sent } = await open(t)
    const offered = await address(stand, sent, message(DISCOVER, STRANGER))
    const take: readonly (readonly [number, Buffer])[] = [
      [50, quad(offered)],
      [54, quad(stand.address)],
    ]
    t.equal(await address(stand, sent, message(REQUEST, STRANGER, take)), offered)
    let during = ''
    for (let index = 0; index < SPOOFED; index++) {
      stand.network.inject(broadcast(message(DISCOVER, 0x0a0000000000 + index)))
      if (index % BATCH === 0) await turn()
      if (index === SPOOFED / 2) during = await known(stand, sent)
    }
    t.match(during, /^198\.18\.0\.1\d\d$/, 'a known machine without a fixed address is offered one during it')
    t.ok(stand.counted('rateLimited') > SPOOFED / 2, 'most of it is not even looked at')
    t.equal(await known(stand, sent), during, 'and the same after it')
    t.ok(sent.length < 1000, `${String(sent.length)} answers: no more than the pool has addresses, and some`)
    stand.advance(1000)
    const mine: readonly (readonly [number, Buffer])[] = [
      [50, quad(during)],
      [54, quad(stand.address)],
    ]
    t.equal(await address(stand, sent, message(REQUEST, KNOWN, mine)), during, 'which it takes')
    const renewal = message(REQUEST, STRANGER, [[50, quad(offered)]])
    t.equal(await address(stand, sent, renewal), offered, 'a stranger with a lease still has it')
  },
)

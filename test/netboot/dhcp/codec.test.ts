import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import {
  decodePacket,
  decodeRequest,
  encodePacket,
  MESSAGE,
  replyBudget,
} from '../../../src/netboot/dhcp/codec.js'
import type { DhcpPacket } from '../../../src/netboot/dhcp/codec.js'
import { MalformedPacket } from '../../../src/wire/malformed-packet.js'
import { dhcpDatagram, dhcpRequest, ip4 } from '../../fakes/dhcp-request.js'
import { readPcap } from '../../fakes/pcap.js'

const FIXTURES = new URL('../../../fixtures/dhcp/', import.meta.url)
const GOLDEN = new URL('requests.json', FIXTURES)
const CAPTURES = readdirSync(FIXTURES).filter((name) => name.endsWith('.pcap'))
const HEADER_BYTES = 240

function requestsOf(capture: string): Uint8Array[] {
  return readPcap(new URL(capture, FIXTURES))
    .filter(({ toPort }) => toPort === 67 || toPort === 4011)
    .map(({ payload }) => payload)
    .filter((payload) => payload[0] === 1)
}

/** A bare header with `options` behind the cookie. */
function packetWith(
  options: readonly number[],
  file: readonly number[] = [],
  sname: readonly number[] = [],
): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + options.length)
  bytes.set([1, 1, 6])
  bytes.set([0x52, 0x54, 0, 0, 0, 1], 28)
  bytes.set(sname, 44)
  bytes.set(file, 108)
  bytes.set([0x63, 0x82, 0x53, 0x63, ...options], 236)
  return bytes
}

function decodesOrIsMalformed(bytes: Uint8Array): boolean {
  try {
    decodePacket(bytes)
    return true
  } catch (err) {
    if (err instanceof MalformedPacket) return true
    throw err
  }
}

function readable(packet: DhcpPacket): unknown {
  return JSON.parse(
    JSON.stringify(packet, (_key, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
    ),
  )
}

void t.test('every request of every recorded client decodes', (t) => {
  for (const capture of CAPTURES) {
    const requests = requestsOf(capture)
    t.ok(requests.length > 0, `${capture} has requests`)
    for (const request of requests) {
      const packet = decodeRequest(request)
      t.equal(packet.chaddr.length, 6)
      t.ok(packet.options.messageType, `${capture} message ${String(packet.options.messageType)}`)
    }
  }
  t.end()
})

void t.test('one request of each kind of client decodes to its golden value', (t) => {
  const captures = [
    'dnsmasq-bios-ipxe-rom',
    'dnsmasq-ovmf-pxe',
    'dnsmasq-ovmf-http',
    'dnsmasq-dhclient',
    'npm-dhcp-client',
  ]
  const got = Object.fromEntries(
    captures.map((name) => {
      const [first = new Uint8Array()] = requestsOf(`${name}.pcap`)
      return [name, readable(decodeRequest(first))]
    }),
  )
  if (process.env['UPDATE_FIXTURES'] === '1') {
    writeFileSync(GOLDEN, `${JSON.stringify(got, null, 2)}\n`)
    t.fail('goldens were rewritten')
  }
  t.same(got, JSON.parse(readFileSync(GOLDEN, 'utf8')))
  t.end()
})

void t.test('encoding what was decoded from a recorded packet decodes to the same again', (t) => {
  for (const capture of CAPTURES) {
    for (const { payload } of readPcap(new URL(capture, FIXTURES))) {
      const packet = decodePacket(payload)
      t.same(decodePacket(encodePacket(packet, 1472)), packet)
    }
  }
  t.end()
})

void t.test('pad options move nothing (RFC 2132 §3.1)', (t) => {
  const { options } = decodeRequest(packetWith([0, 53, 1, 1, 0, 0, 60, 3, 65, 66, 67, 0, 255, 60, 1, 68]))
  t.same(options, { messageType: 1, vendorClass: 'ABC' })
  t.end()
})

void t.test('a value with NUL bytes stays whole', (t) => {
  const { options } = decodeRequest(packetWith([61, 7, 1, 0x52, 0x54, 0, 1, 2, 3, 255]))
  t.same(options.clientId, Uint8Array.of(1, 0x52, 0x54, 0, 1, 2, 3))
  t.end()
})

void t.test('an option in pieces is one value (RFC 3396 §7)', (t) => {
  t.equal(
    decodeRequest(packetWith([60, 2, 65, 66, 53, 1, 1, 60, 2, 67, 68, 255])).options.vendorClass,
    'ABCD',
  )
  t.end()
})

void t.test('overloaded fields are read as options, file before sname (RFC 2132 §9.3)', (t) => {
  const bytes = packetWith([52, 1, 3, 60, 1, 65, 255], [60, 1, 66, 255], [60, 1, 67, 255])
  const packet = decodeRequest(bytes)
  t.equal(packet.options.vendorClass, 'ABC')
  t.equal(packet.file, '')
  t.equal(packet.sname, '')
  t.equal(decodeRequest(packetWith([52, 1, 1, 255], [60, 1, 66, 255], [83])).sname, 'S')
  t.end()
})

void t.test(
  'an empty vendor area has no options (RFC 951), and InfiniBand no hardware address (RFC 4390)',
  (t) => {
    t.same(decodeRequest(Buffer.from(packetWith([53, 1, 1])).fill(0, 236)).options, {})
    const infiniband = Buffer.from(packetWith([255]))
      .fill(32, 1, 2)
      .fill(20, 2, 3)
    t.same(decodeRequest(infiniband).chaddr, new Uint8Array(0))
    t.end()
  },
)

void t.test('a missing END is forgiven', (t) => {
  t.equal(decodeRequest(packetWith([53, 1, 1])).options.messageType, 1)
  t.end()
})

void t.test('what breaks the format is malformed', (t) => {
  const cases: [string, Buffer][] = [
    ['too short', packetWith([255]).subarray(0, 240)],
    ['hlen 17', Buffer.from(packetWith([255])).fill(17, 2, 3)],
    ['a foreign cookie', Buffer.from(packetWith([255])).fill(9, 236, 240)],
    ['a reply', Buffer.from(packetWith([255])).fill(2, 0, 1)],
    ['a value past the end', packetWith([60, 200, 65, 66])],
    ['a code without length', packetWith([60])],
    ['53 of two bytes', packetWith([53, 2, 1, 1, 255])],
    ['57 of no bytes', packetWith([57, 0, 255])],
    ['50 of eight bytes', packetWith([50, 8, 1, 2, 3, 4, 5, 6, 7, 8, 255])],
    ['a route of 33 bits', packetWith([121, 1, 33, 255])],
    ['a domain pointing at itself', packetWith([119, 2, 192, 0, 255])],
  ]
  for (const [name, bytes] of cases) t.throws(() => decodeRequest(bytes), MalformedPacket, name)
  t.end()
})

void t.test('a compressed domain list decodes (RFC 3397 §2)', (t) => {
  // eng.apple.com, marketing.(apple.com at byte 4)
  const labels = [3, ...Buffer.from('eng'), 5, ...Buffer.from('apple'), 3, ...Buffer.from('com'), 0]
  const value = [...labels, 9, ...Buffer.from('marketing'), 192, 4]
  const { options } = decodeRequest(packetWith([119, value.length, ...value, 255]))
  t.same(options.domainSearch, ['eng.apple.com', 'marketing.apple.com'])
  t.end()
})

void t.test('a reply starts with 53, 54 and 51, ends with 82, and has 300 bytes', (t) => {
  const packet = dhcpRequest(MESSAGE.ACK, {
    relayInfo: Uint8Array.of(1, 2, 3, 4),
    leaseSeconds: 60,
    serverId: 1,
    router: [2],
  })
  const bytes = encodePacket(packet, 548)
  t.equal(bytes.length, 300)
  const head = [53, 1, 5, 54, 4, 0, 0, 0, 1, 51, 4, 0, 0, 0, 60]
  t.same(
    [...bytes.subarray(240, 276)],
    [...head, 3, 4, 0, 0, 0, 2, 82, 4, 1, 2, 3, 4, 255, ...new Array<number>(8).fill(0)],
  )
  t.end()
})

void t.test('a long value is split and joined again (RFC 3396 §5)', (t) => {
  const bootFile = 'x'.repeat(600)
  const packet = dhcpRequest(MESSAGE.ACK, { bootFile })
  t.equal(decodePacket(encodePacket(packet, 1472)).options.bootFile, bootFile)
  t.end()
})

void t.test('what does not fit the budget is left out, option 82 never', (t) => {
  const relayInfo = new Uint8Array(255).fill(7)
  const packet = dhcpRequest(MESSAGE.ACK, {
    bootFile: 'x'.repeat(255),
    relayInfo,
    serverId: 9,
    subnetMask: 5,
  })
  const bytes = encodePacket(packet, replyBudget(undefined))
  t.ok(bytes.length <= 548)
  t.same(decodePacket(bytes).options, { messageType: MESSAGE.ACK, serverId: 9, subnetMask: 5, relayInfo })
  t.end()
})

void t.test('the budget follows option 57 between 576 and an Ethernet frame', (t) => {
  t.same([undefined, 0, 576, 1472, 1500, 65280].map(replyBudget), [548, 548, 548, 1444, 1472, 1472])
  t.end()
})

void t.test('routes and domains survive encoding (RFC 3442, RFC 3397)', (t) => {
  const options = {
    classlessRoutes: [
      { destination: ip4('10.17.0.0'), prefixLength: 16, router: ip4('198.18.0.1') },
      { destination: 0, prefixLength: 0, router: ip4('198.18.0.2') },
    ],
    domainSearch: ['rack.example', 'example'],
  }
  t.match(decodePacket(encodePacket(dhcpRequest(MESSAGE.ACK, options), 548)).options, options)
  t.end()
})

void t.test('any bytes give a packet or MalformedPacket', (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), decodesOrIsMalformed))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (options) =>
      decodesOrIsMalformed(packetWith([...options])),
    ),
    { numRuns: 1000 },
  )
  t.end()
})

void t.test('mutated recordings and their prefixes give a packet or MalformedPacket', (t) => {
  const seeds = CAPTURES.flatMap(requestsOf)
  const mutation = fc.tuple(fc.nat({ max: 599 }), fc.nat({ max: 255 }))
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(mutation, { maxLength: 8 }),
      fc.nat({ max: 600 }),
      (seed, changes, end) => {
        const bytes = Uint8Array.from(seed)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        return decodesOrIsMalformed(bytes) && decodesOrIsMalformed(bytes.subarray(0, end))
      },
    ),
    { numRuns: 2000 },
  )
  t.end()
})

void t.test('decode undoes encode', (t) => {
  const u32 = fc.nat({ max: 0xffffffff })
  const word = fc.stringMatching(/^[a-z0-9/:.]{0,40}$/)
  const packets = fc
    .record({
      serverId: u32,
      leaseSeconds: u32,
      router: fc.array(u32, { minLength: 1, maxLength: 3 }),
      vendorClass: word,
      bootFile: word,
      ntpServers: fc.array(u32, { minLength: 1, maxLength: 3 }),
      mtu: fc.nat({ max: 0xffff }),
      clientId: fc.uint8Array({ maxLength: 40 }),
      relayInfo: fc.uint8Array({ maxLength: 255 }),
      clientArch: fc.array(fc.nat({ max: 0xffff }), { minLength: 1, maxLength: 3 }),
    })
    .chain((options) =>
      fc
        .record({
          xid: u32,
          giaddr: u32,
          yiaddr: u32,
          flags: fc.nat({ max: 0xffff }),
          file: word,
          sname: word,
        })
        .map((header) => dhcpRequest(MESSAGE.OFFER, options, header)),
    )
  fc.assert(
    fc.property(packets, (packet) => t.strictSame(decodePacket(encodePacket(packet, 1472)), packet)),
    { numRuns: 200 },
  )
  t.end()
})

void t.test('a hostile 64 KiB datagram of empty options is decoded quickly', (t) => {
  const options = new Array<number>(65_000).fill(0).map((_, i) => (i % 2 === 0 ? 60 : 0))
  t.equal(decodeRequest(packetWith(options)).options.vendorClass, '')
  t.ok(dhcpDatagram(MESSAGE.DISCOVER).length === 300)
  t.end()
})

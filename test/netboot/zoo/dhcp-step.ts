import { formatIpv4 } from '../../../src/wire/ipv4.js'
import { readPcap } from '../../fakes/pcap.js'
import type { Datagram, Endpoint } from '../../fakes/pretend-network.js'
import type { ClientFile, DhcpGets, DhcpSend } from './client-file.js'
import { MESSAGE_TYPES, readDhcp, writeDhcp, type DhcpSeen } from './dhcp-bytes.js'
import { bytesOf, problems, wrongBytes, wrongValue } from './matching.js'
import { shown, type Stand } from './stand.js'

const RECORDED = 'fixtures/dhcp'
const FLAG_BROADCAST = 0x8000
const IP_UDP_HEADERS = 28

/** A DHCP message and its way. */
export interface Asked {
  readonly bytes: Buffer
  readonly from: Endpoint
  readonly to: Endpoint
  readonly segment: string
}

/** The message that a step sends, recorded or made. @param count of messages before it, for transaction ids */
export function askedBy(stand: Stand, send: DhcpSend, client: ClientFile, count: number): Asked {
  const merged = { ...client.sends, ...send }
  const { from, to, segment = stand.segment } = merged
  const route = { ...(from && { from: endpoint(from) }), ...(to && { to: endpoint(to) }) }
  if (send.pcap !== undefined) return { ...recorded(send.pcap, send.packet ?? 1), segment, ...route }
  const { giaddr, ciaddr } = merged
  const usual = usualRoute(stand.address, giaddr, send.type === 'DISCOVER' ? undefined : ciaddr)
  if (send.hex !== undefined) return { bytes: Buffer.from(send.hex, 'hex'), segment, ...usual, ...route }
  const chaddr = Buffer.from((merged.chaddr ?? '').replaceAll(':', ''), 'hex')
  const { xid = 0x200 + count, broadcast = false, padded = true } = merged
  const fields = { ...merged, xid, chaddr, flags: broadcast ? FLAG_BROADCAST : 0 }
  const bytes = writeDhcp({ ...fields, options: optionsOf(send, client) }, padded)
  return { bytes, segment, ...usual, ...route }
}

/** Sends `asked` and says what is wrong with what came back. @returns the reply too */
export async function playDhcp(
  stand: Stand,
  asked: Asked,
  wanted: { readonly gets: DhcpGets } | { readonly silence: string },
): Promise<{ wrong: string[]; reply?: DhcpSeen }> {
  const before = 'silence' in wanted ? stand.counted(wanted.silence) : 0
  stand.inject(asked)
  const replies = await stand.dhcpReplies()
  if ('silence' in wanted) {
    const isCounted = wanted.silence === 'nobody-listens' || stand.counted(wanted.silence) > before
    return {
      wrong: problems(
        ...replies.map((reply) => `answered with ${shown(reply)}, expected silence`),
        isCounted ? undefined : `silent, but not counted as ${wanted.silence}`,
      ),
    }
  }
  const [first, ...more] = replies
  if (first === undefined) return { wrong: [`no answer, expected ${wanted.gets.type}`] }
  const reply = readDhcp(first.bytes)
  const wrong = problems(
    ...wrongWay(asked, first, reply, wanted.gets),
    ...wrongEchoes(readDhcp(asked.bytes), reply),
    ...wrongFields(reply, wanted.gets),
    ...more.map((other) => `answered again with ${shown(other)}`),
  )
  return { wrong, reply }
}

function recorded(pcap: string, packet: number): Omit<Asked, 'segment'> {
  const found = readPcap(`${RECORDED}/${pcap}.pcap`)[packet - 1]
  if (found === undefined) throw new Error(`${pcap}.pcap has no datagram ${String(packet)}`)
  return {
    bytes: Buffer.from(found.payload),
    from: { address: formatIpv4(found.from), port: found.fromPort },
    to: { address: formatIpv4(found.to), port: found.toPort },
  }
}

function optionsOf(send: DhcpSend, client: ClientFile): [number, Buffer][] {
  const own = Object.entries({ ...client.sends?.options, ...send.options })
  const type = MESSAGE_TYPES.indexOf(send.type ?? 'DISCOVER')
  return [
    ...(type === 0 ? [] : [[53, Buffer.of(type)] as [number, Buffer]]),
    ...own.flatMap(([code, value]) =>
      value === false ? [] : [[Number(code), bytesOf(value)] as [number, Buffer]],
    ),
  ]
}

function usualRoute(
  address: string,
  giaddr: string | undefined,
  ciaddr: string | undefined,
): { from: Endpoint; to: Endpoint } {
  const server = { address, port: 67 }
  if (giaddr !== undefined) return { from: { address: giaddr, port: 67 }, to: server }
  if (ciaddr !== undefined) return { from: { address: ciaddr, port: 68 }, to: server }
  return { from: { address: '0.0.0.0', port: 68 }, to: { address: '255.255.255.255', port: 67 } }
}

function endpoint(text: string): Endpoint {
  const [address = '', port] = text.split(':')
  return { address, port: Number(port) }
}

function endpointText({ address, port }: Endpoint): string {
  return `${address}:${String(port)}`
}

/** Where a reply comes from and goes to: RFC 2131 §4.1, but 255.255.255.255 for all who have no address. */
function wrongWay(asked: Asked, { from, to, segment }: Datagram, reply: DhcpSeen, gets: DhcpGets): string[] {
  const request = readDhcp(asked.bytes)
  const isBroadcast = asked.to.address === '255.255.255.255'
  const ours = isBroadcast ? from.address : asked.to.address
  return problems(
    wrongValue('the source', endpointText(from), gets.from ?? `${ours}:${String(asked.to.port)}`),
    wrongValue('the destination', endpointText(to), gets.to ?? usualDestination(asked, request, reply)),
    wrongValue('the segment', segment, gets.segment ?? asked.segment),
  )
}

function usualDestination(asked: Asked, request: DhcpSeen, reply: DhcpSeen): string {
  if (asked.to.port === 4011) return endpointText(asked.from)
  if (request.giaddr !== '0.0.0.0') return `${request.giaddr}:67`
  const hasAddress = request.ciaddr !== '0.0.0.0' && reply.type === 'ACK'
  return hasAddress ? `${request.ciaddr}:68` : '255.255.255.255:68'
}

/** What holds for every reply to anybody. */
function wrongEchoes(request: DhcpSeen, reply: DhcpSeen): string[] {
  const boot = [reply.file, reply.options.get(67)?.toString('latin1') ?? '']
  const biggest = Math.min(Math.max(request.options.get(57)?.readUInt16BE() ?? 0, 576), 1500)
  return problems(
    wrongValue('op', reply.op, 2),
    wrongValue('htype', reply.htype, request.htype),
    wrongValue('hops', reply.hops, 0),
    wrongValue('xid', reply.xid, request.xid),
    wrongValue('chaddr', reply.chaddr, request.chaddr),
    wrongValue('giaddr', reply.giaddr, request.giaddr),
    wrongValue('flags', reply.flags & ~FLAG_BROADCAST, request.flags & ~FLAG_BROADCAST),
    (request.flags & FLAG_BROADCAST) > (reply.flags & FLAG_BROADCAST)
      ? 'the broadcast flag is lost'
      : undefined,
    reply.length < 300 ? `only ${String(reply.length)} bytes (RFC 1542 §2.1)` : undefined,
    reply.length > biggest - IP_UDP_HEADERS
      ? `${String(reply.length)} bytes, more than 57 allows`
      : undefined,
    boot[0] !== '' && boot[1] !== '' && boot[0] !== boot[1]
      ? `file and 67 differ: ${boot.join()}`
      : undefined,
    ...wrongOptions(request, reply),
  )
}

function wrongOptions(request: DhcpSeen, reply: DhcpSeen): (string | undefined)[] {
  const echoes = [61, 82, 97].map((code) => {
    const [asked, got] = [request.options.get(code), reply.options.get(code)]
    if (asked === undefined)
      return got === undefined ? undefined : `option ${String(code)}, which nobody sent`
    if (got === undefined && request.type === 'BOOTP' && code !== 82) return undefined
    return wrongBytes(`the echo of option ${String(code)}`, got, `0x${asked.toString('hex')}`)
  })
  const hasRelay = reply.options.has(82)
  const gives = reply.yiaddr !== '0.0.0.0' && reply.type !== 'BOOTP'
  const [asks60, got60] = [request, reply].map(({ options }) => options.get(60)?.toString('latin1') ?? '')
  return [
    ...echoes,
    hasRelay && reply.order.at(-1) !== 82 ? 'option 82 is not the last (RFC 3046 §2.1)' : undefined,
    gives && !reply.options.has(51) ? 'an address without a lease time' : undefined,
    gives && !reply.options.has(1) ? 'an address without a mask' : undefined,
    got60 === '' || asks60?.startsWith(got60 ?? '')
      ? undefined
      : `vendor class ${String(got60)} to ${String(asks60)}`,
    reply.type !== 'BOOTP' && !reply.options.has(54) ? 'no server identifier' : undefined,
  ]
}

function wrongFields(reply: DhcpSeen, gets: DhcpGets): string[] {
  const fields = ['type', 'ciaddr', 'yiaddr', 'siaddr', 'giaddr', 'sname', 'file', 'flags'] as const
  const { boots, max_bytes: most } = gets
  return problems(
    ...fields.map((field) => wrongValue(field, reply[field], gets[field])),
    ...Object.entries(gets.options ?? {}).map(([code, value]) =>
      wrongBytes(`option ${code}`, reply.options.get(Number(code)), value),
    ),
    ...(gets.without ?? []).map((code) =>
      reply.options.has(code) ? `option ${String(code)}, which must not be there` : undefined,
    ),
    boots === undefined ? undefined : wrongBoot(reply, boots),
    most !== undefined && reply.length > most ? `${String(reply.length)} bytes` : undefined,
  )
}

/** The boot file as the client reads it: `file`, or option 67 when it does not fit there. */
export function bootFileOf(reply: DhcpSeen): string {
  return reply.file === '' ? (reply.options.get(67)?.toString('latin1') ?? '') : reply.file
}

function wrongBoot(reply: DhcpSeen, boots: string | false): string | undefined {
  const file = bootFileOf(reply)
  if (boots === false) return file === '' ? undefined : `boots ${file}, expected nothing`
  return wrongValue('the boot file', file, boots)
}

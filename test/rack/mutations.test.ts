import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import t from 'tap'
import { decodePacket, MESSAGE } from '../../src/netboot/dhcp/codec.js'
import { dhcpDatagram, ip4 } from '../fakes/dhcp-request.js'
import { commandPdu, Initiator, loginPdu } from '../fakes/initiator.js'
import { mutated, randomFrom } from '../fakes/mutations.js'
import { readPcap } from '../fakes/pcap.js'
import { Daemons, freePort, until } from './daemons.js'

/** A million for each port in `npm run test:full`. */
const IS_FULL = process.env['INGOT_FULL'] !== undefined
const PACKETS_PER_PORT = IS_FULL ? 1_000_000 : 20_000
const ISCSI_PACKETS = 15_000
const MESSAGES_PER_STREAM = 20
const PACKETS_PER_TRANSFER = 50
const IN_FLIGHT = 16
/** What a flood may leave behind, beside what the daemon has when it has just started. */
const GROWTH_KIB = 200 << 10
const FIXTURES = new URL('../../fixtures/', import.meta.url)

async function floodUdp(
  port: number,
  seeds: readonly Uint8Array[],
  random: (below: number) => number,
): Promise<number> {
  const socket = createSocket('udp4').on('error', () => undefined)
  socket.bind(0, '127.0.0.3')
  await once(socket, 'listening')
  for (let i = 0; i < PACKETS_PER_PORT; i++) {
    const sent = new Promise<void>((resolve) =>
      socket.send(mutated(seeds, random), port, '127.0.0.1', () => resolve()),
    )
    if (i % IN_FLIGHT === 0) await sent
  }
  socket.close()
  return PACKETS_PER_PORT
}

/** One connection: messages until they are sent or the peer hangs up. */
function stream(port: number, messages: readonly Buffer[]): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      for (const message of messages) socket.write(message)
      socket.end()
    })
    socket.setTimeout(200, () => socket.destroy()) // it waits for the rest of a message that never comes
    socket
      .resume()
      .on('error', () => socket.destroy())
      .on('close', () => resolve())
  })
}

async function floodTcp(
  port: number,
  seeds: readonly Uint8Array[],
  random: (below: number) => number,
  packets = PACKETS_PER_PORT,
): Promise<number> {
  let left = packets / MESSAGES_PER_STREAM
  const worker = async (): Promise<void> => {
    while (left-- > 0)
      await stream(
        port,
        Array.from({ length: MESSAGES_PER_STREAM }, () => mutated(seeds, random)),
      )
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  return packets
}

const DURING_A_TRANSFER = [
  ...['00040000', '00040001', '00040002', '0004ffff', '000300016162636465'],
  ...['0006626c6b73697a650031343332000000', '0001787800006f6374657400'],
].map((hex) => Buffer.from(hex, 'hex'))

/** ERROR 0 of RFC 1350: a transfer that is not told of the end keeps one of its client's places until it times out. */
const GIVEN_UP = Buffer.from('0005000000', 'hex')

/** Packets at the ports of transfers, each from the client that the transfer is for. */
async function floodTransfers(port: number, random: (below: number) => number): Promise<number> {
  let left = PACKETS_PER_PORT / PACKETS_PER_TRANSFER
  const worker = async (_: unknown, index: number): Promise<void> => {
    while (left-- > 0) await floodTransfer(port, `127.0.1.${index + 1}`, random)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  return PACKETS_PER_PORT
}

async function floodTransfer(port: number, from: string, random: (below: number) => number): Promise<void> {
  const socket = createSocket('udp4').on('error', () => undefined)
  try {
    socket.bind(0, from)
    await once(socket, 'listening')
    let transferPort = 0
    socket.once('message', (_bytes, { port: at }) => (transferPort = at))
    await until('a transfer begins', () => {
      if (transferPort === 0) socket.send('\0\x01mutations.test.ts\0octet\0', port, '127.0.0.1')
      return transferPort !== 0
    })
    const send = (packet: Uint8Array): Promise<void> =>
      new Promise((resolve) => socket.send(packet, transferPort, '127.0.0.1', () => resolve()))
    for (let i = 0; i < PACKETS_PER_TRANSFER; i++) {
      const sent = send(mutated(DURING_A_TRANSFER, random))
      if (i % IN_FLIGHT === 0) await sent
    }
    await send(GIVEN_UP)
  } finally {
    socket.close()
  }
}

function residentKib(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

async function answerTo(socket: UdpSocket, request: Uint8Array, port: number): Promise<Buffer> {
  let answer: Buffer | undefined
  socket.on('message', (datagram: Buffer) => (answer = datagram))
  await until('an answer', () => {
    if (answer === undefined) socket.send(request, port, '127.0.0.1')
    return answer !== undefined
  })
  return answer ?? Buffer.alloc(0)
}

async function udpAt(port: number, address: string): Promise<UdpSocket> {
  const socket = createSocket('udp4')
  socket.bind(port, address)
  await once(socket, 'listening')
  t.teardown(() => void socket.close())
  return socket
}

void t.test(
  `${PACKETS_PER_PORT} mutated packets at each port: every service answers afterwards`,
  async (t) => {
    const [http, tftp, dhcp, pxe] = [await freePort(), await freePort(), await freePort(), await freePort()]
    const ports = `http_port = ${http}\ntftp_port = ${tftp}\ndhcp_port = ${dhcp}\npxe_port = ${pxe}`
    const daemons = await Daemons.make(t, {
      boot: `address = "127.0.0.1"\nloader_dirs = ["/usr/lib/ipxe", "${import.meta.dirname}"]\n${ports}`,
      subnet: 'cidr = "127.0.0.0/8"',
    })
    await daemons.start()
    const nics = [{ mac: '52:54:00:fa:00:01', ip: '127.0.0.50' }]
    t.match(await daemons.api('POST', '/machines', { name: 'm1', nics }), { status: 201 })
    const pids = [daemons.pid, await daemons.targetPid()]
    const kibBefore = residentKib(daemons.pid)

    const pcaps = readdirSync(new URL('dhcp/', FIXTURES)).filter((name) => name.endsWith('.pcap'))
    const datagrams = pcaps.flatMap((name) =>
      readPcap(new URL(`dhcp/${name}`, FIXTURES)).map(({ payload }) => payload),
    )
    const reads = readdirSync(new URL('tftp/', FIXTURES)).filter((name) => name.endsWith('.hex'))
    const tftpSeeds = reads.map((name) =>
      Buffer.from(readFileSync(new URL(`tftp/${name}`, FIXTURES), 'latin1').trim(), 'hex'),
    )
    const requests = [
      'GET /boot/0123456789abcdef/script',
      'HEAD /ipxe.efi',
      'POST /boot/0123456789abcdef/ready',
    ].map((line) =>
      Buffer.from(
        `${line} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: iPXE/1.21.1\r\nContent-Length: 0\r\n\r\n`,
      ),
    )
    const login = loginPdu('InitiatorName=iqn.a\0TargetName=iqn.b\0AuthMethod=CHAP,None\0', { flags: 0x81 })
    const discovery = loginPdu('InitiatorName=iqn.a\0SessionType=Discovery\0', { flags: 0x87 })
    const command = commandPdu({ lun: 0, cdb: [0x28], itt: 1, cmdSn: 1, flags: 0xc1, edtl: 512 })
    const sent = await Promise.all([
      floodUdp(dhcp, datagrams, randomFrom(1)),
      floodUdp(pxe, datagrams, randomFrom(5)),
      floodUdp(tftp, tftpSeeds, randomFrom(2)),
      floodTransfers(tftp, randomFrom(6)),
      floodTcp(http, requests, randomFrom(3)),
      floodTcp(daemons.iscsiPort, [login, discovery, command], randomFrom(4), ISCSI_PACKETS),
    ])
    t.ok(sent.reduce((sum, count) => sum + count) >= 5 * PACKETS_PER_PORT, `${sent.join(' + ')} packets`)

    const relay = await udpAt(dhcp, '127.0.0.2')
    const header = { giaddr: ip4('127.0.0.2'), mac: '52:54:00:fa:00:01' }
    const offer = decodePacket(await answerTo(relay, dhcpDatagram(MESSAGE.DISCOVER, {}, header), dhcp))
    t.equal(offer.yiaddr, ip4('127.0.0.50'), 'DHCP offers the machine its address')

    const client = await udpAt(0, '127.0.0.2')
    const answer = await answerTo(client, Buffer.from('\0\x01no-such-file\0octet\0', 'latin1'), tftp)
    t.equal(answer.readUInt16BE(0), 5, 'TFTP refuses a file that it does not have')

    t.equal((await fetch(`http://127.0.0.1:${http}/no-such-file`)).status, 404, 'HTTP answers')

    const initiator = new Initiator(daemons.iscsiPort)
    t.teardown(() => initiator.close())
    const reply = await initiator.login('InitiatorName=iqn.a\0SessionType=Discovery\0')
    t.equal(reply?.opcode, 0x23, 'iSCSI answers a login')

    t.match(await daemons.api('GET', '/machines'), { status: 200 }, 'the API answers')
    t.same([daemons.pid, await daemons.targetPid()], pids, 'no daemon has ended')
    t.notMatch(await daemons.log(), /"level":[56]0/, 'no error was logged')
    if (!IS_FULL) return // in a short run memory says more about the machine than about us
    await until('what was needed for the flood is given back', () => {
      return residentKib(daemons.pid) < kibBefore + GROWTH_KIB
    })
    t.pass(`${kibBefore} KiB before, ${residentKib(daemons.pid)} KiB after`)
  },
)

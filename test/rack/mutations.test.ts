import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { decodePacket, MESSAGE } from '../../src/netboot/dhcp/codec.js'
import { dhcpDatagram, ip4 } from '../fakes/dhcp-request.js'
import { commandPdu, Initiator, loginPdu } from '../fakes/initiator.js'
import { readPcap } from '../fakes/pcap.js'
import { Daemons, freePort, until } from './daemons.js'

const PACKETS_PER_UDP_PORT = 35_000
const STREAMS_PER_TCP_PORT = 750
const MESSAGES_PER_STREAM = 20
const IN_FLIGHT = 16
const FIXTURES = new URL('../../fixtures/', import.meta.url)

/** Park and Miller's generator: the same mutations in every run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 48271) % 2147483647
    return state % below
  }
}

/** A seed with some bytes changed, and now and then cut short, repeated or with bytes inserted. */
function mutated(seeds: readonly Uint8Array[], random: (below: number) => number): Buffer {
  let bytes = Buffer.from(seeds[random(seeds.length)] ?? [])
  for (let count = 1 + random(6); count > 0; count--) {
    const at = random(Math.max(1, bytes.length))
    const kind = random(8)
    if (kind === 0) bytes = bytes.subarray(0, at)
    else if (kind === 1)
      bytes = Buffer.concat([
        bytes.subarray(0, at),
        Buffer.alloc(random(64), random(256)),
        bytes.subarray(at),
      ])
    else if (kind === 2) bytes = Buffer.concat([bytes, bytes.subarray(at)]).subarray(0, 1400)
    else if (bytes.length > 0) bytes[at] = kind < 5 ? ([0, 255, 127, 128][random(4)] ?? 0) : random(256)
  }
  return bytes
}

async function floodUdp(
  port: number,
  seeds: readonly Uint8Array[],
  random: (below: number) => number,
): Promise<number> {
  const socket = createSocket('udp4').on('error', () => undefined)
  socket.bind(0, '127.0.0.3')
  await once(socket, 'listening')
  for (let i = 0; i < PACKETS_PER_UDP_PORT; i++) {
    const sent = new Promise<void>((resolve) =>
      socket.send(mutated(seeds, random), port, '127.0.0.1', () => resolve()),
    )
    if (i % IN_FLIGHT === 0) await sent
  }
  socket.close()
  return PACKETS_PER_UDP_PORT
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
): Promise<number> {
  let left = STREAMS_PER_TCP_PORT
  const worker = async (): Promise<void> => {
    while (left-- > 0)
      await stream(
        port,
        Array.from({ length: MESSAGES_PER_STREAM }, () => mutated(seeds, random)),
      )
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  return STREAMS_PER_TCP_PORT * MESSAGES_PER_STREAM
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

void t.test('100,000 mutated packets: every service answers afterwards', async (t) => {
  const [http, tftp, dhcp] = [await freePort(), await freePort(), await freePort()]
  const ports = `http_port = ${http}\ntftp_port = ${tftp}\ndhcp_port = ${dhcp}\npxe_port = 0`
  const daemons = await Daemons.make(t, {
    boot: `address = "127.0.0.1"\nloader_dirs = ["/usr/lib/ipxe", "${import.meta.dirname}"]\n${ports}`,
    subnet: 'cidr = "127.0.0.0/8"',
  })
  await daemons.start()
  const nics = [{ mac: '52:54:00:fa:00:01', ip: '127.0.0.50' }]
  t.match(await daemons.api('POST', '/machines', { name: 'm1', nics }), { status: 201 })
  const pids = [daemons.pid, await daemons.targetPid()]

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
    floodUdp(tftp, tftpSeeds, randomFrom(2)),
    floodTcp(http, requests, randomFrom(3)),
    floodTcp(daemons.iscsiPort, [login, discovery, command], randomFrom(4)),
  ])
  t.ok(sent.reduce((sum, count) => sum + count) >= 100_000, `${sent.join(' + ')} packets`)

  const relay = await udpAt(dhcp, '127.0.0.2')
  const header = { giaddr: ip4('127.0.0.2'), mac: '52:54:00:fa:00:01' }
  const offer = decodePacket(await answerTo(relay, dhcpDatagram(MESSAGE.DISCOVER, {}, header), dhcp))
  t.equal(offer.yiaddr, ip4('127.0.0.50'), 'DHCP offers the machine its address')

  writeFileSync(join(daemons.dir, 'file'), 'x')
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
})

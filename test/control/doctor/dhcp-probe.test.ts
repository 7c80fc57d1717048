import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { systemClock } from '../../../src/clock.js'
import { answerTo, discover, probeDhcp, throwAwayMac } from '../../../src/control/doctor/dhcp-probe.js'
import {
  decodeRequest,
  encodePacket,
  FLAG_BROADCAST,
  MESSAGE,
  OP,
  type DhcpPacket,
} from '../../../src/netboot/dhcp/codec.js'
import { ip4 } from '../../fakes/dhcp-request.js'

const LOOPBACK = '127.255.255.255'
const MAC = throwAwayMac()

async function bound(t: Test, address: string): Promise<{ socket: Socket; port: number }> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  t.teardown(() => {
    socket.close()
  })
  socket.bind({ address, port: 0 })
  await once(socket, 'listening')
  return { socket, port: socket.address().port }
}

function offer(question: DhcpPacket, header: Partial<DhcpPacket>, options: DhcpPacket['options']): Buffer {
  const packet = { ...question, op: OP.REPLY, options: { messageType: MESSAGE.OFFER, ...options }, ...header }
  return encodePacket(packet, 1472)
}

void t.test('every server that answers is found, a proxy too, and nobody else', async (t) => {
  const server = await bound(t, '0.0.0.0')
  const { port: clientPort } = await bound(t, LOOPBACK)
  server.socket.setBroadcast(true)
  const questions: DhcpPacket[] = []
  server.socket.on('message', (datagram) => {
    const question = decodeRequest(datagram)
    questions.push(question)
    const answers = [
      offer(question, { yiaddr: ip4('198.18.0.77') }, { serverId: ip4('198.18.0.2') }),
      offer(question, { siaddr: ip4('198.18.0.3') }, { serverId: ip4('198.18.0.3'), bootFile: 'pxe.0' }),
      offer(question, { yiaddr: ip4('198.18.0.9'), xid: question.xid ^ 1 }, { serverId: ip4('198.18.0.4') }),
      Buffer.from('not DHCP'),
    ]
    for (const answer of answers) server.socket.send(answer, clientPort, LOOPBACK)
  })
  const options = {
    address: '127.0.0.1',
    mac: MAC,
    clientPort,
    serverPort: server.port,
    broadcastAddress: LOOPBACK,
  }
  const found = await probeDhcp({ ...options, listenMs: 800 }, systemClock)
  t.same(found, {
    isAsked: true,
    servers: [
      { serverAddress: '198.18.0.2', offered: '198.18.0.77', bootFile: undefined },
      { serverAddress: '198.18.0.3', offered: undefined, bootFile: 'pxe.0 from 198.18.0.3' },
    ],
  })
  const [question] = questions
  t.match(question, { flags: FLAG_BROADCAST, options: { messageType: MESSAGE.DISCOVER, clientArch: [0] } })
})

void t.test('a MAC to throw away is locally administered, of a station, and another each time', (t) => {
  t.match(MAC, /^02(:[0-9a-f]{2}){5}$/)
  t.not(throwAwayMac(), MAC)
  t.end()
})

void t.test('our own answers are nobody else’s', async (t) => {
  const server = await bound(t, '0.0.0.0')
  const { port: clientPort } = await bound(t, LOOPBACK)
  server.socket.setBroadcast(true)
  server.socket.on('message', (datagram) => {
    const answer = offer(decodeRequest(datagram), { yiaddr: 9 }, { serverId: ip4('127.0.0.1') })
    server.socket.send(answer, clientPort, LOOPBACK)
  })
  const options = {
    address: '127.0.0.1',
    mac: MAC,
    clientPort,
    serverPort: server.port,
    broadcastAddress: LOOPBACK,
  }
  t.same(await probeDhcp({ ...options, listenMs: 100 }, systemClock), { isAsked: true, servers: [] })
})

void t.test('an address that is not ours is a reason, not a failure', async (t) => {
  const found = await probeDhcp({ address: '192.0.2.1', mac: MAC, clientPort: 0, listenMs: 1 }, systemClock)
  t.match(found, { isAsked: false, reason: /EADDRNOTAVAIL/ })
})

void t.test('any bytes are an answer or none', (t) => {
  const question = discover(MAC)
  const whole = offer(question, { yiaddr: 1 }, { serverId: 1 })
  t.ok(answerTo(question, whole, '198.18.0.2'))
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, value]) => {
      const changed = Uint8Array.from(whole)
      changed[at] = value
      return changed
    }),
  )
  fc.assert(fc.property(bytes, (datagram) => void answerTo(question, datagram, '198.18.0.2')))
  t.end()
})

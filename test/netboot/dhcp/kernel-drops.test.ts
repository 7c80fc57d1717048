import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import t from 'tap'
import { dropsIn, kernelDrops, parseUdpTable } from '../../../src/netboot/dhcp/kernel-drops.js'

// /proc/net/udp of Linux 6.1
const TABLE = [
  '   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops',
  ' 1077: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 16105 2 0000000000000000 12',
  ' 1078: 010012C6:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 16106 2 0000000000000000 30',
  '',
].join('\n')

void t.test('drops are summed over the sockets that count', (t) => {
  t.equal(
    dropsIn(TABLE, () => true),
    42,
  )
  t.equal(
    dropsIn(TABLE, ({ inode }) => inode === '16105'),
    12,
  )
  t.equal(
    dropsIn(TABLE, ({ address, port }) => address === '198.18.0.1' && port === 67),
    30,
  )
  t.end()
})

void t.test('a line of the table says where a socket is bound, and what waits there', (t) => {
  const line =
    ' 1015: 010012C6:0043 00000000:0000 07 00000000:00000100 00:00000000 00000000     0        0 41 2 000000002dcf1b6b 7'
  t.same(parseUdpTable(`header\n${line}\n`), [
    { address: '198.18.0.1', port: 67, inode: '41', queuedBytes: 256, drops: 7 },
  ])
  t.same(parseUdpTable(''), [])
  t.end()
})

const noProc = process.platform !== 'linux'

void t.test(
  `a socket whose buffer ran over says so${noProc ? ' (skipped: no /proc/net/udp)' : ''}`,
  { skip: noProc },
  async (t) => {
    const [receiver, sender] = [createSocket('udp4'), createSocket('udp4')]
    t.teardown(() => [receiver, sender].forEach((socket) => void socket.close()))
    receiver.bind(0, '127.0.0.1')
    await once(receiver, 'listening')
    receiver.setRecvBufferSize(4096)
    const { port } = receiver.address()
    const sockets = { addresses: ['127.0.0.1'], port }
    t.equal(await kernelDrops(sockets), 0)
    // nothing is read while this turn of the event loop lasts
    const datagram = Buffer.alloc(1000)
    for (let i = 0; i < 100; i++) sender.send(datagram, port, '127.0.0.1')
    await new Promise((resolve) => sender.send(datagram, port, '127.0.0.1', resolve))
    t.ok((await kernelDrops(sockets)) > 0)
  },
)

import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import t from 'tap'
import {
  hostInterfaces,
  ownUdpSockets,
  parseInterfaces,
  parseNeighbour,
  parseRoutes,
  routeTo,
} from '../../../src/control/doctor/kernel-network.js'

// Linux 6.1, Debian 12
const ROUTES = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
br0	00000000	FE0012C6	0003	0	0	100	00000000	0	0	0
br0	000012C6	00000000	0001	0	0	0	00FFFFFF	0	0	0
br0	000112C6	FD0012C6	0003	0	0	0	00FFFFFF	0	0	0
br1	000112C6	FC0012C6	0003	0	0	20	00FFFFFF	0	0	0
*	000212C6	00000000	0201	0	0	0	00FFFFFF	0	0	0
`

void t.test('a route is found by the longest prefix, then by the smallest metric', (t) => {
  const routes = parseRoutes(ROUTES)
  t.equal(routes.length, 4, 'a route that refuses is none')
  t.match(routeTo('198.18.0.9', routes), { interface: 'br0', gateway: undefined })
  t.match(routeTo('198.18.1.9', routes), { interface: 'br0', gateway: '198.18.0.253' })
  t.match(routeTo('203.0.113.1', routes), { gateway: '198.18.0.254' })
  t.equal(routeTo('203.0.113.1', routes.slice(1)), undefined)
  t.end()
})

const noProc = !existsSync('/proc/net/udp')

void t.test(
  `this process's sockets are found${noProc ? ' (skipped: no /proc)' : ''}`,
  { skip: noProc },
  async (t) => {
    const socket = createSocket('udp4').bind({ address: '127.0.0.1', port: 0 })
    await once(socket, 'listening')
    t.match(
      (await ownUdpSockets()).find(({ port }) => port === socket.address().port),
      { address: '127.0.0.1', drops: 0 },
    )
    socket.close()
  },
)

void t.test('every interface with an IPv4 address is told, without a carrier too', (t) => {
  const link = (ifname: string, operstate: string, local?: string): object => ({
    ...{ ifname, operstate, address: '02:00:00:00:00:01' },
    addr_info: local === undefined ? [] : [{ family: 'inet', local, prefixlen: 24 }],
  })
  const bridge = { linkinfo: { info_kind: 'bridge', info_data: { forward_delay: 1500 } } }
  const printed = [link('eth0', 'UP'), { ...link('br0', 'DOWN', '198.18.0.1'), ...bridge }, {}]
  t.same(parseInterfaces(JSON.stringify(printed)), [
    {
      ...{ name: 'br0', state: 'down', mac: '02:00:00:00:00:01', addresses: ['198.18.0.1/24'] },
      forwardDelaySeconds: 15,
    },
  ])
  t.end()
})

const noIp = spawnSync('ip', ['-V']).status !== 0

void t.test(`the loopback is found${noIp ? ' (skipped: no ip)' : ''}`, { skip: noIp }, async (t) => {
  const found = await hostInterfaces()
  t.match(
    found.find(({ addresses }) => addresses.includes('127.0.0.1/8')),
    { name: 'lo' },
  )
})

// Linux 6.1, Debian 12
const NEIGHBOURS = `IP address       HW type     Flags       HW address            Mask     Device
198.18.0.50      0x1         0x2         02:00:00:00:0c:01     *        br0
198.18.0.51      0x1         0x0         00:00:00:00:00:00     *        br0
198.18.0.52      0x1         0x6         02:00:00:00:0C:02     *        br0
198.18.0.53      0x1         0x2         02:00:00:00:0c:03     *        br0
198.18.0.53      0x1         0x2         02:00:00:00:0c:04     *        br1
`

void t.test('a neighbour is known when its entry is complete and the only one', (t) => {
  const known = ['50', '51', '52', '53', '5'].map((host) => parseNeighbour(NEIGHBOURS, `198.18.0.${host}`))
  t.same(known, ['02:00:00:00:0c:01', undefined, '02:00:00:00:0c:02', undefined, undefined])
  t.end()
})

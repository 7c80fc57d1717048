import { accessSync, chmodSync, constants, readFileSync } from 'node:fs'
import t from 'tap'
import type { Test } from 'tap'
import { decodeRequest, MESSAGE, type DhcpPacket } from '../../src/netboot/dhcp/codec.js'
import { macFromBytes } from '../../src/wire/mac.js'
import { dhcpRequest, ip4 } from '../fakes/dhcp-request.js'
import { readPcap } from '../fakes/pcap.js'
import { brief, DhcpSegments, MACHINE_IP } from './dhcp-segments.js'

const CAPTURE = new URL('../../fixtures/dhcp/dnsmasq-proxy-ovmf-pxe.pcap', import.meta.url)
const TOOLS = [
  '/usr/sbin/ip',
  '/usr/sbin/dhclient',
  '/usr/sbin/dhcrelay',
  '/usr/sbin/dnsmasq',
  '/usr/bin/curl',
  '/usr/bin/python3',
]

const REPORT = `#!/bin/sh
case "$reason" in
  BOUND) ip address add "$new_ip_address/24" dev "$interface"
    ip route replace default via "\${new_routers:-$new_ip_address}" dev "$interface"
    echo "$new_ip_address $new_dhcp_server_identifier $new_domain_name" > "\${0}.bound" ;;
esac
`

function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root for network namespaces'
  const absent = TOOLS.find((tool) => !isThere(tool))
  return absent === undefined ? undefined : `needs ${absent}`
}

function isThere(tool: string): boolean {
  try {
    accessSync(tool, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** What dhclient was given in a namespace: address, server id and domain name. */
async function dhclient(t: Test, segments: DhcpSegments, name: string): Promise<string> {
  const folder = t.testdir({ report: REPORT })
  const hook = `${folder}/report`
  chmodSync(hook, 0o755)
  const files = ['-sf', hook, '-lf', `${folder}/leases`, '-pf', `${folder}/pid`]
  await segments.inside(name, 'dhclient', '-4', '-1', ...files, 'eth0')
  await segments.inside(name, 'dhclient', '-4', '-x', ...files, 'eth0') // ends; the address stays
  return readFileSync(`${hook}.bound`, 'latin1').trimEnd()
}

/** The recorded requests of one port: OVMF's first, iPXE's last. */
function recorded(port: number): DhcpPacket[] {
  return readPcap(CAPTURE)
    .filter(({ toPort, payload }) => toPort === port && payload[0] === 1)
    .map(({ payload }) => decodeRequest(payload))
}

const reason = missing()
const name = 'one daemon serves segments, relays and another server’s clients'
void t.test(
  reason === undefined ? name : `${name} (skipped: ${reason})`,
  { skip: reason ?? false },
  async (t) => {
    const [firmware = dhcpRequest(1)] = recorded(67)
    const segments = await DhcpSegments.make(t)
    await segments.startDaemon(macFromBytes(firmware.chaddr))

    await t.test(
      'each of two segments on two interfaces gets its own addresses by its own socket',
      async (t) => {
        t.match(await dhclient(t, segments, 'c0'), /^198\.18\.0\.10\d 198\.18\.0\.1 zero\.example$/)
        t.match(await dhclient(t, segments, 'c1'), /^198\.18\.1\.10\d 198\.18\.1\.1 one\.example$/)
        const status = ['-s', '-o', '/dev/null', '-w', '%{http_code}']
        for (const address of ['198.18.1.1', '198.18.0.1']) {
          const url = `http://${address}:8080/boot/none/script`
          t.equal(
            await segments.inside('c1', 'curl', ...status, url),
            '404',
            'we are reached at either address',
          )
        }
      },
    )

    await t.test(
      'a segment behind dhcrelay gets its subnet’s addresses, and renews past the relay',
      async (t) => {
        const relay = ['dhcrelay', '-4', '-d', '-a', '-id', 'far', '-iu', 'near', '198.18.0.1']
        await segments.start('relay', /Sending on\s+Socket\/fallback/, ...relay)
        const bound = await dhclient(t, segments, 'far')
        t.match(bound, /^198\.18\.2\.10\d 198\.18\.0\.1 far\.example$/)
        const [address = ''] = bound.split(' ')
        const link = await segments.inside('far', 'cat', '/sys/class/net/eth0/address')
        const renewal = dhcpRequest(MESSAGE.REQUEST, {}, { mac: link.trim(), ciaddr: ip4(address) })
        const [ack] = await segments.ask('far', renewal, 1, { address: '198.18.0.1' })
        t.match(ack, {
          from: '198.18.0.1',
          packet: { yiaddr: ip4(address), options: { messageType: MESSAGE.ACK } },
        })
      },
    )

    await t.test('beside dnsmasq, which gives the addresses, firmware is told what to boot', async (t) => {
      await segments.inside('other', 'ip', 'address', 'add', '198.18.3.2/24', 'dev', 'eth0')
      const dnsmasq = ['dnsmasq', '-d', '--conf-file=/dev/null', '--port=0', '--log-dhcp']
      const lease = [
        '--dhcp-range=198.18.3.50,198.18.3.50,1h',
        '--dhcp-authoritative',
        '--dhcp-leasefile=/dev/null',
      ]
      await segments.start('other', /DHCP, IP range/, ...dnsmasq, ...lease)
      const answers = await segments.ask('c3', firmware, 2)
      t.same(answers.map(brief).sort(), ['0.0.0.0 from 198.18.3.1', `${MACHINE_IP} from 198.18.3.2`])
      const ours = answers.find(({ from }) => from === '198.18.3.1')?.packet
      t.match(ours, {
        siaddr: ip4('198.18.3.1'),
        options: { vendorClass: 'PXEClient', bootFile: 'snponly.efi' },
      })

      // taken from dnsmasq, so we say nothing: the only answer is its ACK, then ours on the port of boot servers
      const options = { ...firmware.options, messageType: MESSAGE.REQUEST, requestedIp: ip4(MACHINE_IP) }
      const take = { ...firmware, options: { ...options, serverId: ip4('198.18.3.2') } }
      t.same((await segments.ask('c3', take, 1)).map(brief), [`${MACHINE_IP} from 198.18.3.2`])
      await segments.inside('c3', 'ip', 'address', 'add', `${MACHINE_IP}/24`, 'dev', 'eth0')
      const bootServer = { address: '198.18.3.1', port: 4011 }
      for (const request of recorded(4011)) {
        for (const sourcePort of [4011, 68]) {
          const [answer] = await segments.ask('c3', request, 1, { ...bootServer, sourcePort })
          const file =
            request.options.ipxe === undefined ? /^snponly\.efi$/ : /^http:\/\/198\.18\.3\.1:8080\/boot\//
          t.match(answer, {
            from: '198.18.3.1',
            port: 4011,
            packet: { yiaddr: 0, options: { bootFile: file } },
          })
        }
      }
    })

    await t.test(
      'port 4011 answers beside our own addresses too, from the address that was asked',
      async (t) => {
        const [request = firmware] = recorded(4011)
        const asked = { address: '198.18.1.1', port: 4011 }
        const [answer] = await segments.ask('c1', request, 1, asked)
        t.match(answer, { from: '198.18.1.1', packet: { yiaddr: 0, siaddr: ip4('198.18.1.1') } })
      },
    )
  },
)

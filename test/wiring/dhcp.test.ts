import { pino } from 'pino'
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../src/clock.js'
import { parseConfig } from '../../src/config.js'
import { BootDesk } from '../../src/netboot/boot-desk.js'
import type { DhcpServer } from '../../src/netboot/dhcp/dhcp-server.js'
import { openRegistry } from '../../src/registry/registry.js'
import { dhcpServers } from '../../src/wiring/dhcp.js'

const BOOT = '[boot]\naddress = "198.18.0.1"\n'
const NEAR = '[[subnet]]\ncidr = "198.18.0.0/24"\ninterface = "eth1"\n'
const SECOND = '[[subnet]]\ncidr = "198.18.1.0/24"\naddress = "198.18.1.1"\ninterface = "eth2"\n'
const FAR = '[[subnet]]\ncidr = "198.18.2.0/24"\nrelayed = true\n'
const OFF = '[[subnet]]\ncidr = "198.18.3.0/24"\nmode = "off"\n'

function serversOf(t: Test, text: string, sockets: Record<string, number[]> = {}): readonly DhcpServer[] {
  const registry = openRegistry(':memory:')
  t.teardown(() => registry.close())
  return dhcpServers(
    {
      config: parseConfig(text, 'FILE'),
      configFile: 'FILE',
      log: pino({ level: 'silent' }),
      sockets: new Map(Object.entries(sockets)),
      leases: { all: () => [], find: () => undefined, save: () => undefined, remove: () => undefined },
    },
    registry,
    {
      emit: () => undefined,
      desk: new BootDesk({
        findTarget: () => undefined,
        firmwareAsks: () => false,
        emit: () => undefined,
        clock: systemClock,
      }),
      policyAt: (address) => ({ address, httpPort: 8080, loaders: new Map() }),
    },
  )
}

void t.test('each segment has a server, relays and other servers’ segments have none', (t) => {
  const names = (text: string, sockets?: Record<string, number[]>): string[] =>
    serversOf(t, text, sockets).map(({ name }) => name)
  t.same(names(BOOT + NEAR), ['dhcp-eth1'], 'one segment opens its own sockets')
  t.same(names(BOOT + NEAR + FAR + OFF), ['dhcp-eth1'])
  t.same(names(BOOT + FAR), ['dhcp'], 'relays are heard without a segment')
  t.same(names(BOOT + OFF), [])
  t.same(names('[boot]\nenabled = false\n[target]\naddress = "127.0.0.1"'), [])
  const both = { 'dhcp-eth1': [3], 'dhcp-eth2': [4] }
  t.same(names(BOOT + NEAR + SECOND, both), ['dhcp-eth1', 'dhcp-eth2'])
  t.end()
})

void t.test('two segments without a socket for each are refused, with the name that is missing', (t) => {
  for (const sockets of [{}, { 'dhcp-eth1': [3] }, { dhcp: [3, 4] }]) {
    t.throws(() => serversOf(t, BOOT + NEAR + SECOND, sockets), {
      code: 'CONFIG_INVALID',
      message: /expected an inherited socket named dhcp-eth[12], got none/,
    })
  }
  t.end()
})

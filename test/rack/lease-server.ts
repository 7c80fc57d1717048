// The DHCP server of lease-kills.test.ts, to be killed: a pool on loopback, leases in the journal of a directory.
// Arguments: state directory, port. Prints one JSON line when it serves: every lease that it knows, [ip, mac].
import { join } from 'node:path'
import { pino } from 'pino'
import { systemClock } from '../../src/clock.js'
import { DhcpServer } from '../../src/netboot/dhcp/dhcp-server.js'
import { DhcpSubnets, ServedSubnet } from '../../src/netboot/dhcp/dhcp-subnets.js'
import { JournalFiles } from '../../src/netboot/dhcp/journal-files.js'
import { LeaseJournal } from '../../src/netboot/dhcp/lease-journal.js'
import { openRegistry } from '../../src/registry/registry.js'

const [, , stateDir = '', port = ''] = process.argv
const log = pino({ level: 'warn' }, pino.destination(2))
const registry = openRegistry(join(stateDir, 'registry.sqlite'))
const leases = new LeaseJournal({
  ...{ files: new JournalFiles(join(stateDir, 'leases')), table: registry.leases, clock: systemClock, log },
  emit: () => undefined,
  fileBytes: 16_384, // so that files end, and checkpoints run, under the load
})
await leases.start()
const own = new ServedSubnet(
  {
    ...{ cidr: '127.0.0.0/8', mode: 'authoritative', address: '127.0.0.1', dns: [], leaseSeconds: 3600 },
    pool: { first: '127.16.0.0', last: '127.31.255.255' },
  },
  () => undefined,
  { leases, unknownMachines: 'address' },
)
const dhcp = new DhcpServer(
  { address: '127.0.0.1', port: Number(port), pxePort: 0, maxPerSecondPerSource: 1_000_000 },
  {
    ...{
      subnets: new DhcpSubnets([own]),
      own,
      findMachine: () => undefined,
      leases,
      clock: systemClock,
      log,
    },
    emit: () => undefined,
  },
)
function die(cause: Error): void {
  throw cause
}
await dhcp.start(die)
process.stdout.write(`${JSON.stringify([...leases.all()].map(({ ip, mac }) => [ip, mac]))}\n`)
process.stdin.resume().on('end', () => void dhcp.stop().then(() => leases.stop()))

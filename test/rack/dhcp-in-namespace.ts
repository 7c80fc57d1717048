// Run inside a network namespace by dhcp-clients.test.ts: serves 198.18.0.0/24 from 198.18.0.1 and prints one JSON
// line for each thing that happens, until standard input ends. With the argument `fd` it takes the socket it
// inherited as descriptor 3.
import { pino } from 'pino'
import { systemClock } from '../../src/clock.js'
import { DhcpServer } from '../../src/netboot/dhcp/dhcp-server.js'
import { DhcpSubnets, ServedSubnet } from '../../src/netboot/dhcp/dhcp-subnets.js'
import type { LeaseRecord } from '../../src/registry/records.js'

const FIXED = new Map([['02:00:00:00:0c:01', '198.18.0.50']])
const leases = new Map<string, LeaseRecord>()

function tell(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}

const leaseStore = {
  all: () => [...leases.values()],
  save: (lease: LeaseRecord, done: (cause?: Error) => void) => {
    leases.set(lease.ip, lease)
    tell({ saved: [lease] })
    setImmediate(done)
  },
  find: (ip: string) => leases.get(ip),
  remove: (ip: string) => {
    leases.delete(ip)
    tell({ removed: ip })
  },
}
const own = new ServedSubnet(
  {
    ...{ cidr: '198.18.0.0/24', mode: 'authoritative', address: '198.18.0.1', router: '198.18.0.1' },
    ...{ dns: ['198.18.0.53'], pool: { first: '198.18.0.100', last: '198.18.0.150' }, leaseSeconds: 3600 },
  },
  () => undefined,
  { leases: leaseStore, unknownMachines: 'address' },
)
const server = new DhcpServer(
  { address: '198.18.0.1', ...(process.argv[2] === 'fd' && { fd: 3 }) },
  {
    subnets: new DhcpSubnets([own]),
    own,
    findMachine: (mac) => {
      const ip = FIXED.get(mac)
      return ip === undefined ? undefined : { machineId: '1', name: 'node1', ip, hostName: 'web1' }
    },
    leases: leaseStore,
    clock: systemClock,
    emit: (event) => {
      tell({ event })
    },
    log: pino({ level: 'debug' }, pino.destination(2)),
  },
)
await server.start((cause) => {
  tell({ fatal: cause.message })
})
tell({ ready: true })
process.stdin.resume().on('end', () => void server.stop())

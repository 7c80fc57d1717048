import type { Command } from 'commander'
import type { NetworkReportView } from '../api/doctor-schema.js'
import { API_PREFIX } from '../api/schema.js'
import { ApiError } from './api-client.js'
import type { Cli } from './cli-context.js'
import { printLine, printList, printOne, type OutputFormat } from './output.js'

/** `ingot doctor ...`: exit code 1 when something is wrong. */
export function doctorCommands(program: Command, cli: Cli): void {
  const doctor = program.command('doctor').description('what is wrong, and what to do about it')
  doctor
    .command('network')
    .description('interfaces, subnets, sockets, other DHCP servers, relays, machines that do not come')
    .action(async () => {
      const report = await cli.api().call<NetworkReportView>('GET', `${API_PREFIX}/doctor/network`)
      if (cli.format() === 'json') printOne(report, 'json')
      else printReport(report, cli.format())
      const { length } = report.findings
      if (!report.is_sound) throw new ApiError(`${length} ${length === 1 ? 'thing is' : 'things are'} wrong`)
    })
}

function printReport(report: NetworkReportView, format: OutputFormat): void {
  if (format === 'value') {
    printList(report.findings, [['About', 'about'], ['Finding', 'message']], format) // prettier-ignore
    return
  }
  const interfaces = report.interfaces.map((one) => ({ ...one, addresses: one.addresses.join(' ') }))
  printList(
    interfaces,
    [
      ['Interface', 'name'],
      ['State', 'state'],
      ['MAC', 'mac'],
      ['Addresses', 'addresses'],
    ],
    format,
  )
  printLine('')
  printList(
    report.subnets.map(subnetRow),
    [
      ['Subnet', 'cidr'],
      ['Mode', 'mode'],
      ['Our address', 'address'],
      ['Reached', 'reached'],
      ['Other DHCP servers', 'others'],
    ],
    format,
  )
  printLine('')
  printList(
    report.sockets.map((one) => ({ ...one, socket: `udp ${one.address}:${one.port}` })),
    [
      ['Socket', 'socket'],
      ['Lost datagrams', 'drops'],
    ],
    format,
  )
  for (const { about, message } of report.findings) printLine(`\n${about}: ${message}`)
}

interface SubnetRow {
  readonly cidr: string
  readonly mode: string
  readonly address: string
  readonly reached: string
  readonly others: string
}

function subnetRow({
  cidr,
  mode,
  address,
  relayed,
  other_servers,
  relays,
}: NetworkReportView['subnets'][number]): SubnetRow {
  const others = other_servers?.map(({ server, offered }) =>
    offered === null ? `${server} (proxy)` : server,
  )
  return {
    cidr,
    mode,
    address,
    reached: relayed ? `by relay ${relays.join(' ') || '(none heard)'}` : 'on its segment',
    others: others === undefined ? 'not asked' : others.join(' ') || 'none',
  }
}

import type { Command } from 'commander'
import { API_PREFIX, type LeaseView } from '../api/schema.js'
import type { Cli } from './cli-context.js'
import { printList, type Columns } from './output.js'

const COLUMNS: Columns<LeaseView> = [
  ['IP', 'ip'],
  ['MAC', 'mac'],
  ['Client id', 'client_id'],
  ['Machine', 'machine'],
  ['Server', 'server'],
  ['State', 'state'],
  ['Expires', 'expires_at'],
]

/** `ingot lease ...` */
export function leaseCommands(program: Command, cli: Cli): void {
  const lease = program.command('lease').description('addresses given by DHCP')
  lease
    .command('list')
    .description('all, also those that ended and whose address nobody has needed since')
    .action(async () => {
      const { leases } = await cli.api().call<{ leases: LeaseView[] }>('GET', `${API_PREFIX}/leases`)
      printList(leases, COLUMNS, cli.format())
    })
}

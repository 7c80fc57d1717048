import { InvalidArgumentError, type Command } from 'commander'
import { API_PREFIX, type MachineView } from '../api/schema.js'
import type { Cli } from './cli-context.js'
import { printList, printOne, type Columns } from './output.js'

interface AddOptions {
  readonly mac: string[]
  readonly ip: string[]
  readonly firmware: string
  readonly bmc?: string
  readonly bmcCredentialsFile?: string
  readonly consoleFile?: string
  readonly loader?: string
  readonly circuitId?: string
  readonly remoteId?: string
}

interface SetOptions {
  readonly loader?: string | false
  readonly circuitId?: string
  readonly remoteId?: string
  readonly switchPort?: false
}

interface Row {
  readonly name: string
  readonly firmware: string
  readonly mac: string
  readonly ip: string
  readonly server: string | null
}

const COLUMNS: Columns<Row> = [
  ['Name', 'name'],
  ['Firmware', 'firmware'],
  ['MAC', 'mac'],
  ['IP', 'ip'],
  ['Server', 'server'],
]

/** `ingot machine ...` */
export function machineCommands(program: Command, cli: Cli): void {
  const machine = program.command('machine').description('physical machines')
  machine
    .command('add <name>')
    .description('enrol a machine; repeat --mac and --ip for more NICs, the one that boots first')
    .requiredOption('--mac <mac...>', 'MAC address')
    .requiredOption('--ip <ip...>', 'fixed IPv4 address')
    .option('--firmware <kind>', 'bios or uefi', 'bios')
    .option('--bmc <url>', 'redfish://HOST:PORT/redfish/v1/Systems/ID')
    .option('--bmc-credentials-file <file>', 'file with user:password, read by the daemon')
    .option('--console-file <file>', 'file that its serial console is logged to')
    .option('--loader <file>', 'its own loader instead of the one for its firmware')
    .option('--circuit-id <id>', 'switch port of the first NIC (DHCP option 82.1): text, or hex after 0x')
    .option('--remote-id <id>', 'switch of the first NIC (option 82.2): text, or hex after 0x')
    .action(async (name: string, options: AddOptions) => {
      const body = {
        name,
        firmware: options.firmware,
        nics: nicsOf(options),
        bmc_url: options.bmc,
        bmc_credentials_file: options.bmcCredentialsFile,
        console_file: options.consoleFile,
        loader: options.loader,
      }
      printOne(await cli.api().call<MachineView>('POST', `${API_PREFIX}/machines`, body), cli.format())
    })
  setCommand(machine, cli)
  machine.command('list').action(async () => {
    const { machines } = await cli.api().call<{ machines: MachineView[] }>('GET', `${API_PREFIX}/machines`)
    if (cli.format() === 'json') printOne(machines, 'json')
    else printList(machines.map(rowOf), COLUMNS, cli.format())
  })
  machine.command('show <machine>').action(async (id: string) => {
    printOne(await cli.api().call<MachineView>('GET', cli.path('machines', id)), cli.format())
  })
  machine.command('delete <machine...>').action(async (ids: string[]) => {
    for (const id of ids) await cli.api().call('DELETE', cli.path('machines', id))
  })
}

function nicsOf(options: AddOptions): object[] {
  return options.mac.map((mac, i) => {
    return { mac, ip: options.ip[i], ...(i === 0 && { switch_port: switchPort(options) }) }
  })
}

function setCommand(machine: Command, cli: Cli): void {
  machine
    .command('set <machine>')
    .description('change how a machine boots')
    .option('--loader <file>', 'a file of the loader directories, for every firmware the machine may have')
    .option('--no-loader', 'the one of the loader table for the firmware that asks')
    .option('--circuit-id <id>', 'switch port of the first NIC (DHCP option 82.1): text, or hex after 0x')
    .option('--remote-id <id>', 'switch of the first NIC (option 82.2): text, or hex after 0x')
    .option('--no-switch-port', 'known by MAC alone')
    .action(async (id: string, options: SetOptions) => {
      const port = options.switchPort === false ? null : switchPort(options)
      if (options.loader === undefined && port === undefined) {
        throw new InvalidArgumentError('something to set is needed: see --help.')
      }
      const body = { loader: options.loader === false ? null : options.loader, switch_port: port }
      printOne(await cli.api().call<MachineView>('PATCH', cli.path('machines', id), body), cli.format())
    })
}

function switchPort({
  circuitId: circuit_id,
  remoteId: remote_id,
}: Pick<AddOptions, 'circuitId' | 'remoteId'>):
  { circuit_id: string | undefined; remote_id: string | undefined } | undefined {
  return circuit_id === undefined && remote_id === undefined ? undefined : { circuit_id, remote_id }
}

function rowOf(machine: MachineView): Row {
  return {
    name: machine.name,
    firmware: machine.firmware,
    mac: machine.nics.map((nic) => nic.mac).join(' '),
    ip: machine.nics.map((nic) => nic.ip ?? '-').join(' '),
    server: machine.server,
  }
}

import { InvalidArgumentError, Option, type Command } from 'commander'
import { API_PREFIX, type MachineView } from '../api/schema.js'
import type { Cli } from './cli-context.js'
import { printList, printOne, type Columns } from './output.js'

interface AddOptions {
  readonly mac?: string[]
  readonly ip?: string[]
  readonly nic?: string[]
  readonly inic?: string
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
  readonly nic?: string[]
  readonly role?: string
  readonly addNic?: string[]
  readonly removeNic?: string[]
  readonly inic?: string
}

interface Row {
  readonly name: string
  readonly firmware: string
  readonly mac: string
  readonly ip: string
  readonly server: string | null
}

const INIC = new Option('--inic <kind>', 'how the root disk comes: over a NIC, or by a card').choices([
  'nic',
  'card',
])

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
  addCommand(machine, cli)
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

function addCommand(machine: Command, cli: Cli): void {
  machine
    .command('add <name>')
    .description('enrol a machine; its NICs in order, the one that boots first')
    .option('--nic <nic...>', 'MAC[,ip=ADDRESS][,role=tenant|storage]')
    .option('--mac <mac...>', 'MAC address, short for --nic')
    .option('--ip <ip...>', 'fixed IPv4 address of the NIC in the same place of --mac')
    .addOption(INIC)
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
        inic: options.inic,
      }
      printOne(await cli.api().call<MachineView>('POST', `${API_PREFIX}/machines`, body), cli.format())
    })
}

function nicsOf(options: AddOptions): object[] {
  const short = (options.mac ?? []).map((mac, i) => ({ mac, ip: options.ip?.[i] }))
  const [first, ...others] = [...short, ...(options.nic ?? []).map(toNic)]
  if (first === undefined) throw new InvalidArgumentError('a machine has a NIC: give --nic or --mac.')
  return [{ ...first, switch_port: switchPort(options) }, ...others]
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
    .option('--nic <mac...>', 'the NICs that get the role')
    .option('--add-nic <nic...>', 'MAC[,ip=ADDRESS][,role=tenant|storage], after those it has')
    .option('--remove-nic <mac...>', 'any but the first, which firmware boots from')
    .addOption(new Option('--role <role>', 'of the NICs').choices(['tenant', 'storage']))
    .addOption(INIC)
    .action(async (id: string, options: SetOptions) => {
      const port = options.switchPort === false ? null : switchPort(options)
      const body = {
        loader: options.loader === false ? null : options.loader,
        switch_port: port,
        nics: rolesOf(options),
        add_nics: options.addNic?.map(toNic),
        remove_nics: options.removeNic,
        inic: options.inic,
      }
      if (Object.values(body).every((value) => value === undefined))
        throw new InvalidArgumentError('something to set is needed: see --help.')
      printOne(await cli.api().call<MachineView>('PATCH', cli.path('machines', id), body), cli.format())
    })
}

function rolesOf({ nic, role }: SetOptions): object[] | undefined {
  if (nic === undefined && role === undefined) return undefined
  if (nic === undefined || role === undefined) throw new InvalidArgumentError('--nic and --role go together.')
  return nic.map((mac) => ({ mac, role }))
}

/** `MAC[,ip=ADDRESS][,role=ROLE]`; the daemon checks the values. */
function toNic(text: string): Record<string, string | undefined> {
  const [mac, ...rest] = text.split(',')
  const nic: Record<string, string | undefined> = { mac }
  for (const pair of rest) {
    const [, field, value] = /^(ip|role)=(.+)$/.exec(pair) ?? []
    if (field === undefined)
      throw new InvalidArgumentError(`--nic: expected MAC[,ip=ADDRESS][,role=tenant|storage], got ${text}.`)
    nic[field] = value
  }
  return nic
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
    ip: machine.nics.map((nic) => nic.ip ?? nic.role).join(' '),
    server: machine.server,
  }
}

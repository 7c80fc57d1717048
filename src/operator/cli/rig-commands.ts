import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { RIG_FIRMWARES, type RigFirmware, type RigMachineOptions } from '../../rig/plan.js'
import { rigDown, rigStatus, rigUp, type RigMachineStatus } from '../../rig/rig.js'
import type { Cli } from './cli-context.js'
import { printList, printOne, type Columns } from './output.js'

interface UpOptions {
  readonly name: string
  readonly dir: string
  readonly machines: string
  readonly tenantNics: string
  readonly firmware: RigFirmware
  readonly secureBoot: boolean
  readonly memory: string
  readonly inic: 'nic' | 'card'
  readonly nbdSocket: string
}

interface Row {
  readonly name: string
  readonly mac: string
  readonly firmware: string
  readonly powerState: string
  readonly bmcUrl: string
}

const COLUMNS: Columns<Row> = [
  ['Machine', 'name'],
  ['MAC', 'mac'],
  ['Firmware', 'firmware'],
  ['Power', 'powerState'],
  ['BMC', 'bmcUrl'],
]

/** `ingot rig ...`: QEMU machines with virtual BMCs on a bridge of their own; no daemon has a part in it. */
export function rigCommands(program: Command, cli: Cli): void {
  const rig = program.command('rig').description('QEMU machines in a private network namespace')
  upCommand(rig, cli)
  rig
    .command('status')
    .option('--dir <directory>', 'of the rig', './rig')
    .action(async ({ dir }: { dir: string }) => {
      const status = await rigStatus(resolve(dir))
      if (cli.format() === 'json') printOne(status, 'json')
      else printList(status.machines.map(rowOf), COLUMNS, cli.format())
    })
  rig
    .command('down')
    .description('power everything off and leave nothing behind')
    .option('--dir <directory>', 'of the rig', './rig')
    .action(({ dir }: { dir: string }) => rigDown(resolve(dir)))
}

function upCommand(rig: Command, cli: Cli): void {
  rig
    .command('up')
    .description('make the namespace and its machines, powered off')
    .option('--name <name>', 'names the namespace', 'rig')
    .option('--dir <directory>', 'where its files go', './rig')
    .option('--machines <count>', 'how many', '2')
    .option(
      '--tenant-nics <count>',
      'of each machine, on a bridge of their own beside the one it boots from',
      '0',
    )
    .addOption(new Option('--firmware <kind>').choices(RIG_FIRMWARES).default('bios'))
    .option('--secure-boot', 'the same as --firmware uefi-secure', false)
    .option('--memory <MiB>', 'of each machine', '1024')
    .addOption(
      new Option('--inic <kind>', 'how the system disk comes: a boot NIC, or a card that shows local disks')
        .choices(['nic', 'card'])
        .default('nic'),
    )
    .option('--nbd-socket <file>', 'behind the cards', '/run/ingot/nbd.sock')
    .action(async (options: UpOptions) => {
      const machines = machinesOf(options)
      const segment = { address: '198.18.0.1', prefixLength: 24, redfishPort: 8000 }
      printOne(
        await rigUp({ name: options.name, dir: resolve(options.dir), machines, ...segment }),
        cli.format(),
      )
    })
}

function machinesOf(options: UpOptions): RigMachineOptions[] {
  const card = options.inic === 'card' ? { cardSocket: resolve(options.nbdSocket) } : {}
  return Array.from({ length: Number(options.machines) }, (_, i) => ({
    name: `m${i + 1}`,
    nics: Array.from({ length: 1 + Number(options.tenantNics) }, (_, nic) => ({
      mac: [0x52, 0x54, 0, 0xb0, 7 + nic, i + 1].map((byte) => byte.toString(16).padStart(2, '0')).join(':'),
      segment: nic === 0 ? 'storage' : 'tenant',
    })),
    firmware: options.secureBoot ? 'uefi-secure' : options.firmware,
    memoryMib: Number(options.memory),
    cpus: 2,
    ...card,
  }))
}

function rowOf({ nics, ...machine }: RigMachineStatus): Row {
  return { ...machine, mac: nics.map(({ mac }) => mac).join(' ') }
}

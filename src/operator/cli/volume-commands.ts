import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import {
  API_PREFIX,
  type JobView,
  type VolumeCheck,
  type VolumeMapView,
  type VolumeVerdict,
  type VolumeView,
} from '../api/schema.js'
import { ApiError } from './api-client.js'
import type { Cli } from './cli-context.js'
import { printList, printOne, type Columns } from './output.js'
import { toBytes } from './size.js'
import { waitForJob } from './wait.js'

const COLUMNS: Columns<VolumeView> = [
  ['Name', 'name'],
  ['Kind', 'kind'],
  ['Size (bytes)', 'size_bytes'],
  ['Own bytes', 'allocated_bytes'],
  ['Server', 'server'],
  ['LUN', 'lun'],
  ['Image', 'image'],
]
type Extent = VolumeMapView['extents'][number]
const MAP_COLUMNS: Columns<Extent> = [
  ['Offset', 'offset'],
  ['Length', 'length'],
  ['Of', 'of'],
  ['Layer', 'layer'],
]
const VERDICT_COLUMNS: Columns<VolumeVerdict['layers'][number]> = [
  ['Image', 'image'],
  ['Damaged chunks', 'damaged_chunks'],
]

const CHECK_COLUMNS: Columns<VolumeCheck['layers'][number]> = [
  ['Of', 'of'],
  ['Problems', 'problems'],
  ['Own bytes', 'allocated_bytes'],
  ['Held bytes', 'held_bytes'],
  ['Layer', 'layer'],
]

interface ExportOptions {
  readonly nbd?: string
  readonly writable?: boolean
  readonly stop?: boolean
}

/** `ingot volume ...` */
export function volumeCommands(program: Command, cli: Cli): void {
  const volume = program.command('volume').description('disks: system disks of servers, and data disks')
  lifeCommands(volume, cli)
  changeCommands(volume, cli)
  reportCommands(volume, cli)
  exportCommand(volume, cli)
}

function lifeCommands(volume: Command, cli: Cli): void {
  volume
    .command('create <name>')
    .description('an empty data disk, or one that goes on from a snapshot')
    .option('--size <size>', 'bytes, or with K, M, G, T (10G)', toBytes)
    .option('--snapshot <snapshot>')
    .action(async (name: string, options: { size?: number; snapshot?: string }) => {
      const body = { name, size_bytes: options.size, snapshot: options.snapshot }
      printOne(await cli.api().call<VolumeView>('POST', `${API_PREFIX}/volumes`, body), cli.format())
    })
  volume.command('list').action(async () => {
    const { volumes } = await cli.api().call<{ volumes: VolumeView[] }>('GET', `${API_PREFIX}/volumes`)
    printList(volumes, COLUMNS, cli.format())
  })
  volume.command('show <volume>').action(async (id: string) => {
    printOne(await cli.api().call<VolumeView>('GET', cli.path('volumes', id)), cli.format())
  })
  volume.command('delete <volume...>').action(async (ids: string[]) => {
    for (const id of ids) await cli.api().call('DELETE', cli.path('volumes', id))
  })
}

function changeCommands(volume: Command, cli: Cli): void {
  volume
    .command('grow <volume>')
    .description('make it larger, under a running server too')
    .requiredOption('--size <size>', 'bytes, or with K, M, G, T (20G)', toBytes)
    .action(async (id: string, { size }: { size: number }) => {
      const path = cli.path('volumes', id, 'grow')
      printOne(await cli.api().call<VolumeView>('POST', path, { size_bytes: size }), cli.format())
    })
  volume
    .command('rollback <volume> <snapshot>')
    .description('back to what it held at a snapshot; its server is shut off')
    .action(async (id: string, snapshot: string) => {
      const path = cli.path('volumes', id, 'rollback')
      printOne(await cli.api().call<VolumeView>('POST', path, { snapshot }), cli.format())
    })
  volume
    .command('flatten <volume>')
    .description('copy all that its image and snapshots hold into it')
    .action(async (id: string) => {
      const { job } = await cli.api().call<{ job: JobView }>('POST', cli.path('volumes', id, 'flatten'))
      await waitForJob(cli.api(), job)
    })
}

function reportCommands(volume: Command, cli: Cli): void {
  volume
    .command('check <volume>')
    .description('check the files of its layers; nobody may be using it')
    .action(async (id: string) => {
      const check = await cli.api().call<VolumeCheck>('POST', cli.path('volumes', id, 'check'))
      if (cli.format() === 'json') printOne(check, 'json')
      else printList(check.layers, CHECK_COLUMNS, cli.format())
      if (!check.is_sound) throw new ApiError(`volume ${id} is damaged`)
    })
  volume
    .command('verify <volume>')
    .description('read the images under it again and compare them with their digests')
    .action(async (id: string) => {
      const verdict = await cli.api().call<VolumeVerdict>('POST', cli.path('volumes', id, 'verify'))
      if (cli.format() === 'json') printOne(verdict, 'json')
      else printList(verdict.layers, VERDICT_COLUMNS, cli.format())
      if (!verdict.matches) throw new ApiError(`an image under volume ${id} is not what was imported`)
    })
  volume
    .command('map <volume>')
    .description('which layer shows which part of it')
    .action(async (id: string) => {
      printList(await wholeMap(cli, id), MAP_COLUMNS, cli.format())
    })
}

function exportCommand(volume: Command, cli: Cli): void {
  volume
    .command('export <volume>')
    .description("serve it over NBD on a Unix socket of the daemon's host, until --stop")
    .addOption(new Option('--nbd <socket>', 'path of the socket, mode 0600').conflicts('stop'))
    .option('--writable', 'for one who is alone with it; read-only when left out')
    .option('--stop', 'end the export')
    .action(async (id: string, options: ExportOptions) => {
      const path = cli.path('volumes', id, 'nbd')
      if (options.stop === true) await cli.api().call('DELETE', path)
      else if (options.nbd === undefined)
        volume.error("error: one of '--nbd <socket>' and '--stop' is needed")
      else
        await cli
          .api()
          .call('POST', path, { socket: resolve(options.nbd), writable: options.writable ?? false })
    })
}

/** The parts of a map put together; an extent may go on in the next part. */
async function wholeMap(cli: Cli, id: string): Promise<Extent[]> {
  const extents: Extent[] = []
  let offset: number | null = 0
  while (offset !== null) {
    const path = `${cli.path('volumes', id, 'map')}?offset=${offset}`
    const part: VolumeMapView = await cli.api().call<VolumeMapView>('GET', path)
    for (const extent of part.extents) {
      const last = extents.at(-1)
      if (last?.layer === extent.layer)
        extents[extents.length - 1] = { ...last, length: last.length + extent.length }
      else extents.push(extent)
    }
    offset = part.next_offset
  }
  return extents
}

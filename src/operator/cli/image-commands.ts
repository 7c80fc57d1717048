import { resolve } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { API_PREFIX, type ImageVerdict, type ImageView, type JobView } from '../api/schema.js'
import { ApiError } from './api-client.js'
import type { Cli } from './cli-context.js'
import { fixCommand, inspectionCommand } from './inspection-command.js'
import { printList, printOne, type Columns } from './output.js'
import { waitForJob } from './wait.js'

interface ImportOptions {
  readonly name: string
  readonly osType: string
  readonly osVersion?: string
  readonly requireBootable?: boolean
}

interface SetOptions {
  readonly name?: string
  readonly osType?: string
  readonly osVersion?: string
  readonly property?: string[]
  readonly removeProperty?: string[]
}

const COLUMNS: Columns<ImageView> = [
  ['Name', 'name'],
  ['Status', 'status'],
  ['Size (bytes)', 'size_bytes'],
  ['OS', 'os_version'],
  ['ID', 'id'],
]

/** `ingot image ...` */
export function imageCommands(program: Command, cli: Cli): void {
  const image = program.command('image').description('golden images')
  makingCommands(image, cli)
  image.command('list').action(async () => {
    const { images } = await cli.api().call<{ images: ImageView[] }>('GET', `${API_PREFIX}/images`)
    printList(images, COLUMNS, cli.format())
  })
  image.command('show <image>').action(async (id: string) => {
    printOne(await cli.api().call<ImageView>('GET', cli.path('images', id)), cli.format())
  })
  setCommand(image, cli)
  inspectionCommand(image, cli)
  fixCommand(image, cli)
  image
    .command('verify <image>')
    .description('read the whole disk again and compare it with its digest')
    .action(async (id: string) => {
      const verdict = await cli.api().call<ImageVerdict>('POST', cli.path('images', id, 'verify'))
      printOne(verdict, cli.format())
      if (!verdict.matches) throw new ApiError(`image ${id} is not what was imported`)
    })
  image.command('delete <image...>').action(async (ids: string[]) => {
    for (const id of ids) await cli.api().call('DELETE', cli.path('images', id))
  })
}

function makingCommands(image: Command, cli: Cli): void {
  image
    .command('import <file>')
    .description('import a raw or qcow2 file that the daemon can read')
    .requiredOption('--name <name>')
    .option('--os-type <type>', 'linux, windows or other', 'linux')
    .option('--os-version <version>')
    .option('--require-bootable', 'refuse what would not boot over iNIC')
    .action((file: string, options: ImportOptions) =>
      create(cli, { path: resolve(file), ...described(options) }),
    )
  image
    .command('build <recipe>')
    .description('build a bootable image from Debian packages (debian-12)')
    .option('--name <name>', 'defaults to the recipe')
    .option('--require-bootable', 'refuse what would not boot over iNIC')
    .action(
      (recipe: string, { name = recipe, requireBootable }: { name?: string; requireBootable?: boolean }) =>
        create(cli, { recipe, name, os_version: recipe, require_bootable: requireBootable }),
    )
}

function setCommand(image: Command, cli: Cli): void {
  image
    .command('set <image>')
    .description('change what is known of an image')
    .option('--name <new>')
    .option('--os-type <type>', 'linux, windows or other')
    .option('--os-version <version>')
    .option('--property <name=value...>', 'such as hw_firmware_type=uefi')
    .option('--remove-property <name...>')
    .action(async (id: string, options: SetOptions) => {
      const { property = [], removeProperty = [], name, osType, osVersion } = options
      const properties: Record<string, string | null> = Object.fromEntries<string | null>([
        ...property.map(toPair),
        ...removeProperty.map((each): [string, null] => [each, null]),
      ])
      const body = { name, os_type: osType, os_version: osVersion, properties }
      printOne(await cli.api().call<ImageView>('PATCH', cli.path('images', id), body), cli.format())
    })
}

function toPair(text: string): [name: string, value: string] {
  const at = text.indexOf('=')
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)]
  throw new InvalidArgumentError(`--property: expected NAME=VALUE, got ${text}.`)
}

function described({ name, osType, osVersion, requireBootable }: ImportOptions): NewImage {
  return { name, os_type: osType, os_version: osVersion, require_bootable: requireBootable }
}

type NewImage = Readonly<Record<string, string | boolean | undefined>>

async function create(cli: Cli, body: NewImage): Promise<void> {
  const begun = await cli.api().call<{ image: ImageView; job: JobView }>('POST', `${API_PREFIX}/images`, body)
  await waitForJob(cli.api(), begun.job)
  printOne(await cli.api().call<ImageView>('GET', cli.path('images', begun.image.id)), cli.format())
}

import { InvalidArgumentError, type Command } from 'commander'
import {
  API_PREFIX,
  type EventView,
  type ServerView,
  type TimelineView,
  type VolumeView,
} from '../api/schema.js'
import type { Cli } from './cli-context.js'
import { printLine, printList, printOne, type Columns } from './output.js'
import { seedBody, serverSetCommands, withSeedOptions, type SeedOptions } from './server-set-commands.js'
import { waitForReady } from './wait.js'

interface CreateOptions extends SeedOptions {
  readonly image: string
  readonly machine?: string
  readonly addressing: string
  readonly start?: boolean
}

interface WaitOptions {
  readonly wait?: boolean
  /** Seconds. */
  readonly timeout: number
}

const COLUMNS: Columns<ServerView> = [
  ['Name', 'name'],
  ['Status', 'status'],
  ['Machine', 'machine'],
  ['Image', 'image'],
  ['IP', 'ip'],
  ['Own bytes', 'volume_allocated_bytes'],
]
const STEP_COLUMNS: Columns<TimelineView['steps'][number]> = [
  ['Stage', 'stage'],
  ['At', 'at'],
  ['Took (ms)', 'took_ms'],
]
const EVENT_COLUMNS: Columns<EventView> = [
  ['At', 'at'],
  ['Stage', 'stage'],
  ['Kind', 'kind'],
  ['Message', 'message'],
]

/** `ingot server ...` */
export function serverCommands(program: Command, cli: Cli): void {
  const server = program.command('server').description('servers: machines with a disk of their own')
  createCommand(server, cli)
  serverSetCommands(server, cli)
  powerCommands(server, cli)
  rescueCommand(server, cli)
  diskCommands(server, cli)
  server.command('list').action(async () => {
    const { servers } = await cli.api().call<{ servers: ServerView[] }>('GET', `${API_PREFIX}/servers`)
    printList(servers, COLUMNS, cli.format())
  })
  server.command('show <server>').action(async (id: string) => {
    printOne(await cli.api().call<ServerView>('GET', cli.path('servers', id)), cli.format())
  })
  server.command('delete <server...>').action(async (ids: string[]) => {
    for (const id of ids) await cli.api().call('DELETE', cli.path('servers', id))
  })
  server
    .command('timeline <server>')
    .description('the stages of the latest boot')
    .action(async (id: string) => {
      const timeline = await cli.api().call<TimelineView>('GET', cli.path('servers', id, 'timeline'))
      if (cli.format() === 'json') printOne(timeline, 'json')
      else printList(timeline.steps, STEP_COLUMNS, cli.format())
    })
  server.command('console <server>').action(async (id: string) => {
    const { output } = await cli.api().call<{ output: string }>('GET', cli.path('servers', id, 'console'))
    printLine(output)
  })
  server
    .command('events <server>')
    .description('what happened, oldest first')
    .action(async (id: string) => {
      const { events } = await cli
        .api()
        .call<{ events: EventView[] }>('GET', cli.path('servers', id, 'events'))
      printList(events, EVENT_COLUMNS, cli.format())
    })
}

function createCommand(server: Command, cli: Cli): void {
  withSeedOptions(withWait(server.command('create <name>')))
    .description('clone an image for a machine')
    .requiredOption('--image <image>')
    .option('--machine <machine>', 'a free one is taken when left out')
    .option('--addressing <how>', 'dhcp or static', 'dhcp')
    .option('--start', 'power the machine on')
    .action(async (name: string, options: CreateOptions & WaitOptions) => {
      const body = {
        name,
        image: options.image,
        machine: options.machine,
        ...(await seedBody(options)),
        addressing: options.addressing,
      }
      const created = await cli.api().call<ServerView>('POST', `${API_PREFIX}/servers`, body)
      if (options.start === true) await cli.api().call('POST', cli.path('servers', created.id, 'start'))
      if (options.start === true && options.wait === true)
        await waitForReady(cli.api(), name, timeoutMs(options))
      printOne(await cli.api().call<ServerView>('GET', cli.path('servers', created.id)), cli.format())
    })
}

function powerCommands(server: Command, cli: Cli): void {
  withWait(server.command('start <server>')).action(async (id: string, options: WaitOptions) => {
    await cli.api().call('POST', cli.path('servers', id, 'start'))
    if (options.wait === true) await waitForReady(cli.api(), id, timeoutMs(options))
  })
  server
    .command('stop <server>')
    .option('--force', 'cut the power')
    .action(async (id: string, options: { force?: boolean }) => {
      await cli.api().call('POST', cli.path('servers', id, 'stop'), { force: options.force ?? false })
    })
  withWait(server.command('reboot <server>'))
    .option('--force', 'reset the machine')
    .action(async (id: string, options: WaitOptions & { force?: boolean }) => {
      await cli.api().call('POST', cli.path('servers', id, 'reboot'), { force: options.force ?? false })
      if (options.wait === true) await waitForReady(cli.api(), id, timeoutMs(options))
    })
}

function rescueCommand(server: Command, cli: Cli): void {
  server
    .command('rescue <server>')
    .description('ask at the console what to boot, at the next boot only; then reboot or start it')
    .option('--cancel', 'boot as always after all')
    .action(async (id: string, { cancel = false }: { cancel?: boolean }) => {
      await cli.api().call('POST', cli.path('servers', id, 'rescue'), { cancel })
    })
}

function diskCommands(server: Command, cli: Cli): void {
  server
    .command('attach <server> <volume>')
    .description('show it a data disk, at once when it runs')
    .action(async (id: string, volume: string) => {
      const path = cli.path('servers', id, 'attach')
      printOne(await cli.api().call<VolumeView>('POST', path, { volume }), cli.format())
    })
  server
    .command('detach <server> <volume>')
    .description('take a data disk from it, at once: unmount it there first')
    .action(async (id: string, volume: string) => {
      await cli.api().call('POST', cli.path('servers', id, 'detach'), { volume })
    })
}

function withWait(command: Command): Command {
  return command
    .option('--wait', 'until the server is ready, showing each stage')
    .option('--timeout <seconds>', 'longest wait', toSeconds, 600)
}

function timeoutMs(options: WaitOptions): number {
  return options.timeout * 1000
}

function toSeconds(text: string): number {
  if (/^[0-9]{1,6}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number of seconds.')
}

import type { Command } from 'commander'
import { API_PREFIX, type JobView, type SnapshotView } from '../api/schema.js'
import type { Cli } from './cli-context.js'
import { printList, printOne, type Columns } from './output.js'
import { waitForJob } from './wait.js'

const COLUMNS: Columns<SnapshotView> = [
  ['Name', 'name'],
  ['Volume', 'volume'],
  ['Status', 'status'],
  ['Size (bytes)', 'size_bytes'],
  ['Own bytes', 'allocated_bytes'],
  ['Created', 'created_at'],
]

/** `ingot snapshot ...` */
export function snapshotCommands(program: Command, cli: Cli): void {
  const snapshot = program.command('snapshot').description('what a volume held at one moment')
  snapshot
    .command('create <volume> <name>')
    .description('take one, under a running server too')
    .option('--wait', 'until it is available')
    .action(async (volume: string, name: string, options: { wait?: boolean }) => {
      const path = `${API_PREFIX}/snapshots`
      const begun = await cli.api().call<{ job: JobView }>('POST', path, { volume, name })
      if (options.wait === true) await waitForJob(cli.api(), begun.job)
      await show(cli, name)
    })
  snapshot.command('list').action(async () => {
    const { snapshots } = await cli
      .api()
      .call<{ snapshots: SnapshotView[] }>('GET', `${API_PREFIX}/snapshots`)
    printList(snapshots, COLUMNS, cli.format())
  })
  snapshot.command('show <snapshot>').action((id: string) => show(cli, id))
  snapshot
    .command('delete <snapshot...>')
    .description('give back what only it holds, under a running server too')
    .action(async (ids: string[]) => {
      for (const id of ids) {
        const { job } = await cli.api().call<{ job: JobView }>('DELETE', cli.path('snapshots', id))
        await waitForJob(cli.api(), job)
      }
    })
}

async function show(cli: Cli, id: string): Promise<void> {
  printOne(await cli.api().call<SnapshotView>('GET', cli.path('snapshots', id)), cli.format())
}

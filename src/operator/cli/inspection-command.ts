import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { InspectionView } from '../api/inspection-schema.js'
import { API_PREFIX, type ImageView, type JobView } from '../api/schema.js'
import { ApiError } from './api-client.js'
import type { Cli } from './cli-context.js'
import { printLine, printOne } from './output.js'
import { waitForJob } from './wait.js'

const VERDICT = {
  inic: 'boots over iNIC',
  local: 'boots from a local disk, but not over iNIC as it is',
  none: 'does not boot',
} as const satisfies Record<InspectionView['verdict'], string>

/** `ingot image inspect` */
export function inspectionCommand(image: Command, cli: Cli): void {
  image
    .command('inspect <image-or-file>')
    .description('look inside a disk: what it has, what it lacks, and whether it boots over iNIC')
    .action(async (given: string) => {
      const inspection = await inspect(cli, given)
      if (cli.format() === 'table') printInspection(inspection)
      else printOne(inspection, cli.format())
      if (inspection.verdict !== 'inic') throw new ApiError(`${given} ${VERDICT[inspection.verdict]}`)
    })
}

/** `ingot image fix` */
export function fixCommand(image: Command, cli: Cli): void {
  image
    .command('fix <image>')
    .description('make another image that has what this one lacks')
    .requiredOption('--name <name>', 'of the new image')
    .option('--apply <rules>', 'rules as inspect names them, apart by commas', 'all')
    .action(async (id: string, { name, apply }: { name: string; apply: string }) => {
      const rules = apply === 'all' ? {} : { apply: apply.split(',') }
      const path = cli.path('images', id, 'fix')
      const begun = await cli.api().call<{ image: ImageView; job: JobView }>('POST', path, { name, ...rules })
      await waitForJob(cli.api(), begun.job)
      printOne(await cli.api().call<ImageView>('GET', cli.path('images', begun.image.id)), cli.format())
    })
}

/** An image's name has no slash. */
function inspect(cli: Cli, given: string): Promise<InspectionView> {
  if (given.includes('/') || /\.(raw|img|qcow2)$/.test(given))
    return cli.api().call('POST', `${API_PREFIX}/images/inspect`, { path: resolve(given) })
  return cli.api().call('POST', cli.path('images', given, 'inspect'))
}

function printInspection({ verdict, findings, facts }: InspectionView): void {
  const width = Math.max(...Object.keys(facts).map(({ length }) => length))
  for (const [name, words] of Object.entries(facts)) printLine(`${name.padEnd(width)}  ${words}`)
  for (const { rule, seen, remedy, is_fixable: isFixable } of findings) {
    printLine(`\n${rule}: ${seen}`)
    printLine(`  remedy: ${remedy}${isFixable ? ' (ingot image fix does it)' : ''}`)
  }
  printLine(`\n${VERDICT[verdict]}`)
}

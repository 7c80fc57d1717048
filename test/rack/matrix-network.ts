// `npm run matrix -- network [--jobs N] [ROW...]`: acceptance b and c of the network, a guest for each row.
import { parseArgs } from 'node:util'
import { rigStatus } from '../../src/rig/rig.js'
import { buildImage } from '../../src/rootdisk/image/build.js'
import { reasonForNoGuest } from './guest.js'
import { startPartner } from './matrix/link-partner.js'
import { MatrixGuest } from './matrix/matrix-guest.js'
import { checkRestore } from './matrix/restore-rows.js'
import { RowLog } from './matrix/row-log.js'
import { ROWS, type Row } from './matrix/rows.js'
import { ADVERTISED, CACHE_DIR, Stand, type StandMachine } from './stand.js'

const { log } = console
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { jobs: { type: 'string', default: '2' }, keep: { type: 'boolean', default: false } },
})
const SUBNETS = `[subnet]\ncidr = "198.18.0.0/24"\nrouter = "198.18.0.1"\ndns = ["198.18.0.1"]\n${ADVERTISED}`

interface Place {
  readonly stand: Stand
  readonly row: Row
  readonly machine: StandMachine
}

/** All, or those that are named, in that order. */
function rowsAsked(): readonly Row[] {
  if (positionals.length === 0) return ROWS
  return positionals.map((name) => {
    const row = ROWS.find((known) => known.name === name)
    if (row !== undefined) return row
    log(`no row ${name}; there are: ${ROWS.map((known) => known.name).join(' ')}`)
    return process.exit(2)
  })
}

async function tryRow({ stand, row, machine }: Place, told: RowLog): Promise<void> {
  const guest = new MatrixGuest(stand, row, machine, told)
  await guest.create()
  await guest.start()
  await guest.checkNetwork('after the first boot')
  if (row.isRestored) {
    await checkRestore(guest)
  } else {
    await guest.reboot()
    await guest.checkNetwork('after a reboot')
  }
  await guest.stop()
}

/** @returns whether everything was as it must be */
async function runRow(place: Place): Promise<boolean> {
  const { stand, row, machine } = place
  const told = new RowLog(row.name)
  const partner = row.partner && (await startPartner(stand, row.partner, await wiresOf(stand, machine)))
  try {
    await tryRow(place, told)
  } catch (err) {
    told.failures.push(err instanceof Error ? err.message : String(err))
  } finally {
    await stand.ingot('server', 'stop', `s-${machine.name}`, '--force').catch(() => undefined)
    await partner?.stop()
  }
  const isGood = told.failures.length === 0
  log(`${isGood ? 'ok' : 'NOT OK'} ${row.name}: ${row.recipe}, ${row.firmware}, ${told.seconds} s`)
  for (const failure of told.failures) log(`  ${failure}`)
  return isGood
}

async function wiresOf(stand: Stand, { name }: StandMachine): Promise<readonly string[]> {
  const { machines } = await rigStatus(stand.rigDir)
  const nics = machines.find((machine) => machine.name === name)?.nics ?? []
  return nics.filter(({ segment }) => segment === 'wire').map(({ tap }) => tap)
}

async function runAll(places: readonly Place[]): Promise<readonly boolean[]> {
  const waiting = [...places]
  const results: boolean[] = []
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      results.push(await runRow(next))
  }
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker))
  return results
}

async function main(rows: readonly Row[]): Promise<number> {
  const recipes = [...new Set(rows.map(({ recipe }) => recipe))]
  // packages come over the network, which the stand's namespace has not: the daemon in it finds the result
  for (const recipe of recipes) {
    log(`building the image ${recipe}, or finding it in the cache`)
    await buildImage(recipe, { cacheDir: CACHE_DIR, onProgress: (stage) => log(`  ${stage}`) })
  }
  const wishes = rows.map(({ firmware, segments, inic, ip }) => {
    return { firmware, segments, inic, ...(ip !== undefined && { ip }) }
  })
  const stand = await Stand.make(`mx${process.pid}`, wishes)
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stand.tearDown().finally(() => process.exit(130)))
  let failed = rows.length
  try {
    await stand.configure({ subnets: SUBNETS })
    await stand.startDaemon()
    for (const recipe of recipes) await stand.ingot('image', 'build', recipe)
    const places = rows.map((row, i) => ({ stand, row, machine: machineOf(stand, i) }))
    failed = (await runAll(places)).filter((isGood) => !isGood).length
  } finally {
    const isKept = failed > 0 && values.keep
    await stand.tearDown(isKept)
    if (isKept) log(`kept for a look: ${stand.dir}`)
  }
  return failed
}

function machineOf(stand: Stand, index: number): StandMachine {
  const machine = stand.machines[index]
  if (machine === undefined) throw new Error('the stand has no such machine')
  return machine
}

const reason = reasonForNoGuest()
if (reason !== undefined) {
  log(`no guest can be started here: ${reason}`)
  process.exit(2)
}
const rows = rowsAsked()
const failed = await main(rows)
log(`${String(rows.length - failed)} passed, ${String(failed)} failed`)
process.exitCode = failed === 0 ? 0 : 1

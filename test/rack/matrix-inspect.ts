// `npm run matrix -- inspect [--jobs N] [ROW...]`: acceptance f. Images are judged, twelve broken ones are refused for
// what is broken in them, and those that can be fixed boot afterwards.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { CommandFailed, runCommand } from '../../src/command.js'
import type { InspectionView } from '../../src/operator/api/inspection-schema.js'
import type { ImageView } from '../../src/operator/api/schema.js'
import { buildImage } from '../../src/rootdisk/image/build.js'
import { inspectDisk } from '../../src/rootdisk/image/inspect/inspect-disk.js'
import { isEsp } from '../../src/rootdisk/image/inspect/partition-table.js'
import { reasonForNoGuest } from './guest.js'
import { VARIANTS, type Copy, type Variant } from './matrix/broken-images.js'
import { canMake, SAMPLES, type Sample } from './matrix/good-images.js'
import { RowLog } from './matrix/row-log.js'
import { CACHE_DIR, Stand, type StandMachine } from './stand.js'

const { log } = console
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'no-boot': { type: 'boolean', default: false } },
})
/** What variants are copies of. */
const BUILT = 'debian-12'
const MACHINES = [{ firmware: 'bios' }, { firmware: 'uefi' }] as const

/** A recipe's image, how it must be judged, and the firmware and user of a boot that no other test has seen. */
interface BuiltImage {
  readonly recipe: string
  readonly verdict: string
  readonly rules: readonly string[]
  readonly boots?: { readonly firmware: string; readonly user: string }
}

const GOOD = { verdict: 'inic', rules: [] }
const BUILT_IMAGES: readonly BuiltImage[] = [
  { ...GOOD, recipe: BUILT },
  { ...GOOD, recipe: 'debian-12-networkd' },
  { ...GOOD, recipe: 'debian-12-networkmanager' },
  { ...GOOD, recipe: 'debian-12-ifupdown' },
  { ...GOOD, recipe: 'debian-12-storage' },
  { ...GOOD, recipe: 'debian-12-stock' },
  { ...GOOD, recipe: 'debian-11', boots: { firmware: 'bios', user: 'debian' } },
  { ...GOOD, recipe: 'ubuntu-like', boots: { firmware: 'uefi', user: 'ubuntu' } },
  // its init reads no seed, and its modules are in the initramfs alone
  { recipe: 'tiny', verdict: 'local', rules: ['cloud-init', 'kernel-flavour'] },
]

interface Row {
  readonly name: string
  /** The image that it needs. */
  readonly recipe?: string
  readonly run: (stand: Stand, told: RowLog, scratch: string) => Promise<void>
}

const ROWS: readonly Row[] = [
  ...BUILT_IMAGES.map((image) => ({ name: image.recipe, recipe: image.recipe, run: judgeBuilt(image) })),
  ...SAMPLES.filter(canMake).map((sample) => ({ name: sample.name, run: judgeSample(sample) })),
  ...VARIANTS.map((variant) => ({ name: variant.name, recipe: BUILT, run: tryVariant(variant) })),
]

function judgeBuilt(wanted: BuiltImage): Row['run'] {
  return async (stand, told) => {
    const name = `built-${wanted.recipe}`
    await stand.ingot('image', 'build', wanted.recipe, '--name', name)
    const image = await stand.ingotJson<ImageView>('image', 'show', name)
    equal(told, 'the recorded property boot', image.properties['boot'], wanted.verdict)
    equal(told, 'the recorded property hw_firmware_type', image.properties['hw_firmware_type'], 'both')
    expectJudged(told, await inspected(stand, name), wanted)
    if (wanted.boots !== undefined && !values['no-boot'])
      await boot(stand, told, { image: name, ...wanted.boots })
  }
}

function judgeSample(sample: Sample): Row['run'] {
  return async (stand, told, scratch) => {
    const found = await inspected(stand, sample.make(scratch))
    expectJudged(told, found, sample)
    match(told, 'its facts', JSON.stringify(found.facts, undefined, 1), sample.facts)
  }
}

function tryVariant(variant: Variant): Row['run'] {
  return async (stand, told, scratch) => {
    const path = await brokenCopy(variant, scratch)
    const name = `broken-${variant.name}`
    if (variant.name === 'duplicate-machine-id') await stand.ingot('image', 'import', path, '--name', 'twin')
    const found = await inspected(stand, path)
    expectJudged(told, found, variant)
    match(told, 'what was seen', found.findings.map(({ seen }) => seen).join('; '), variant.seen)
    await expectRefused(stand, told, path)
    if (variant.boots === undefined) return
    await stand.ingot('image', 'import', path, '--name', name)
    await rm(path)
    const before = await stand.ingotJson<ImageView>('image', 'show', name)
    await stand.ingot('image', 'fix', name, '--name', `fixed-${variant.name}`)
    told.step('fixed')
    const fixed = await stand.ingotJson<ImageView>('image', 'show', `fixed-${variant.name}`)
    equal(told, 'the verdict after fix', fixed.properties['boot'], 'inic')
    await stand.ingot('image', 'verify', name)
    equal(
      told,
      'the digest of the image that was fixed',
      (await stand.ingotJson<ImageView>('image', 'show', name)).sha256,
      before.sha256,
    )
    if (!values['no-boot']) await boot(stand, told, { image: fixed.name, firmware: variant.boots })
  }
}

async function boot(
  stand: Stand,
  told: RowLog,
  { image, firmware, user }: { image: string; firmware: string; user?: string },
): Promise<void> {
  const machine = stand.machines.find((one) => one.firmware === firmware)
  if (machine === undefined) throw new Error(`no machine with ${firmware}`)
  const server = 'inspected'
  const key = ['--ssh-key', join(stand.dir, 'key.pub')]
  await stand.ingot('server', 'create', server, '--image', image, '--machine', machine.name, ...key)
  try {
    await stand.ingot('server', 'start', server, '--wait', '--timeout', '900')
    told.step('ready')
    await expectOwnIdentity(stand, told, machine, user)
  } finally {
    await stand.ingot('server', 'stop', server, '--force').catch(() => undefined)
    await stand.ingot('server', 'delete', server)
  }
}

async function expectOwnIdentity(
  stand: Stand,
  told: RowLog,
  { ip }: StandMachine,
  user?: string,
): Promise<void> {
  const script = 'lsblk -ndo TRAN $(findmnt -no SOURCE / | sed s/[0-9]*$//); hostname; cat /etc/machine-id'
  const said = await stand.ssh(ip, script, undefined, user)
  match(told, 'its root, name and machine-id', said, /^iscsi\ninspected\n(?!0123456789abcdef)[0-9a-f]{32}$/m)
}

/** An import that asks for it is refused, and leaves no image. */
async function expectRefused(stand: Stand, told: RowLog, path: string): Promise<void> {
  const words = await failure(stand.ingot('image', 'import', path, '--name', 'refused', '--require-bootable'))
  match(told, 'an import with --require-bootable', words, /would not boot over iNIC|is refused/)
  const images = await stand.ingotJson<ImageView[]>('image', 'list')
  equal(told, 'images left by it', images.filter(({ name }) => name === 'refused').length, 0)
}

interface Expected {
  readonly verdict: string
  readonly rules: readonly string[]
}

function expectJudged(told: RowLog, found: InspectionView, { verdict, rules }: Expected): void {
  equal(told, 'the verdict', found.verdict, verdict)
  equal(
    told,
    'the rules',
    found.findings
      .map(({ rule }) => rule)
      .sort()
      .join(' '),
    [...rules].sort().join(' '),
  )
}

/** What `ingot image inspect` prints; its status is 1 unless the verdict is `inic`. */
async function inspected(stand: Stand, what: string): Promise<InspectionView> {
  try {
    const { stdout } = await stand.ingot('-o', 'json', 'image', 'inspect', what)
    return JSON.parse(stdout) as InspectionView
  } catch (err) {
    if (!(err instanceof CommandFailed) || !err.message.includes('status 1') || err.result.stdout === '')
      throw err
    return JSON.parse(err.result.stdout) as InspectionView
  }
}

function equal(told: RowLog, what: string, found: unknown, wanted: unknown): void {
  told.check(what, found === wanted, `${String(found)} instead of ${String(wanted)}`)
}

function match(told: RowLog, what: string, found: string, wanted: RegExp): void {
  told.check(what, wanted.test(found), found)
}

async function failure(running: Promise<unknown>): Promise<string> {
  try {
    await running
    return 'it did not fail'
  } catch (err) {
    return err instanceof Error ? err.message : String(err)
  }
}

async function brokenCopy(variant: Variant, scratch: string): Promise<string> {
  const built = await buildImage(BUILT, { cacheDir: CACHE_DIR })
  const path = join(scratch, 'disk.raw')
  await runCommand('cp', ['--sparse=always', '--reflink=auto', built.path, path], { timeoutMs: 600_000 })
  const { sizeBytes, table } = await inspectDisk({ path, sizeBytes: 4096 * 1024 * 1024, scratchDir: scratch })
  const esp = table.partitions.find(isEsp)
  const copy: Copy = {
    path,
    scratch,
    espOffset: esp?.startBytes ?? sizeBytes,
    rootOffset: built.rootOffsetBytes,
  }
  await variant.damage(copy)
  return path
}

async function runRow(stand: Stand, row: Row): Promise<boolean> {
  const told = new RowLog(row.name)
  const scratch = await mkdtemp(join(tmpdir(), 'ingot-matrix-inspect-'))
  await mkdir(scratch, { recursive: true })
  try {
    await row.run(stand, told, scratch)
  } catch (err) {
    told.failures.push(err instanceof Error ? err.message : String(err))
  } finally {
    await rm(scratch, { recursive: true, force: true })
    for (const image of [`built-${row.name}`, `broken-${row.name}`, `fixed-${row.name}`, 'twin'])
      await stand.ingot('image', 'delete', image).catch(() => undefined)
  }
  const isGood = told.failures.length === 0
  log(`${isGood ? 'ok' : 'NOT OK'} ${row.name}: ${told.seconds} s`)
  for (const text of told.failures) log(`  ${text}`)
  return isGood
}

async function main(rows: readonly Row[]): Promise<number> {
  for (const recipe of new Set(rows.flatMap((row) => row.recipe ?? []))) {
    log(`building the image ${recipe}, or finding it in the cache`)
    await buildImage(recipe, { cacheDir: CACHE_DIR, onProgress: (stage) => log(`  ${stage}`) })
  }
  const stand = await Stand.make(`mi${process.pid}`, MACHINES)
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stand.tearDown().finally(() => process.exit(130)))
  let failed = 0
  try {
    await stand.startDaemon()
    await stand.enrol()
    for (const row of rows) if (!(await runRow(stand, row))) failed++
  } finally {
    await stand.tearDown()
  }
  return failed
}

const reason = reasonForNoGuest()
const rows = positionals.length === 0 ? ROWS : ROWS.filter(({ name }) => positionals.includes(name))
if (reason !== undefined || rows.length < positionals.length) {
  log(
    reason === undefined
      ? `there are: ${ROWS.map(({ name }) => name).join(' ')}`
      : `no guest can be started here: ${reason}`,
  )
  process.exit(2)
}
const failed = await main(rows)
log(`${String(rows.length - failed)} passed, ${String(failed)} failed`)
process.exitCode = failed === 0 ? 0 : 1

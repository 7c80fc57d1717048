import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { systemClock } from '../../src/clock.js'
import { CommandFailed, runCommand } from '../../src/command.js'
import type { LunSpec, TargetSpec } from '../../src/rootdisk/export.js'
import { IscsiPortal } from '../../src/rootdisk/iscsi/portal.js'
import { createLayer } from '../../src/rootdisk/volume/layer.js'
import { openVolume } from '../../src/rootdisk/volume/open-volume.js'
import { hostBootId } from '../../src/wiring/host-boot-id.js'
import { LUN, lunFor, mistakeOf, skipReason } from './suite-exceptions.js'

const PROGRAM = '/usr/bin/iscsi-test-cu'
const INITIATOR_IQN = 'iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-test'
const TEST_TIMEOUT_MS = 25_000
const SIZE_BYTES = 1 << 30

/** Whether libiscsi's suite (Debian: libiscsi-bin) is installed. */
export const hasSuite = existsSync(PROGRAM)

/** How one test of the suite ended, and what it said about that. */
export interface SuiteResult {
  readonly test: string
  readonly outcome: 'passed' | 'failed' | 'skipped'
  /** '' when it passed. */
  readonly reason: string
}

/** Which tests are run, and how. */
export interface SuiteOptions {
  /** Tests whose name (`ALL.Family.Test`) matches. */
  readonly wanted: RegExp
  /** The tests have two paths to the LUN. */
  readonly hasTwoPaths: boolean
  /** Tests at a time; each has a LUN of its own. */
  readonly jobs: number
  readonly onResult?: (result: SuiteResult) => void
}

/** Runs libiscsi's suite test by test against fresh thin volumes behind the portal. */
export async function runSuite(options: SuiteOptions): Promise<SuiteResult[]> {
  const directory = mkdtempSync(join(tmpdir(), 'ingot-suite-'))
  try {
    const targets = await Promise.all(
      Array.from({ length: options.jobs }, (_, i) => thinTarget(directory, i)),
    )
    const portal = await serve(targets)
    try {
      const names = (await listTests()).filter((name) => options.wanted.test(name))
      const results: SuiteResult[] = []
      const work = targets.map(async ({ iqn }) => {
        const target = `iscsi://127.0.0.1:${String(portal.port)}/${iqn}`
        for (let name = names.shift(); name !== undefined; name = names.shift()) {
          const result = judge(await runTest(name, target, options.hasTwoPaths), options.hasTwoPaths)
          results.push(result)
          options.onResult?.(result)
        }
      })
      await Promise.all(work)
      return results
    } finally {
      await portal.stop()
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function serve(targets: readonly TargetSpec[]): Promise<IscsiPortal> {
  const portal = new IscsiPortal(
    { host: '127.0.0.1', port: 0 },
    {
      targets: { find: (iqn) => targets.find((target) => target.iqn === iqn), list: () => targets },
      emit: () => undefined,
      clock: systemClock,
      log: pino({ level: 'warn' }, pino.destination(2)),
    },
  )
  await portal.start((cause) => {
    throw cause
  })
  return portal
}

/** A target with three empty volumes: as volumes are, with physical blocks of 512 bytes, and read-only. */
async function thinTarget(directory: string, number: number): Promise<TargetSpec> {
  const name = `suite-${String(number)}`
  const [layersDir, runDir] = [join(directory, name, 'layers'), join(directory, name, 'run')]
  mkdirSync(layersDir, { recursive: true })
  mkdirSync(runDir)
  const luns = Object.values(LUN).map(async (lun): Promise<LunSpec> => {
    const layer = { layerId: `${name}-${String(lun)}`, sizeBytes: SIZE_BYTES }
    const isReadOnly = lun === LUN.READ_ONLY
    await createLayer({ layersDir }, layer)
    return {
      lun,
      naa: `30000000000000${String(number)}${String(lun)}`,
      serial: layer.layerId,
      physicalBlockBytes: lun === LUN.SMALL_BLOCKS ? 512 : 4096,
      open: () => openVolume({ layersDir, runDir, bootId: hostBootId(), chain: [layer], isReadOnly }),
    }
  })
  return {
    iqn: `iqn.2026-01.example:${name}`,
    initiatorIqn: INITIATOR_IQN,
    chap: undefined,
    luns: await Promise.all(luns),
  }
}

async function listTests(): Promise<string[]> {
  const { stdout } = await runCommand(PROGRAM, ['--list'], { timeoutMs: 10_000 })
  return stdout.split('\n').filter((line) => /^ALL\.\w+\.[\w-]+$/.test(line))
}

async function runTest(test: string, target: string, hasTwoPaths: boolean): Promise<SuiteResult> {
  const mistake = mistakeOf(test)
  if (mistake !== undefined) return { test, outcome: 'skipped', reason: mistake }
  const url = `${target}/${String(lunFor(test))}`
  // Both initiators of the suite have the one name that the target lets in; their ISIDs differ.
  const args = ['-d', '-S', '-v', '-V', '-I', INITIATOR_IQN, '-t', test, url]
  if (hasTwoPaths) args.push(url)
  try {
    const { stdout, stderr } = await runCommand(PROGRAM, args, { timeoutMs: TEST_TIMEOUT_MS })
    return resultOf(test, stdout + stderr)
  } catch (err) {
    if (!(err instanceof CommandFailed)) throw err
    return resultOf(test, err.result.stdout + err.result.stderr, err.message) // status 1: a test failed
  }
}

/** A skip is right only for a reason that we state. */
function judge(result: SuiteResult, hasTwoPaths: boolean): SuiteResult {
  const { test, outcome, reason } = result
  if (outcome !== 'skipped' || mistakeOf(test) !== undefined) return result
  const excuse = skipReason(test, hasTwoPaths)
  if (excuse === undefined) return { test, outcome: 'failed', reason: `skipped unexpectedly: ${reason}` }
  return { test, outcome, reason: excuse }
}

/** Of what a test prints only the totals and the lines that say SKIPPED or FAILED are stable. */
function resultOf(test: string, text: string, how = ''): SuiteResult {
  const failures = /tests\s+\d+\s+\d+\s+\d+\s+(\d+)/.exec(text)?.[1]
  if (failures === undefined)
    return { test, outcome: 'failed', reason: `${how.slice(0, 80)} ${lastLines(text)}` }
  if (failures !== '0')
    return { test, outcome: 'failed', reason: matching(text, /FAILED|\d+\. .*\.c:\d+/, 3) }
  const isSkipped = text.includes('SKIPPED')
  return {
    test,
    outcome: isSkipped ? 'skipped' : 'passed',
    reason: isSkipped ? matching(text, /SKIPPED/, 1) : '',
  }
}

function matching(text: string, wanted: RegExp, atMost: number): string {
  const lines = text.split('\n').filter((line) => wanted.test(line))
  return lines
    .slice(0, atMost)
    .map((line) => line.trim())
    .join(' | ')
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-3).join(' | ')
}

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { TimelineView } from '../../src/operator/api/schema.js'
import { reasonForNoGuest, seconds } from './guest.js'
import { makeProofDisk } from './proof-disk.js'
import { has, until, type Stand, type StandMachine } from './stand.js'

/** What a disk in the target says when it is booted. */
export const PROOF = 'INGOT-BOOT-OK'
/** A guest of one core needs 5 to 30 s here; a busy host makes it minutes. */
const BOOT_LIMIT_MS = 180_000
const IMAGE = 'proof'

/** Why firmware cannot be tried here with these tools; undefined when it can. */
export function reasonForNoFirmware(...tools: string[]): string | undefined {
  const needed = ['sgdisk', 'mkfs.vfat', 'mcopy', 'grub-mkimage', ...tools]
  const missing = needed.find((tool) => !has(tool))
  return reasonForNoGuest() ?? (missing === undefined ? undefined : `no ${missing}`)
}

/** Imports the proof disk and gives every machine a server of its own name with a clone of it. */
export async function createServers(stand: Stand): Promise<void> {
  const disk = join(stand.dir, 'proof.raw')
  await makeProofDisk(disk, PROOF)
  await stand.ingot('image', 'import', disk, '--name', IMAGE)
  await stand.enrol()
  for (const { name } of stand.machines) {
    await stand.ingot('server', 'create', `s-${name}`, '--image', IMAGE, '--machine', name)
  }
}

/**
 * Powers a machine on, waits until its console says `proof`, and powers it off.
 * @returns the boot's timeline as it is then
 */
export async function bootsTo(
  t: Test,
  stand: Stand,
  { name, firmware }: StandMachine,
  proof = PROOF,
): Promise<TimelineView> {
  const file = join(stand.rigDir, name, 'console.log')
  const before = await readFile(file, 'latin1').catch(() => '')
  const beganMs = performance.now()
  await stand.ingot('server', 'start', `s-${name}`)
  const said = async (): Promise<string> => (await readFile(file, 'latin1')).slice(before.length)
  try {
    await until(`${firmware} says ${proof}`, BOOT_LIMIT_MS, async () => (await said()).includes(proof))
  } catch (err) {
    t.comment((await said()).slice(-4000))
    throw err
  }
  t.pass(`${firmware} booted its disk in ${seconds(beganMs)} s`)
  const timeline = await stand.ingotJson<TimelineView>('server', 'timeline', `s-${name}`)
  t.comment(stepsOf(timeline))
  await stand.ingot('server', 'stop', `s-${name}`, '--force')
  return timeline
}

/** The stages that a boot reached, in order. */
export function stagesOf({ steps }: TimelineView): readonly string[] {
  return steps.filter(({ at }) => at !== null).map(({ stage }) => stage)
}

function stepsOf({ steps }: TimelineView): string {
  const seen = steps.filter(({ at }) => at !== null)
  return seen.map(({ stage, took_ms }) => `${stage} +${(took_ms ?? 0) / 1000} s`).join(', ')
}

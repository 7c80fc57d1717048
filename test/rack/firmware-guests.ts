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

/** Enrols all machines, imports the proof disk, and gives each (or each of `owners`) a server with a clone of it. */
export async function createServers(stand: Stand, owners = stand.machines): Promise<void> {
  const disk = join(stand.dir, 'proof.raw')
  await makeProofDisk(disk, PROOF)
  await stand.ingot('image', 'import', disk, '--name', IMAGE)
  await stand.enrol()
  for (const { name } of owners) {
    await stand.ingot('server', 'create', `s-${name}`, '--image', IMAGE, '--machine', name)
  }
}

/**
 * Powers a machine on, waits until its console says {@link PROOF}, and powers it off.
 * @returns the boot's timeline as it is then
 */
export async function bootsTo(
  t: Test,
  stand: Stand,
  { name, firmware }: StandMachine,
): Promise<TimelineView> {
  const beganMs = performance.now()
  await says(t, { stand, name }, PROOF, () => stand.ingot('server', 'start', `s-${name}`))
  t.pass(`${firmware} booted its disk in ${seconds(beganMs)} s`)
  const timeline = await stand.ingotJson<TimelineView>('server', 'timeline', `s-${name}`)
  t.comment(stepsOf(timeline))
  await stand.ingot('server', 'stop', `s-${name}`, '--force')
  return timeline
}

/** Waits until a machine's console says `proof`, after `begin`. */
export async function says(
  t: Test,
  { stand, name }: { readonly stand: Stand; readonly name: string },
  proof: string,
  begin: () => Promise<unknown>,
): Promise<void> {
  const file = join(stand.rigDir, name, 'console.log')
  const before = await readFile(file, 'latin1').catch(() => '')
  await begin()
  const said = async (): Promise<string> => (await readFile(file, 'latin1')).slice(before.length)
  try {
    await until(`${name} says ${proof}`, BOOT_LIMIT_MS, async () => (await said()).includes(proof))
  } catch (err) {
    t.comment((await said()).slice(-4000))
    throw err
  }
}

/** The stages that a boot reached, in order. */
export function stagesOf({ steps }: TimelineView): readonly string[] {
  return steps.filter(({ at }) => at !== null).map(({ stage }) => stage)
}

function stepsOf({ steps }: TimelineView): string {
  const seen = steps.filter(({ at }) => at !== null)
  return seen.map(({ stage, took_ms }) => `${stage} +${(took_ms ?? 0) / 1000} s`).join(', ')
}

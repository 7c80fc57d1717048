import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { STAGES } from '../../src/events.js'
import type { EventView, ServerView, TimelineView } from '../../src/operator/api/schema.js'
import { DIST, isAlive, until, type Stand, type StandMachine } from './stand.js'

const SYNC_LIMIT_SECONDS = 60
// QEMU's NIC for a BIOS carries iPXE itself: it asks for the script at once, no loader is fetched
const FIRMWARE_STAGES = STAGES.filter((stage) => stage !== 'loader')

/** A machine of a stand and the server on it. */
export interface Guest {
  readonly stand: Stand
  readonly name: string
  readonly machine: StandMachine
}

/** One run of `guest-writes.py` in a guest. */
export interface Writes {
  readonly name: string
  /** Its file system is the one that is tried. */
  readonly folder: string
}

/** Writes to the system disk. */
export const ROOT_WRITES: Writes = { name: 'root', folder: '/var/lib/ingot-writes' }

/** Why no guest can be started here; undefined when one can. */
export function reasonForNoGuest(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  if (spawnSync('qemu-system-x86_64', ['--version']).status !== 0) return 'no qemu-system-x86_64'
  if (spawnSync('ip', ['netns', 'list']).status !== 0) return 'no network namespaces'
  if (!existsSync(join(DIST, 'ingotd.js'))) return 'not built: npm run build'
  return undefined
}

/** Why a guest's longer test is left out. */
export function reasonForNoLongTest(): string | undefined {
  return process.env['INGOT_FULL'] === '1' ? reasonForNoGuest() : 'minutes long: npm run test:full'
}

/** Seconds since a time of `performance.now()`. */
export function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1)
}

/** What a shell script prints in the guest, trimmed; the script ends at its first failing command. */
export async function inGuest(
  { stand, machine }: Guest,
  script: string,
  timeoutMs?: number,
): Promise<string> {
  return (await stand.ssh(machine.ip, `set -euo pipefail\n${script}`, timeoutMs)).trim()
}

/** Enrols the stand's machines and makes the guest's server from an image of that recipe. */
export async function create(t: Test, guest: Guest, recipe: string, ...options: string[]): Promise<void> {
  const { stand, name, machine } = guest
  await stand.ingot('image', 'build', recipe)
  await stand.enrol()
  const argv = ['--image', recipe, '--machine', machine.name, '--ssh-key', join(stand.dir, 'key.pub')]
  const created = await stand.ingotJson<ServerView>('server', 'create', name, ...argv, ...options)
  t.comment(`the clone took ${created.clone_ms} ms`)
}

/** Powers the machine on and waits until the server is ready. */
export async function start(t: Test, { stand, name }: Guest): Promise<void> {
  const beganMs = performance.now()
  await stand.ingot('server', 'start', name, '--wait', '--timeout', '600')
  t.comment(`ready ${seconds(beganMs)} s after the start`)
  const timeline = await stand.ingotJson<TimelineView>('server', 'timeline', name)
  const seen = timeline.steps.filter((step) => step.at !== null)
  t.comment(seen.map((step) => `${step.stage} +${(step.took_ms ?? 0) / 1000} s`).join(', '))
  t.strictSame(
    seen.map((step) => step.stage),
    FIRMWARE_STAGES,
    'the timeline has every stage that this firmware takes',
  )
  t.equal(timeline.status, 'ACTIVE', 'the server is ACTIVE')
}

/** The server's events, oldest first. */
export function eventsOf({ stand, name }: Guest): Promise<readonly EventView[]> {
  return stand.ingotJson<EventView[]>('server', 'events', name)
}

/** Kills a process and waits for its end. */
export async function kill(pid: number, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
  process.kill(pid, signal)
  await until(`process ${pid} is gone`, 30_000, () => Promise.resolve(!isAlive(pid)))
}

/** Begins to write files and to sync them, until {@link stopWriting}. */
export async function startWriting(guest: Guest, { name, folder }: Writes = ROOT_WRITES): Promise<void> {
  const script = await readFile(join(import.meta.dirname, 'guest-writes.py'), 'utf8')
  await inGuest(
    guest,
    `cat >/run/writes.py <<'PYTHON'\n${script}\nPYTHON
     touch /run/writes.${name}.times
     systemd-run --quiet --unit=ingot-writes-${name} python3 /run/writes.py ${name} ${folder}`,
  )
}

/** Waits, in one login, until each of `writes` has synced `more` files. */
export async function untilMoreSynced(guest: Guest, more: number, writes = [ROOT_WRITES]): Promise<void> {
  await inGuest(
    guest,
    `for name in ${writes.map(({ name }) => name).join(' ')}; do
       times=/run/writes.$name.times
       wanted=$(($(wc -l <$times) + ${more}))
       end=$((SECONDS + ${SYNC_LIMIT_SECONDS}))
       until [ $(wc -l <$times) -ge $wanted ]; do
         [ $SECONDS -lt $end ] || { echo "$name: no ${more} files in ${SYNC_LIMIT_SECONDS} s" >&2; exit 1; }
         sleep 0.1
       done
     done`,
  )
}

/** Stops the writing. @returns the pauses between synced files in seconds, longest first, and the files' count */
export async function stopWriting(
  guest: Guest,
  { name }: Writes = ROOT_WRITES,
): Promise<{ files: number; pauses: readonly number[] }> {
  const text = await inGuest(
    guest,
    `touch /run/writes.${name}.stop
     while systemctl -q is-active ingot-writes-${name}; do sleep 0.2; done
     cat /run/writes.${name}.times`,
  )
  const times = text.split('\n').map(Number)
  const pauses = times.slice(1).map((at, i) => at - (times[i] ?? at))
  return { files: times.length, pauses: pauses.sort((a, b) => b - a) }
}

/** Every synced file of that many is what was written, read from the disk again. */
export async function verify(
  t: Test,
  guest: Guest,
  files: number,
  { name, folder }: Writes = ROOT_WRITES,
): Promise<void> {
  const answer = await inGuest(
    guest,
    `sync; echo 3 >/proc/sys/vm/drop_caches
     sha256sum --check --strict --quiet ${folder}/manifest 2>&1 | tail -5 || true
     wc -l <${folder}/manifest`,
    600_000,
  )
  t.equal(answer, String(files), `${name}: every synced file is what was written, read from the disk again`)
}

/** What the guest's kernel says of disks that failed or file systems that gave up. */
export async function diskErrors(guest: Guest): Promise<readonly string[]> {
  const bad =
    /I\/O error|EXT4-fs (error|warning)|XFS .*(error|shut.?down|corrupt)|remount.*read-only|Aborting journal|offline/i
  return (await inGuest(guest, 'dmesg')).split('\n').filter((line) => bad.test(line))
}

/** Whether the file systems at those mount points are still writable. */
export async function proveWritable(t: Test, guest: Guest, ...mountPoints: string[]): Promise<void> {
  for (const at of mountPoints)
    t.match(await inGuest(guest, `findmnt -no OPTIONS ${at}`), /^rw,/, `${at} is still writable`)
}

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCommand } from '../../src/command.js'
import { STAGES } from '../../src/events.js'
import type { EventView, ServerView, TimelineView } from '../../src/operator/api/schema.js'
import { buildImage } from '../../src/rootdisk/image/build.js'
import { CACHE_DIR, DIST, isAlive, Stand, until, type StandMachine } from './stand.js'

// The whole chain in one boot, for a boot is most of a minute without KVM: a machine's firmware, our DHCP, loader and
// script, our iSCSI target with a clone, cloud-init with our seed; then what the guest sees of our processes' deaths.
const LIMIT_MS = 900_000
const DEAD_MS = 5000
const WRITER = 'guest-writes.py'
// QEMU's NIC for a BIOS carries iPXE itself: it asks for the script at once, no loader is fetched
const FIRMWARE_STAGES = STAGES.filter((stage) => stage !== 'loader')
const USER_DATA = `#cloud-config
write_files:
  - path: /etc/ingot-guest
    content: user data ran
`

function reasonToSkip(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  if (spawnSync('qemu-system-x86_64', ['--version']).status !== 0) return 'no qemu-system-x86_64'
  if (spawnSync('ip', ['netns', 'list']).status !== 0) return 'no network namespaces'
  if (!existsSync(join(DIST, 'ingotd.js'))) return 'not built: npm run build'
  return undefined
}

const reason = reasonToSkip()
const note = reason === undefined ? '' : ` (skipped: ${reason})`

t.setTimeout(LIMIT_MS)

/** The guest under test. */
interface Guest {
  readonly stand: Stand
  readonly name: string
  readonly machine: StandMachine
}

const seconds = (sinceMs: number): string => ((performance.now() - sinceMs) / 1000).toFixed(1)

async function boot(t: Test, { stand, name, machine }: Guest): Promise<void> {
  await stand.startDaemon()
  await stand.ingot('image', 'build', 'debian-12')
  await stand.enrol()
  const userData = join(stand.dir, 'user-data')
  await writeFile(userData, USER_DATA)
  const argv = ['--image', 'debian-12', '--machine', machine.name, '--user-data', userData]
  const created = await stand.ingotJson<ServerView>(
    ...['server', 'create', name, ...argv, '--ssh-key', join(stand.dir, 'key.pub')],
  )
  t.comment(`the clone took ${created.clone_ms} ms`)
  await start(t, { stand, name, machine })
}

async function start(t: Test, { stand, name }: Guest): Promise<void> {
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

async function proveWhatItIs(t: Test, { stand, name, machine }: Guest): Promise<void> {
  const facts = await stand.ssh(
    machine.ip,
    `lsblk -S -n -o HCTL,TRAN | grep ':0 ' | tr -s ' '
     lsblk -n -s -o TRAN "$(findmnt -no SOURCE /)" | tr -d ' \n'; echo
     hostname
     cat /etc/ingot-guest
     cloud-init status --wait`,
  )
  const [disk = '', root = '', host, userData, cloudInit = ''] = facts.split('\n')
  t.match(disk, /:0 iscsi/, 'LUN 0 is an iSCSI disk')
  t.equal(root, 'iscsi', 'the root file system is on it')
  t.equal(host, name, 'the host name is the server name')
  t.equal(userData, 'user data ran', 'the user data ran')
  t.match(cloudInit, /status: done/, 'cloud-init is done')
}

async function startWriting({ stand, machine }: Guest): Promise<void> {
  const script = await readFile(join(import.meta.dirname, WRITER), 'utf8')
  await stand.ssh(
    machine.ip,
    `cat >/root/writes.py <<'PYTHON'\n${script}\nPYTHON
     systemd-run --quiet --unit=ingot-writes python3 /root/writes.py`,
  )
}

/** How many files the guest knows to be safe on its disk; reads no disk of the guest's. */
async function countSynced({ stand, machine }: Guest): Promise<number> {
  return Number(await stand.ssh(machine.ip, 'cat /run/writes.times 2>/dev/null | wc -l', 30_000))
}

async function untilMoreSynced(guest: Guest, more: number): Promise<number> {
  const before = await countSynced(guest)
  let now = before
  await until(`${more} more files are synced`, 60_000, async () => {
    now = await countSynced(guest)
    return now >= before + more
  })
  return now - before
}

async function kernelErrors({ stand, machine }: Guest): Promise<string> {
  return stand.ssh(machine.ip, 'dmesg --level=emerg,alert,crit,err')
}

async function kill(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL')
  await until(`process ${pid} is gone`, 5000, () => Promise.resolve(!isAlive(pid)))
}

async function loseTheControlPlane(t: Test, guest: Guest): Promise<void> {
  const { stand, name } = guest
  const targetPid = await stand.targetPid()
  const errors = await kernelErrors(guest)
  await kill(stand.daemonPid)
  await t.rejects(stand.ingot('server', 'list'), 'nobody answers')
  const written = await untilMoreSynced(guest, 20)
  t.comment(`${written} files were synced with ingotd dead`)
  t.equal(await kernelErrors(guest), errors, 'the guest kernel saw no error')
  await stand.startDaemon()
  t.equal(await stand.targetPid(), targetPid, 'the new ingotd found the ingot-targetd that runs')
  t.equal(
    (await stand.ingotJson<ServerView>('server', 'show', name)).status,
    'ACTIVE',
    'the server is ACTIVE',
  )
}

async function loseTheDataPlane(t: Test, guest: Guest): Promise<void> {
  const { stand, name } = guest
  // ingotd would bring the target back at once: let it be somebody else's for this
  await kill(stand.daemonPid)
  await stand.setTargetManaged(false)
  await stand.startDaemon()
  const events = (await eventsOf(stand, name)).length
  await untilMoreSynced(guest, 5)
  const killedMs = performance.now()
  await kill(await stand.targetPid())
  await new Promise((resolve) => setTimeout(resolve, DEAD_MS))
  await stand.startTarget()
  t.comment(`ingot-targetd was dead for ${seconds(killedMs)} s until its start`)
  t.ok((await untilMoreSynced(guest, 20)) >= 20, 'the guest goes on writing')
  await until('ingotd hears of the new login', 10_000, async () =>
    (await eventsOf(stand, name)).slice(events).some((event) => event.kind.startsWith('iscsi.')),
  )
}

function eventsOf(stand: Stand, name: string): Promise<readonly EventView[]> {
  return stand.ingotJson<EventView[]>('server', 'events', name)
}

async function proveNothingIsLost(t: Test, { stand, machine }: Guest): Promise<void> {
  await stand.ssh(
    machine.ip,
    'touch /run/writes.stop; while systemctl -q is-active ingot-writes; do sleep 1; done',
  )
  const times = (await stand.ssh(machine.ip, 'cat /run/writes.times')).trim().split('\n').map(Number)
  const gaps = times
    .slice(1)
    .map((at, i) => at - (times[i] ?? at))
    .sort((a, b) => b - a)
  t.comment(
    `the longest times between two synced files: ${gaps
      .slice(0, 3)
      .map((gap) => gap.toFixed(2))
      .join(', ')} s`,
  )
  t.ok((gaps[0] ?? 0) >= DEAD_MS / 1000 - 0.5, 'the writing stood still while ingot-targetd was dead')
  const log = await stand.ssh(machine.ip, 'dmesg')
  const bad = log
    .split('\n')
    .filter((line) =>
      /I\/O error|EXT4-fs (error|warning)|remount.*read-only|Aborting journal|offline/i.test(line),
    )
  t.strictSame(bad, [], 'the guest kernel saw no I/O error')
  t.match(await stand.ssh(machine.ip, 'findmnt -no OPTIONS /'), /^rw,/, 'root is still writable')
  await verify(t, { stand, machine }, times.length)
}

async function verify(
  t: Test,
  { stand, machine }: Pick<Guest, 'stand' | 'machine'>,
  least: number,
): Promise<void> {
  const answer = await stand.ssh(
    machine.ip,
    `sync; echo 3 >/proc/sys/vm/drop_caches
     sha256sum --check --strict --quiet /root/writes.manifest 2>&1 | tail -5
     wc -l </root/writes.manifest`,
  )
  t.equal(answer.trim(), String(least), 'every synced file is what was written, read from the disk again')
}

async function shutDown(t: Test, { stand, name }: Guest): Promise<void> {
  const beganMs = performance.now()
  await stand.ingot('server', 'stop', name)
  t.comment(`the guest shut down in ${seconds(beganMs)} s`)
  const { status } = await stand.ingotJson<ServerView>('server', 'show', name)
  t.equal(status, 'SHUTOFF', 'the server is SHUTOFF')
}

async function startAgain(t: Test, guest: Guest, files: number): Promise<void> {
  await start(t, guest)
  await verify(t, guest, files)
}

function processesOf(dir: string): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return '' // ended meanwhile
      }
    })
    .filter((argv) => argv.includes(dir))
}

void t.test(
  `a guest boots from us and outlives the death of either daemon${note}`,
  { skip: reason !== undefined },
  async (t) => {
    t.setTimeout(LIMIT_MS)
    const beganMs = performance.now()
    // packages come over the network, which the namespace has not: the daemon in it finds the result
    await buildImage('debian-12', { cacheDir: CACHE_DIR })
    const stand = await Stand.make(`guest${process.pid}`, 1, 'bios')
    const [machine] = stand.machines
    if (machine === undefined) throw new Error('no machine')
    const guest = { stand, name: 'web1', machine }
    let isTornDown = false
    t.teardown(() => (isTornDown ? undefined : stand.tearDown(true)))

    await t.test('it boots its Debian, and is who it was created as', async (t) => {
      await boot(t, guest)
      await proveWhatItIs(t, guest)
      await startWriting(guest)
    })
    await t.test('it goes on writing while ingotd is dead', (t) => loseTheControlPlane(t, guest))
    await t.test('it stalls and goes on when ingot-targetd was dead for 5 s', (t) =>
      loseTheDataPlane(t, guest),
    )
    await t.test('nothing that it synced is lost', (t) => proveNothingIsLost(t, guest))
    const files = await countSynced(guest)
    await t.test('it shuts down when asked', (t) => shutDown(t, guest))
    const isLate = performance.now() - beganMs > LIMIT_MS / 2
    await t.test(
      `it starts again with its data${isLate ? ' (skipped: no time is left for another boot)' : ''}`,
      { skip: isLate },
      (t) => startAgain(t, guest, files),
    )

    await stand.tearDown()
    isTornDown = true
    t.strictSame(processesOf(stand.dir), [], 'no process is left')
    const { stdout } = await runCommand('ip', ['netns', 'list'], { timeoutMs: 5000 })
    t.notMatch(stdout, `ingot-${stand.name}`, 'no namespace is left')
    t.notOk(existsSync(stand.dir), 'no file is left')
  },
)

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/clock.js'
import { CommandFailed } from '../../src/command.js'
import { STAGES } from '../../src/events.js'
import type { EventView, ServerView, TimelineView, VolumeView } from '../../src/operator/api/schema.js'
import { TgtClient } from '../../src/rootdisk/target/tgt/tgt-client.js'
import { buildImage } from '../../src/rootdisk/image/build.js'
import { reasonWithoutTgtd, Tgtd } from '../fakes/tgtd.js'
import { ADDRESS, CACHE_DIR, DIST, Stand, until, type StandMachine } from './stand.js'

// One boot of a guest whose disks come from tgtd; `npm run test:full` does it, since it takes minutes without KVM.
const LIMIT_MS = 900_000
const PORT = 3260
const NAME = 'web1'
const FIRMWARE_STAGES = STAGES.filter((stage) => stage !== 'loader') // QEMU's NIC for a BIOS carries iPXE itself
const USER_DATA = `#cloud-config
write_files:
  - path: /etc/ingot-guest
    content: user data ran
`

function reasonToSkip(): string | undefined {
  if (process.env['INGOT_FULL'] !== '1') return 'INGOT_FULL is not 1: part of npm run test:full'
  if (spawnSync('qemu-system-x86_64', ['--version']).status !== 0) return 'no qemu-system-x86_64'
  if (spawnSync('ip', ['netns', 'list']).status !== 0) return 'no network namespaces'
  if (!existsSync(join(DIST, 'ingotd.js'))) return 'not built: npm run build'
  return reasonWithoutTgtd()
}

/** The guest under test. */
interface Guest {
  readonly stand: Stand
  readonly machine: StandMachine
  readonly tgtd: Tgtd
  readonly client: TgtClient
}

const reason = reasonToSkip()
const note = reason === undefined ? '' : ` (skipped: ${reason})`

t.setTimeout(LIMIT_MS)

async function makeGuest(): Promise<Guest> {
  const name = `tgt${process.pid}`
  const tgtd = await Tgtd.make({ address: ADDRESS, port: PORT, namespace: `ingot-${name}` })
  const target = ['driver = "tgt"', `tgt_socket = "${tgtd.socketPath}"`, `port = ${PORT}`]
  const stand = await Stand.make(name, [{ firmware: 'bios' }], { target })
  const [machine] = stand.machines
  if (machine === undefined) throw new Error('no machine')
  return { stand, machine, tgtd, client: new TgtClient(tgtd.socketPath, systemClock) }
}

const seconds = (sinceMs: number): string => ((performance.now() - sinceMs) / 1000).toFixed(1)

async function boot(t: Test, { stand, machine, tgtd }: Guest): Promise<void> {
  await tgtd.start()
  await stand.startDaemon()
  await stand.ingot('image', 'build', 'debian-12')
  await stand.enrol()
  const userData = join(stand.dir, 'user-data')
  await writeFile(userData, USER_DATA)
  const argv = ['--image', 'debian-12', '--machine', machine.name, '--user-data', userData]
  const createdMs = performance.now()
  await stand.ingot('server', 'create', NAME, ...argv, '--ssh-key', join(stand.dir, 'key.pub'))
  t.comment(`the server was made in ${seconds(createdMs)} s, its disk with it`)
  const beganMs = performance.now()
  await stand.ingot('server', 'start', NAME, '--wait', '--timeout', '600')
  t.comment(`ready ${seconds(beganMs)} s after the start`)
  const timeline = await stand.ingotJson<TimelineView>('server', 'timeline', NAME)
  const seen = timeline.steps.filter((step) => step.at !== null)
  t.comment(seen.map((step) => `${step.stage} +${(step.took_ms ?? 0) / 1000} s`).join(', '))
  t.strictSame(
    seen.map((step) => step.stage),
    FIRMWARE_STAGES,
    'the timeline has every stage',
  )
}

async function proveWhatItIs(t: Test, { stand, machine }: Guest): Promise<void> {
  const facts = await stand.ssh(
    machine.ip,
    `lsblk -S -n -o HCTL,TRAN,MODEL | tr -s ' ' | sort | tr '\\n' ';'; echo
     lsblk -n -s -o TRAN "$(findmnt -no SOURCE /)" | tr -d ' \\n'; echo
     hostname
     cat /etc/ingot-guest
     cloud-init status --wait`,
  )
  const [disks = '', root = '', host, userData, cloudInit = ''] = facts.split('\n')
  t.match(disks, /:1 iscsi volume/, 'LUN 1 is the system disk')
  t.match(disks, /:2 iscsi seed/, 'LUN 2 is the seed disk')
  t.equal(root, 'iscsi', 'the root file system is on it')
  t.equal(host, NAME, 'the host name is the server name')
  t.equal(userData, 'user data ran', 'the user data ran')
  t.match(cloudInit, /status: done/, 'cloud-init is done')
}

async function followsUnderIt(t: Test, { stand, machine }: Guest): Promise<void> {
  await stand.ingot('volume', 'create', 'data', '--size', '64M')
  await stand.ingot('server', 'attach', NAME, 'data')
  const found = await stand.ssh(
    machine.ip,
    `for host in /sys/class/iscsi_host/*; do echo '- - -' >/sys/class/scsi_host/$(basename $host)/scan; done
     udevadm settle; lsblk -S -n -b -o HCTL,SIZE | tr -s ' ' | grep ':3 '`,
  )
  t.match(found, /:3 67108864/, 'a data disk attached under the guest is LUN 3')
  const volumes = await stand.ingotJson<VolumeView[]>('volume', 'list')
  t.match(
    volumes.find(({ name }) => name === 'data'),
    { lun: 3, server: NAME },
  )
  const refused = stand.ingot('snapshot', 'create', 'data', 'now')
  await t.rejects(refused, CommandFailed)
  await t.rejects(refused, /target\.driver/, 'a snapshot is refused in words')
}

async function outlivesTgtd(t: Test, { stand, machine, tgtd, client }: Guest): Promise<void> {
  await stand.ssh(machine.ip, 'echo before >/root/before; sync')
  await tgtd.kill()
  await tgtd.start()
  await until('tgtd has its targets again', 10_000, async () => (await client.targets()).length === 1)
  await stand.ssh(machine.ip, 'echo after >/root/after; sync')
  const log = await stand.ssh(
    machine.ip,
    'echo 3 >/proc/sys/vm/drop_caches; cat /root/before /root/after; dmesg',
  )
  t.match(log, /^before\nafter\n/)
  t.notMatch(log, /I\/O error|remount.*read-only|Aborting journal/i)
}

async function deletes(t: Test, { stand, client }: Guest): Promise<void> {
  const { id } = await stand.ingotJson<ServerView>('server', 'show', NAME)
  t.match(await client.targets(), [{ iqn: new RegExp(`:${id}$`) }])
  const layers = join(stand.dir, 'state', 'layers')
  const raws = (): string[] => readdirSync(layers).filter((name) => existsSync(join(layers, name, 'raw')))
  t.equal(raws().length, 2)
  await stand.ingot('server', 'stop', NAME)
  await stand.ingot('server', 'delete', NAME)
  t.strictSame(await client.targets(), [], 'its target is gone')
  t.equal(raws().length, 1, 'its system disk is gone, the data disk stays')
  const events = await stand.ingotJson<EventView[]>('server', 'events', NAME).catch(() => [])
  t.strictSame(
    events.filter(({ kind }) => kind === 'tgt.not-followed'),
    [],
  )
}

void t.test(`a guest boots from tgtd${note}`, { skip: reason !== undefined }, async (t) => {
  t.setTimeout(LIMIT_MS)
  // packages come over the network, which the namespace has not: the daemon in it finds the result
  await buildImage('debian-12', { cacheDir: CACHE_DIR })
  const guest = await makeGuest()
  t.teardown(async () => {
    await guest.stand.tearDown(!t.passing())
    await guest.tgtd.remove()
  })
  await t.test('to ready, by every stage', (t) => boot(t, guest))
  await t.test('and is who it was created as', (t) => proveWhatItIs(t, guest))
  await t.test('takes a disk that is attached under it', (t) => followsUnderIt(t, guest))
  await t.test('goes on when tgtd was killed and started again', (t) => outlivesTgtd(t, guest))
  await t.test('leaves nothing when it is deleted', (t) => deletes(t, guest))
})

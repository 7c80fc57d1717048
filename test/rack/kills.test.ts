import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { buildImage } from '../../src/rootdisk/image/build.js'
import {
  create,
  diskErrors,
  eventsOf,
  inGuest,
  kill,
  proveWritable,
  reasonForNoLongTest,
  ROOT_WRITES,
  start,
  startWriting,
  stopWriting,
  untilMoreSynced,
  verify,
  type Guest,
  type Writes,
} from './guest.js'
import { CACHE_DIR, Stand, until } from './stand.js'

// What a guest sees of ingot-targetd's deaths: while its firmware reads kernel and initrd, and while it writes and
// syncs on ext4 (its root) and on XFS (a data volume). The test is the unit that starts the target again.
const LIMIT_MS = 3_600_000
const MIB = 1 << 20
const RECIPE = 'debian-12-storage'
const KILLS = Number(process.env['INGOT_KILLS'] ?? 20)
const PLANNED = Math.ceil(KILLS / 4)
const FIRMWARE_KILLS = 2
const SEED = Number(process.env['INGOT_SEED'] ?? 1)
/** `RestartSec=` of the unit. */
const RESTART_MS = 100
const LONGEST_STALL_SECONDS = 15
const DATA_LUN = 2
const DATA_WRITES: Writes = { name: 'data', folder: '/mnt/data/writes' }
const WRITES = [ROOT_WRITES, DATA_WRITES]

const reason = reasonForNoLongTest()
const note = reason === undefined ? '' : ` (skipped: ${reason})`

t.setTimeout(LIMIT_MS)

type Stroke = 'SIGKILL' | 'SIGTERM'
type Random = () => number

/** Numbers in 0..1 that are the same for the same seed (Lehmer's generator, MINSTD). */
function randomFrom(seed: number): Random {
  let state = (seed % 2_147_483_646) + 1
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
}

function strokes(random: Random): Stroke[] {
  const all = [...Array<Stroke>(KILLS).fill('SIGKILL'), ...Array<Stroke>(PLANNED).fill('SIGTERM')]
  return all
    .map((stroke) => ({ stroke, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ stroke }) => stroke)
}

/** Bytes that a process has written, to sockets too (proc(5): wchar). */
async function bytesSent(pid: number): Promise<number> {
  return Number(/^wchar: (\d+)$/m.exec(await readFile(`/proc/${pid}/io`, 'utf8'))?.[1])
}

async function prepare(t: Test, guest: Guest): Promise<void> {
  const { stand, name } = guest
  await stand.configure({ isTargetManaged: false })
  await stand.startDaemon()
  await stand.startTarget()
  await create(t, guest, RECIPE)
  await stand.ingot('volume', 'create', 'data', '--size', '1G')
  await stand.ingot('server', 'attach', name, 'data')
}

/** Kills the target while the boot firmware reads through it; nothing else is there to be sent that much. */
async function killUnderFirmware(t: Test, guest: Guest, random: Random): Promise<void> {
  const { stand } = guest
  for (let round = 1; round <= FIRMWARE_KILLS; round++) {
    const pid = await stand.targetPid()
    const least = Math.round((4 + 8 * random()) * MIB)
    await until(`${least} bytes are read`, 180_000, async () => (await bytesSent(pid)) >= least)
    const stages = (await eventsOf(guest)).map((event) => event.stage)
    await kill(pid)
    await pause(RESTART_MS)
    await stand.startTarget()
    t.comment(`kill ${round} under the firmware, after ${(least / MIB).toFixed(1)} MiB`)
    t.ok(stages.includes('iscsi-login'), 'the firmware had logged in')
    t.notOk(stages.includes('kernel-login'), 'the kernel was not there yet')
  }
}

async function makeXfs(guest: Guest): Promise<void> {
  await inGuest(
    guest,
    `disk=$(lsblk -nS -o HCTL,NAME | awk '$1 ~ /:${DATA_LUN}$/ { print $2 }')
     mkfs.xfs -q /dev/$disk
     mkdir /mnt/data
     mount /dev/$disk /mnt/data`,
  )
}

async function strike(t: Test, guest: Guest, stroke: Stroke, random: Random): Promise<void> {
  const { stand } = guest
  await untilMoreSynced(guest, 2, WRITES)
  await pause(2000 * random())
  const beganMs = performance.now()
  await kill(await stand.targetPid(), stroke)
  const endedMs = performance.now() - beganMs
  const deadMs = RESTART_MS + (stroke === 'SIGKILL' ? 2000 * random() : 0)
  await pause(deadMs)
  await stand.startTarget()
  t.comment(`${stroke}: ended in ${endedMs.toFixed(0)} ms, started again after ${deadMs.toFixed(0)} ms`)
}

async function proveNothingIsLost(t: Test, guest: Guest, writes: Writes): Promise<void> {
  const { files, pauses } = await stopWriting(guest, writes)
  const longest = pauses.slice(0, 5).map((each) => each.toFixed(2))
  t.comment(`${writes.name}: ${files} files; the longest times between two: ${longest.join(', ')} s`)
  t.ok((pauses[0] ?? Infinity) < LONGEST_STALL_SECONDS, `no stall of ${LONGEST_STALL_SECONDS} s`)
  await verify(t, guest, files, writes)
}

void t.test(
  `a guest outlives ${KILLS} kills and ${PLANNED} planned restarts of its target${note}`,
  { skip: reason !== undefined },
  async (t) => {
    t.setTimeout(LIMIT_MS)
    t.comment(`INGOT_SEED=${SEED} INGOT_KILLS=${KILLS}`)
    const random = randomFrom(SEED)
    // packages come over the network, which the namespace has not: the daemon in it finds the result
    await buildImage(RECIPE, { cacheDir: CACHE_DIR })
    const stand = await Stand.make(`kills${process.pid}`, [{ firmware: 'bios' }])
    t.teardown(() => stand.tearDown(!t.passing()))
    const [machine] = stand.machines
    if (machine === undefined) throw new Error('no machine')
    const guest = { stand, name: 'web1', machine }
    await prepare(t, guest)

    await t.test('it starts although its target is killed under its firmware', async (t) => {
      await Promise.all([start(t, guest), killUnderFirmware(t, guest, random)])
    })
    await t.test('it writes and syncs on ext4 and XFS through every restart', async (t) => {
      await makeXfs(guest)
      for (const writes of WRITES) await startWriting(guest, writes)
      for (const stroke of strokes(random)) await strike(t, guest, stroke, random)
      await t.resolves(untilMoreSynced(guest, 20, WRITES), 'it writes on after the last')
    })
    await t.test('nothing that it synced is lost', async (t) => {
      for (const writes of WRITES) await proveNothingIsLost(t, guest, writes)
      t.strictSame(await diskErrors(guest), [], 'its kernel saw no I/O error')
      await proveWritable(t, guest, '/', '/mnt/data')
    })
  },
)

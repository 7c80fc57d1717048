import { existsSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openRegistry } from '../../src/registry/registry.js'
import { readPlacement } from '../../src/wiring/placement.js'
import { CountingGuest } from './counting-guest.js'
import { Daemons, finished, until, type DiskAccess } from './daemons.js'
import { diskArguments } from './disk-session.js'

const WORKERS = 2
const DISK_BYTES = 16 << 20
const STOP_LIMIT_MS = 2000
const needs = ['/usr/bin/qemu-img', '/usr/bin/nbdinfo', '/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so']
const missing = needs.filter((path) => !existsSync(path))
const because = missing.length === 0 ? '' : ` (skipped: ${missing.join(', ')} not installed)`

interface PlacedDisk extends DiskAccess {
  readonly name: string
  readonly worker: number | undefined
}

/** Two workers with a server each, at least. */
async function rack(t: Test): Promise<{ daemons: Daemons; first: PlacedDisk; second: PlacedDisk }> {
  const daemons = await Daemons.make(t, { target: `workers = ${WORKERS}` })
  await daemons.start()
  const path = join(daemons.dir, 'golden')
  writeFileSync(path, 'a disk')
  truncateSync(path, DISK_BYTES)
  t.match(await daemons.import('golden', path), { status: 'SUCCESS' })
  const first = await placedServer(daemons, 1)
  for (let number = 2; number <= 40; number++) {
    const second = await placedServer(daemons, number)
    if (second.worker !== first.worker) return { daemons, first, second }
  }
  throw new Error('forty servers are all with one worker')
}

async function placedServer(daemons: Daemons, number: number): Promise<PlacedDisk> {
  const disk = await daemons.server(number, 'golden')
  return { ...disk, name: `s${number}`, worker: placementOf(daemons)(disk.iqn) }
}

/** Which worker has a target, as the registry is now. */
function placementOf(daemons: Daemons): (iqn: string) => number | undefined {
  const registry = openRegistry(daemons.registryFile, { readOnly: true })
  const placement = readPlacement(registry, WORKERS)
  registry.close()
  return (iqn) => placement.ofTarget(iqn)
}

async function guestOf(t: Test, daemons: Daemons, disk: DiskAccess): Promise<CountingGuest> {
  const guest = new CountingGuest(daemons, disk)
  t.teardown(() => {
    guest.close()
  })
  await guest.login()
  return guest
}

/** Writes until it is told to stop, or cannot. */
function writeOn(guest: CountingGuest): { stop: () => Promise<void> } {
  const over = new AbortController()
  const writing = (async () => {
    for (let count = 0; !over.signal.aborted && (await guest.write(count % 512)); count++);
  })()
  return {
    stop: () => {
      over.abort()
      return writing
    },
  }
}

async function workerPids(daemons: Daemons): Promise<number[]> {
  const { stdout } = await finished(['-f', `target-worker.js --config ${daemons.configFile}`], 'pgrep')
  return stdout.split('\n').filter(Boolean).map(Number)
}

void t.test('servers in two workers', async (t) => {
  const { daemons, first, second } = await rack(t)
  const guests = [await guestOf(t, daemons, first), await guestOf(t, daemons, second)]

  await t.test('SIGKILL of a worker: its server logs in again, the other one notices nothing', async (t) => {
    const pids = await workerPids(daemons)
    t.equal(pids.length, WORKERS)
    for (const [round, pid] of pids.entries()) {
      const storms = guests.map((guest) => writeOn(guest))
      await until('both are written to', () => guests.every(({ acknowledged }) => acknowledged.size > 100))
      process.kill(pid, 'SIGKILL')
      await until('a session ends', () => guests.some(({ isCut }) => isCut))
      const [cut, whole] = guests[0]?.isCut === true ? guests : [...guests].reverse()
      const before = performance.now()
      await until('it is back', async () => {
        await cut?.login()
        return true
      })
      t.comment(`back after ${Math.round(performance.now() - before)} ms`)
      await Promise.all(storms.map((storm) => storm.stop()))
      t.notOk(whole?.isCut, 'the other one has its connection still')
      t.ok(await whole?.write(600 + round), 'and writes')
      for (const guest of guests) {
        t.ok(await guest.flush())
        t.same(await guest.wrongBlocks(), [], `${guest.acknowledged.size} acknowledged blocks are there`)
      }
    }
    const after = await workerPids(daemons)
    t.equal(after.length, WORKERS)
    t.notOk(
      after.some((pid) => pids.includes(pid)),
      'each was replaced',
    )
  })

  await t.test('a server that comes is served, and goes, under the sessions of others', async (t) => {
    const late = await guestOf(t, daemons, await placedServer(daemons, 0))
    t.ok(await late.write(1))
    t.match(await daemons.api('DELETE', '/servers/s0'), { status: /20/ })
    await until('its session ends', () => late.isCut)
    t.notOk(guests.some(({ isCut }) => isCut))
    t.same(await Promise.all(guests.map((guest) => guest.write(2))), [true, true])
  })

  await t.test('a server that gets a disk of the other one goes to its worker, and back', async (t) => {
    const volumes = (await daemons.api('GET', '/volumes')).body as {
      volumes: { name: string; server?: string }[]
    }
    const volume = volumes.volumes.find(({ server }) => server === first.name)?.name
    t.match(await daemons.api('POST', '/snapshots', { volume, name: 'shot' }), { status: 202 })
    await until('the snapshot is there', async () => {
      const { body } = await daemons.api('GET', '/snapshots/shot')
      return (body as { status: string }).status === 'available'
    })
    t.match(await daemons.api('POST', '/volumes', { name: 'copy', snapshot: 'shot' }), { status: 201 })
    const [staying, moved] = guests
    for (const what of ['attach', 'detach']) {
      const asked = await daemons.api('POST', `/servers/${second.name}/${what}`, { volume: 'copy' })
      t.match(asked, { status: /^20[04]$/ }, what)
      const isTogether = placementOf(daemons)(second.iqn) === placementOf(daemons)(first.iqn)
      t.equal(isTogether, what === 'attach')
      await until('it moves', () => moved?.isCut ?? false)
      await moved?.login()
      t.ok(await moved?.write(3))
      t.same(await moved?.wrongBlocks(), [])
      t.ok(await staying?.write(3), 'the other one stays')
      t.notOk(staying?.isCut)
    }
  })

  await t.test('SIGKILL of the parent: its workers end before the next one has any', async (t) => {
    const pids = await workerPids(daemons)
    process.kill((await daemons.targetPid()) ?? 0, 'SIGKILL')
    await until('they have ended', async () => {
      const now = await workerPids(daemons)
      return !pids.some((pid) => now.includes(pid))
    })
    for (const guest of guests) {
      await until('a session is back', async () => {
        await guest.login()
        return true
      })
      t.same(await guest.wrongBlocks(), [])
    }
  })

  await t.test(`QEMU and libnbd reach both${because}`, { skip: missing.length > 0 }, async (t) => {
    const nbd = join(daemons.dir, 'run', 'nbd.sock')
    const source = join(daemons.dir, 'source')
    writeFileSync(source, 'written over NBD, read over iSCSI'.repeat(10_000))
    truncateSync(source, DISK_BYTES)
    for (const disk of [first, second]) {
      const overNbd = `nbd+unix:///${disk.name}?socket=${nbd}`
      const written = await finished(['convert', '-n', '-f', 'raw', '-O', 'raw', source, overNbd], 'qemu-img')
      t.equal(written.code, 0, written.stderr)
      const [object = '', secret = '', option = '', overIscsi = ''] = diskArguments(
        daemons.iscsiPort,
        disk,
        0,
      )
      const images = [option, `driver=raw,file.filename=${source}`, overIscsi]
      const compared = await finished(['compare', object, secret, ...images], 'qemu-img')
      t.match(compared, { code: 0, stdout: /identical/ })
    }
    const listed = await finished(['--list', '--json', `nbd+unix://?socket=${nbd}`], 'nbdinfo')
    const { exports } = JSON.parse(listed.stdout) as { exports: Record<string, unknown>[] }
    for (const { name } of [first, second])
      t.match(
        exports.find((each) => each['export-name'] === name),
        { 'export-size': DISK_BYTES },
      )
  })

  await t.test('SIGTERM: all sessions and processes end within two seconds', async (t) => {
    await daemons.kill() // or it would start another target
    const before = performance.now()
    process.kill((await daemons.targetPid()) ?? 0, 'SIGTERM')
    await until('all sessions end', () => guests.every(({ isCut }) => isCut))
    const tookMs = performance.now() - before
    t.ok(tookMs < STOP_LIMIT_MS, `it took ${Math.round(tookMs)} ms`)
    await until('everything has ended', async () => (await workerPids(daemons)).length === 0)
  })
})

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ServerView } from '../../src/operator/api/schema.js'
import { buildImage } from '../../src/rootdisk/image/build.js'
import { create, reasonForNoGuest, seconds, start, type Guest } from './guest.js'
import { ADVERTISED, CACHE_DIR, Stand, until } from './stand.js'

// The image for tests that need many boots: a kernel and a shell script that says on the console what it found.
const LIMIT_MS = 600_000

const reason = reasonForNoGuest()
const note = reason === undefined ? '' : ` (skipped: ${reason})`

t.setTimeout(LIMIT_MS)

/** The lines of its console that the guest's init wrote, of the last boot. */
async function said({ stand, machine }: Guest): Promise<string> {
  const console = await readFile(join(stand.rigDir, machine.name, 'console.log'), 'utf8')
  const lines = console.split(/\r?\n/).filter((line) => line.startsWith('tiny: '))
  return lines.slice(lines.findLastIndex((line) => line.startsWith('tiny: init'))).join('\n')
}

async function boot(t: Test, guest: Guest, boots: number): Promise<void> {
  await start(t, guest)
  await until('it says that it is ready', 30_000, async () => (await said(guest)).includes('tiny: ready'))
  const text = await said(guest)
  t.comment(text)
  const { iqn } = await guest.stand.ingotJson<ServerView>('server', 'show', guest.name)
  t.match(text, `target=${iqn}`, 'it logged in to its own target')
  t.match(text, `mac=${guest.machine.mac} ip=${guest.machine.ip}/24`, 'its NIC has the address of the iBFT')
  t.match(text, `hostname=${guest.name} `, 'the seed told its name')
  t.match(text, `boots=${boots}\n`, 'its root disk keeps what it wrote')
}

void t.test(
  `tiny boots from us in seconds and ends when asked${note}`,
  { skip: reason !== undefined },
  async (t) => {
    t.setTimeout(LIMIT_MS)
    const beganMs = performance.now()
    await buildImage('tiny', { cacheDir: CACHE_DIR })
    t.comment(`built or found in ${seconds(beganMs)} s`)
    const stand = await Stand.make(`tiny${process.pid}`, [{ firmware: 'bios' }])
    t.teardown(() => stand.tearDown(!t.passing()))
    const [machine] = stand.machines
    if (machine === undefined) throw new Error('no machine')
    const guest = { stand, name: 'tiny1', machine }
    t.comment(ADVERTISED === '' ? 'no router advertisements: iPXE waits' : 'with router advertisements')
    await stand.startDaemon()
    await create(t, guest, 'tiny')
    for (const boots of [1, 2]) {
      await boot(t, guest, boots)
      const stoppedMs = performance.now()
      await stand.ingot('server', 'stop', guest.name)
      t.comment(`off after ${seconds(stoppedMs)} s`)
      t.match(await said(guest), 'tiny: poweroff', 'it heard its power button')
    }
  },
)

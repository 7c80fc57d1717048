import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { buildImage } from '../../src/rootdisk/image/build.js'
import { stagesOf } from './firmware-guests.js'
import type { TimelineView } from '../../src/operator/api/schema.js'
import { create, eventsOf, inGuest, reasonForNoGuest, seconds, type Guest } from './guest.js'
import { CACHE_DIR, Stand, until } from './stand.js'

// OVMF with Microsoft's keys, enforcing. CI goes as far as systemd in the root file system on our disk; that cloud-init
// is done takes another minute or two without KVM: npm run test:full.
const LIMIT_MS = 2_400_000
const REFUSAL_LIMIT_MS = 400_000
// a minute and a half on a free host of two cores; 500 s under a load of 27
const BOOT_LIMIT_MS = 900_000
const PARTS = [
  '/usr/share/OVMF/OVMF_CODE_4M.ms.fd',
  '/usr/lib/shim/shimx64.efi.signed',
  '/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed',
  '/usr/lib/ipxe/snponly.efi',
]

const missing = PARTS.find((path) => !existsSync(path))
const reason = reasonForNoGuest() ?? (missing === undefined ? undefined : `no ${missing}`)
const note = reason === undefined ? '' : ` (skipped: ${reason})`
const isFull = process.env['INGOT_FULL'] === '1'

t.setTimeout(LIMIT_MS)

async function refuse(t: Test, guest: Guest): Promise<void> {
  const { stand, name, machine } = guest
  await stand.ingot('machine', 'set', machine.name, '--no-loader')
  const beganMs = performance.now()
  await stand.ingot('server', 'start', name)
  await until('the refusal is an event', REFUSAL_LIMIT_MS, async () =>
    (await eventsOf(guest)).some(({ kind }) => kind === 'boot.refused'),
  )
  t.comment(`seen after ${seconds(beganMs)} s`)
  const events = await eventsOf(guest)
  const refused = events.find(({ kind }) => kind === 'boot.refused')
  t.match(refused?.message, /snponly\.efi/, 'it names the loader')
  t.match(refused?.message, 'ingot machine set m1 --loader shimx64.efi', 'and what to do')
  t.notOk(
    events.some(({ stage }) => stage === 'script'),
    'no iPXE ran',
  )
  await stand.ingot('server', 'stop', name, '--force')
  await stand.ingot('machine', 'set', machine.name, '--loader', 'shimx64.efi')
}

async function bootSigned(t: Test, guest: Guest): Promise<void> {
  const { stand, name, machine } = guest
  const file = join(stand.rigDir, machine.name, 'console.log')
  const before = (await readFile(file, 'latin1').catch(() => '')).length
  const said = async (): Promise<string> => (await readFile(file, 'latin1')).slice(before)
  const beganMs = performance.now()
  await stand.ingot('server', 'start', name)
  try {
    // systemd greets with the name that the root file system has
    await until('systemd runs in the root', BOOT_LIMIT_MS, async () =>
      /Welcome to \S*Debian GNU\/Linux 12/.test(await said()),
    )
  } catch (err) {
    t.comment((await said()).slice(-6000))
    throw err
  }
  t.comment(`root mounted after ${seconds(beganMs)} s`)
  t.match(await said(), 'Kernel is locked down from EFI Secure Boot')
  const timeline = await stand.ingotJson<TimelineView>('server', 'timeline', name)
  const expected = ['powered-on', 'dhcp', 'loader', 'script', 'kernel-login']
  t.strictSame(stagesOf(timeline).slice(0, expected.length), expected, 'no firmware logs in to the disk')
  const kinds = new Set((await eventsOf(guest)).map(({ kind }) => kind))
  for (const bad of ['tftp.not-found', 'boot.script-failed', 'iscsi.login-failed'])
    t.notOk(kinds.has(bad), `no event ${bad}`)
}

async function proveSigned(t: Test, guest: Guest): Promise<void> {
  const { stand, name } = guest
  await until('the server is ready', BOOT_LIMIT_MS, async () =>
    stagesOf(await stand.ingotJson<TimelineView>('server', 'timeline', name)).includes('ready'),
  )
  t.match(await inGuest(guest, 'dmesg | grep secureboot'), 'Secure boot enabled')
  t.equal(await inGuest(guest, `lsblk -n -s -o TRAN "$(findmnt -no SOURCE /)" | tr -d ' \\n'`), 'iscsi')
}

void t.test(
  `Secure Boot: an unsigned loader is refused and named, the signed path boots${note}`,
  { skip: reason !== undefined },
  async (t) => {
    t.setTimeout(LIMIT_MS)
    // packages come over the network, which the namespace has not: the daemon in it finds the result
    await buildImage('debian-12', { cacheDir: CACHE_DIR })
    const stand = await Stand.make(`sb${process.pid}`, [{ firmware: 'uefi-secure' }])
    t.teardown(() => stand.tearDown())
    const [machine] = stand.machines
    if (machine === undefined) throw new Error('no machine')
    const guest = { stand, name: 'web1', machine }
    await stand.startDaemon()
    await create(t, guest, 'debian-12')
    await t.test('an unsigned loader is seen to be refused, with the remedy', (t) => refuse(t, guest))
    await t.test("its own kernel mounts its root from the target's disk", (t) => bootSigned(t, guest))
    await t.test(
      `cloud-init is done, the kernel says Secure boot enabled${isFull ? '' : ' (skipped: minutes long: npm run test:full)'}`,
      { skip: !isFull },
      (t) => proveSigned(t, guest),
    )
  },
)

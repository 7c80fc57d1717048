import t from 'tap'
import { bootsTo, createServers, reasonForNoFirmware, stagesOf } from './firmware-guests.js'
import { Stand } from './stand.js'

// Every kind of firmware that a rig has, each to the end of the chain: the boot sector or loader on its disk in the
// target runs. What an operating system does from there is guest.test.ts's.
const LIMIT_MS = 600_000
const WITH_ROM = ['powered-on', 'dhcp', 'script', 'iscsi-login']
const WITH_LOADER = ['powered-on', 'dhcp', 'loader', 'script', 'iscsi-login']
const KINDS = [
  { firmware: 'bios', name: 'SeaBIOS with the iPXE ROM', stages: WITH_ROM },
  { firmware: 'uefi', name: 'OVMF with the iPXE ROM', stages: WITH_ROM },
  { firmware: 'uefi-native', name: "OVMF's own PXE client", stages: WITH_LOADER },
  { firmware: 'uefi-http', name: "OVMF's own HTTP boot client", stages: WITH_LOADER },
] as const

const reason = reasonForNoFirmware()
const note = reason === undefined ? '' : ` (skipped: ${reason})`

t.setTimeout(LIMIT_MS)

void t.test(`firmware boots from us to its disk${note}`, { skip: reason !== undefined }, async (t) => {
  t.setTimeout(LIMIT_MS)
  const stand = await Stand.make(
    `fw${process.pid}`,
    KINDS.map(({ firmware }) => ({ firmware })),
  )
  t.teardown(() => stand.tearDown())
  await stand.startDaemon()
  await createServers(stand)
  for (const [index, { name, stages }] of KINDS.entries()) {
    await t.test(name, async (t) => {
      const machine = stand.machines[index]
      if (machine === undefined) throw new Error('no machine')
      t.strictSame(stagesOf(await bootsTo(t, stand, machine)), stages, 'every stage was seen, in order')
    })
  }
})

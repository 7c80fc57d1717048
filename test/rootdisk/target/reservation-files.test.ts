import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { ReservationState } from '../../../src/rootdisk/scsi/reservation-state.js'
import { ReservationFiles } from '../../../src/rootdisk/target/reservation-files.js'

const LUN = '3000000000000001'
const HOLDER = { initiator: 'iqn.2026-01.example:a', isid: '00023d000001' }
const STATE: ReservationState = {
  generation: 4,
  isPersistent: true,
  registrations: [{ ...HOLDER, key: '00000000000000aa' }],
  reservation: { type: 5, holder: HOLDER },
}

function directories(test: Test): { stateDir: string; runDir: string } {
  const directory = test.testdir({ state: {}, run: {} })
  return { stateDir: join(directory, 'state'), runDir: join(directory, 'run') }
}

await t.test('with APTPL the state is below the state directory, alone and whole', async (test) => {
  const dirs = directories(test)
  await new ReservationFiles(dirs).save(LUN, { ...STATE, isPersistent: false })
  await new ReservationFiles(dirs).save(LUN, STATE)
  test.same(readdirSync(join(dirs.stateDir, 'reservations')), [`${LUN}.json`])
  test.same(readdirSync(join(dirs.runDir, 'reservations')), [])
  test.same(await new ReservationFiles(dirs).load(LUN), STATE)
})

await t.test('without APTPL it ends with the boot of the host', async (test) => {
  const dirs = directories(test)
  const passing = { ...STATE, isPersistent: false }
  await new ReservationFiles(dirs).save(LUN, STATE)
  await new ReservationFiles(dirs).save(LUN, passing)
  test.same(await new ReservationFiles(dirs).load(LUN), passing)
  test.equal(
    await new ReservationFiles({ ...dirs, runDir: join(dirs.runDir, 'next-boot') }).load(LUN),
    undefined,
  )
})

await t.test('a LUN that nobody is registered with leaves no file', async (test) => {
  const dirs = directories(test)
  const files = new ReservationFiles(dirs)
  await files.save(LUN, { generation: 1, isPersistent: true, registrations: [] })
  test.notOk(existsSync(join(dirs.stateDir, 'reservations')))
  await files.save(LUN, STATE)
  await files.save(LUN, { generation: 5, isPersistent: true, registrations: [] })
  test.same(readdirSync(join(dirs.stateDir, 'reservations')), [])
  test.equal(await files.load(LUN), undefined)
})

const DAMAGED: [what: string, text: string][] = [
  ['no JSON', '{'],
  ['no object', '7'],
  ['a key that is none', JSON.stringify({ ...STATE, registrations: [{ ...HOLDER, key: 'aa' }] })],
  ['a type that is none', JSON.stringify({ ...STATE, reservation: { type: 2, holder: HOLDER } })],
  [
    'a holder without ISID',
    JSON.stringify({ ...STATE, reservation: { type: 5, holder: { initiator: 'a' } } }),
  ],
  ['registrations that are null', JSON.stringify({ ...STATE, registrations: [null] })],
]

for (const [what, text] of DAMAGED) {
  await t.test(`a file with ${what} is not taken for a LUN without reservations`, async (test) => {
    const dirs = directories(test)
    mkdirSync(join(dirs.stateDir, 'reservations'))
    writeFileSync(join(dirs.stateDir, 'reservations', `${LUN}.json`), text)
    await test.rejects(new ReservationFiles(dirs).load(LUN))
  })
}

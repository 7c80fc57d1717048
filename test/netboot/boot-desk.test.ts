import t from 'tap'
import type { DaemonEvent } from '../../src/events.js'
import type { BootClient } from '../../src/netboot/boot-client.js'
import { BootDesk } from '../../src/netboot/boot-desk.js'
import type { BootPolicy } from '../../src/netboot/decide.js'
import { bootTarget } from '../fakes/boot-target.js'
import { ManualClock } from '../fakes/manual-clock.js'

const POLICY: BootPolicy = {
  address: '198.18.0.1',
  httpPort: 8080,
  loaders: new Map([[7, { arch: 7, name: 'x64 UEFI', by: 'tftp', file: 'snponly.efi' }]]),
}
const KNOWN = '52:54:00:00:00:01'

interface Bench {
  readonly desk: BootDesk
  readonly events: DaemonEvent[]
  readonly clock: ManualClock
}

function bench(): Bench {
  const events: DaemonEvent[] = []
  const clock = new ManualClock()
  const findTarget = (mac: string): ReturnType<typeof bootTarget> | undefined =>
    mac === KNOWN ? bootTarget() : undefined
  return { desk: new BootDesk({ findTarget, emit: (event) => events.push(event), clock }), events, clock }
}

function pxe(arch: number, mac = KNOWN): BootClient {
  return { mac, arch, isIpxe: false, isHttpClient: false, isPxeClient: true }
}

void t.test('a machine without a loader is one event, however often it asks in a moment', (t) => {
  const { desk, events } = bench()
  for (let i = 0; i < 5; i++) t.equal(desk.answer(pxe(41), POLICY).bootFile, undefined)
  t.equal(events.length, 1)
  t.match(events, [{ kind: 'boot.no-loader', mac: KNOWN, serverId: 's-1' }])
  t.end()
})

void t.test('firmware is told from the operating system that asks after it', (t) => {
  const { desk } = bench()
  t.equal(desk.isBooting(KNOWN), false)
  t.equal(desk.answer(pxe(7), POLICY).bootFile, 'snponly.efi')
  t.equal(desk.isBooting(KNOWN), true)
  desk.answer({ mac: KNOWN, arch: undefined, isIpxe: false, isHttpClient: false, isPxeClient: false }, POLICY)
  t.equal(desk.isBooting(KNOWN), false)
  t.end()
})

void t.test('machines that no server has leave nothing behind', (t) => {
  const { desk, events } = bench()
  desk.answer(pxe(7, '52:54:00:00:00:99'), POLICY)
  t.equal(desk.isBooting('52:54:00:00:00:99'), false)
  t.same(events, [])
  t.end()
})

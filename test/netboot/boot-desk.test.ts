import t from 'tap'
import type { DaemonEvent } from '../../src/events.js'
import { SCRIPT_CLASS, type BootAnswer, type BootClient } from '../../src/netboot/boot-client.js'
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
  /** Asks as `client`, DISCOVER and REQUEST as a ROM does, and lets ten seconds pass. */
  readonly round: (client?: BootClient) => BootAnswer
  /** Whether the next firmware that asks begins a boot of its own, with the token `next`. */
  readonly another: { begins: boolean }
}

function bench(): Bench {
  const events: DaemonEvent[] = []
  const clock = new ManualClock()
  let bootToken = 'first'
  const another = { begins: false }
  const desk = new BootDesk({
    findTarget: (mac) => (mac === KNOWN ? bootTarget({ bootToken }) : undefined),
    firmwareAsks: () => {
      if (another.begins) bootToken = 'next'
      return another.begins
    },
    emit: (event) => events.push(event),
    clock,
  })
  const round = (client: BootClient = pxe(7)): BootAnswer => {
    desk.answer({ ...client, isDiscover: true }, POLICY)
    const answer = desk.answer({ ...client, isDiscover: false }, POLICY)
    clock.advance(10_000)
    return answer
  }
  return { desk, events, clock, round, another }
}

function pxe(arch: number, mac = KNOWN): BootClient {
  const vendorClass = 'PXEClient:Arch:00007:UNDI:003000'
  return { mac, arch, isIpxe: false, isHttpClient: false, isPxeClient: true, vendorClass }
}

const IPXE: BootClient = { ...pxe(7), isIpxe: true, userClass: 'iPXE', hasIpxeOption: true }

void t.test('a machine without a loader is one event, however often it asks in a moment', (t) => {
  const { desk, events } = bench()
  for (let i = 0; i < 5; i++) t.equal(desk.answer(pxe(41), POLICY).bootFile, undefined)
  t.equal(events.length, 1)
  t.match(events, [{ kind: 'boot.no-loader', mac: KNOWN, serverId: 's-1' }])
  t.end()
})

void t.test('firmware is told from the operating system, and from our own script, that ask after it', (t) => {
  const { desk } = bench()
  const os: BootClient = {
    mac: KNOWN,
    arch: undefined,
    isIpxe: false,
    isHttpClient: false,
    isPxeClient: false,
  }
  for (const later of [os, { ...IPXE, userClass: SCRIPT_CLASS }]) {
    t.equal(desk.isBooting(KNOWN), false)
    t.equal(desk.answer(pxe(7), POLICY).bootFile, 'snponly.efi')
    t.equal(desk.isBooting(KNOWN), true)
    desk.answer(later, POLICY)
    t.equal(desk.isBooting(KNOWN), false)
  }
  t.end()
})

void t.test('machines that no server has leave nothing behind', (t) => {
  const { desk, events } = bench()
  desk.answer(pxe(7, '52:54:00:00:00:99'), POLICY)
  t.equal(desk.isBooting('52:54:00:00:00:99'), false)
  t.same(events, [])
  t.end()
})

void t.test('firmware that begins another boot is answered with the token of that one', (t) => {
  const made = bench()
  t.match(made.desk.answer(IPXE, POLICY).bootFile, '/boot/first/script')
  made.another.begins = true
  t.match(made.desk.answer(IPXE, POLICY).bootFile, '/boot/next/script')
  t.end()
})

void t.test('our own script that asks for an address begins no boot', (t) => {
  const made = bench()
  made.another.begins = true
  t.match(made.desk.answer({ ...IPXE, userClass: SCRIPT_CLASS }, POLICY).bootFile, '/boot/first/script')
  t.end()
})

void t.test(
  'a loader that loads itself is given twice; the third time is one event with what was seen',
  (t) => {
    const { round, events } = bench()
    t.equal(round().bootFile, 'snponly.efi')
    t.equal(round().bootFile, 'snponly.efi')
    const third = round()
    t.equal(third.bootFile, undefined)
    t.match(third.reason, /^address only: loader snponly\.efi by TFTP was given again and again/)
    t.match(events, [{ kind: 'boot.loop', mac: KNOWN, serverId: 's-1' }])
    t.match(
      events[0]?.message,
      /server web1 came back for its loader snponly\.efi .*seen: 60 "PXEClient:Arch:00007:UNDI:003000", 77 none, 93 7, 175 absent; .*--loader FILE/,
    )
    t.end()
  },
)

void t.test('while it is withheld a DISCOVER is offered no loader either, for ten minutes', (t) => {
  const { round, desk, clock } = bench()
  for (let i = 0; i < 3; i++) round()
  t.equal(desk.answer({ ...pxe(7), isDiscover: true }, POLICY).bootFile, undefined)
  clock.advance(600_000)
  t.equal(round().bootFile, 'snponly.efi')
  t.end()
})

void t.test('a client that only looks for offers is in no loop', (t) => {
  const { desk, clock, events } = bench()
  for (let i = 0; i < 10; i++) {
    t.equal(desk.answer({ ...pxe(7), isDiscover: true }, POLICY).bootFile, 'snponly.efi')
    clock.advance(8000)
  }
  t.same(events, [])
  t.end()
})

void t.test('loader, iPXE, script, disk: booting ten times in five minutes is no loop', (t) => {
  const { desk, round, events } = bench()
  for (let boot = 0; boot < 10; boot++) {
    t.ok(round(pxe(7)).bootFile)
    t.ok(round(IPXE).bootFile)
    t.ok(desk.maySendScript(bootTarget()))
    for (const stage of ['script', 'iscsi-login'] as const) desk.onStage('s-1', stage)
  }
  t.same(events, [])
  t.end()
})

void t.test('powering a machine on again and again is no loop, even if it gets no further', (t) => {
  const { desk, round, events } = bench()
  for (let boot = 0; boot < 6; boot++) {
    desk.onStage('s-1', 'powered-on')
    t.ok(round(pxe(7)).bootFile)
    for (const stage of ['dhcp', 'loader'] as const) desk.onStage('s-1', stage)
  }
  t.same(events, [])
  t.end()
})

void t.test('iPXE whose script is never fetched is told, and given no script', (t) => {
  const { round, events } = bench()
  for (let i = 0; i < 2; i++) t.ok(round(IPXE).bootFile)
  t.equal(round(IPXE).bootFile, undefined)
  t.match(events, [{ kind: 'boot.loop', message: /its script .*77 "iPXE", 93 7, 175 present; iPXE cannot/ }])
  t.end()
})

void t.test('a script fetched again and again without a word is a loop; one that reports is not', (t) => {
  const { desk, clock, events } = bench()
  for (let i = 0; i < 6; i++) {
    t.ok(desk.maySendScript(bootTarget()))
    desk.onStage('s-1', 'script')
    desk.onStage('s-1', 'reported')
    clock.advance(10_000)
  }
  const sent = [1, 2, 3, 4].map(() => {
    const may = desk.maySendScript(bootTarget())
    if (may) desk.onStage('s-1', 'script')
    clock.advance(10_000)
    return may
  })
  t.same(sent, [true, true, false, false])
  t.match(events, [{ kind: 'boot.loop', serverId: 's-1', message: /seen: nothing by DHCP/ }])
  t.end()
})

void t.test('a UEFI firmware that fetched its loader and asks again is told of, with what to do', (t) => {
  const { desk, events, round } = bench()
  round()
  desk.onStage('s-1', 'loader')
  desk.answer({ ...pxe(16), isHttpClient: true, isPxeClient: false, isDiscover: true }, POLICY)
  const message = /fetched snponly\.efi, .* ingot machine set m1 --loader shimx64\.efi$/
  t.match(
    events.filter(({ kind }) => kind === 'boot.refused'),
    [{ serverId: 's-1', mac: KNOWN, message }],
  )
  t.end()
})

void t.test('a loader that runs is not refused: iPXE, or a BIOS that comes back', (t) => {
  const { desk, events, round } = bench()
  for (const client of [IPXE, pxe(0)]) {
    round()
    desk.onStage('s-1', 'loader')
    round(client)
    round()
  }
  t.notOk(events.some(({ kind }) => kind === 'boot.refused'))
  t.end()
})

import t from 'tap'
import { startsBoot, timelineOf, type Reached } from '../../src/control/boots.js'
import type { Stage } from '../../src/events.js'

function reached(...stages: Stage[]): Reached {
  return new Map(stages.map((stage, i) => [stage, i * 1000]))
}

void t.test('which stage begins another boot', (t) => {
  const cases: readonly [name: string, before: Reached, stage: Stage, begins: boolean][] = [
    ['the first sign of life does', reached(), 'dhcp', true],
    ['a login without a boot does', reached(), 'iscsi-login', true],
    ['power-on always does', reached('powered-on', 'dhcp'), 'powered-on', true],
    ['the address asked for after power-on does not', reached('powered-on'), 'dhcp', false],
    ['iPXE asking again after the loader does not', reached('powered-on', 'dhcp', 'loader'), 'dhcp', false],
    ['firmware asking again after a script does', reached('powered-on', 'dhcp', 'script'), 'dhcp', true],
    [
      'a second login in the kernel does not',
      reached('dhcp', 'script', 'iscsi-login'),
      'kernel-login',
      false,
    ],
  ]
  for (const [name, before, stage, begins] of cases) t.equal(startsBoot(before, stage), begins, name)
  t.end()
})

void t.test('a timeline names every stage and times each against the one seen before it', (t) => {
  const steps = timelineOf(
    new Map<Stage, number>([
      ['dhcp', 1000],
      ['script', 1500],
    ]),
  )
  t.equal(steps.length, 8)
  t.strictSame(
    steps.filter((step) => step.atMs !== undefined),
    [
      { stage: 'dhcp', atMs: 1000, tookMs: undefined },
      { stage: 'script', atMs: 1500, tookMs: 500 },
    ],
  )
  t.end()
})

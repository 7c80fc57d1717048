import pino from 'pino'
import t from 'tap'
import { DaemonError } from '../../../../src/errors.js'
import type { DaemonEvent, Stage } from '../../../../src/events.js'
import type { ShownTarget } from '../../../../src/rootdisk/target/tgt/shown.js'
import { TgtWatch } from '../../../../src/rootdisk/target/tgt/tgt-watch.js'
import { ManualClock } from '../../../fakes/manual-clock.js'

const IQN = 'iqn.2026-11.io.ingot:server:1'

/** A target with these sessions. */
function target(...ids: number[]): ShownTarget {
  const nexuses = ids.map((id) => ({ id, initiator: 'iqn.i', address: '198.18.0.11' }))
  return { tid: 1, iqn: IQN, nexuses, luns: [], accounts: [], acl: [] }
}

/** What tgtd shows, what was read of the seed disk, and what came of it. */
class Bench {
  shown: readonly ShownTarget[] | undefined = [target()]
  seedBytes = 0
  isBehind = false
  ups = 0
  readonly events: DaemonEvent[] = []
  readonly clock = new ManualClock()
  readonly watch = new TgtWatch({
    client: {
      targets: () =>
        this.shown === undefined
          ? Promise.reject(new DaemonError('TARGET_UNAVAILABLE', 'gone'))
          : Promise.resolve([...this.shown]),
      reads: () => Promise.resolve([{ lun: 2, nexus: 3, bytes: this.seedBytes }]),
    },
    driver: { isBehind: () => this.isBehind },
    isOurs: (iqn) => iqn === IQN,
    onUp: () => {
      this.ups++
      return Promise.resolve()
    },
    hasReached: (_iqn, stage) => this.stages.includes(stage),
    emit: (event) => {
      this.events.push(event)
    },
    clock: this.clock,
    log: pino({ level: 'silent' }),
  })

  get stages(): readonly (Stage | undefined)[] {
    return this.events.map(({ stage }) => stage)
  }

  async see(...ids: number[]): Promise<void> {
    this.shown = [target(...ids)]
    await this.watch.look()
  }
}

void t.test(
  'of a boot the first login is the firmware, the second the kernel, a third neither',
  async (t) => {
    const bench = new Bench()
    await bench.see()
    await bench.see()
    for (const ids of [[2], [2], [2, 3], [4]]) await bench.see(...ids)
    t.same(bench.stages, ['iscsi-login', 'kernel-login', undefined])
  },
)

void t.test('who was logged in before the first look is not told', async (t) => {
  const bench = new Bench()
  await bench.see(2)
  await bench.see(2)
  t.same(bench.events, [])
  await bench.see(2, 3)
  t.equal(bench.events.length, 1)
})

void t.test('the seed is read when more than its partition table was', async (t) => {
  const bench = new Bench()
  for (const ids of [[], [], [2], [2, 3]]) await bench.see(...ids)
  bench.seedBytes = 65_536
  await bench.see(2, 3)
  t.notOk(bench.stages.includes('seed-read'))
  bench.seedBytes++
  await bench.see(2, 3)
  await bench.see(2, 3)
  t.equal(bench.stages.filter((stage) => stage === 'seed-read').length, 1)
})

void t.test('a tgtd that comes back, or has lost its targets, is brought up once', async (t) => {
  const bench = new Bench()
  bench.shown = undefined
  await bench.watch.look()
  t.equal(bench.ups, 0)
  await bench.see()
  await bench.see()
  t.equal(bench.ups, 1)
  bench.isBehind = true
  await bench.see()
  bench.isBehind = false
  await bench.see()
  t.equal(bench.ups, 2)
})

void t.test('it looks once a second until it is stopped', async (t) => {
  const bench = new Bench()
  await bench.watch.start()
  bench.shown = [target(2)]
  bench.clock.advance(1000)
  await bench.watch.stop()
  bench.shown = [target(2, 3)]
  bench.clock.advance(5000)
  t.equal(bench.ups, 1)
  t.equal(bench.events.length, 0)
})

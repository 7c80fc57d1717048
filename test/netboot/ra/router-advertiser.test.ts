import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import type { DaemonEvent } from '../../../src/events.js'
import { RouterAdvertiser } from '../../../src/netboot/ra/router-advertiser.js'
import { ManualClock } from '../../fakes/manual-clock.js'

const CONFIG = `interface br0 {
  AdvSendAdvert on;
  AdvDefaultLifetime 0;
  AdvCurHopLimit 0;
  AdvManagedFlag off;
  AdvOtherConfigFlag off;
  IgnoreIfMissing on;
};
`

interface Stage {
  readonly dir: string
  readonly clock: ManualClock
  readonly events: DaemonEvent[]
  readonly advertiser: RouterAdvertiser
  /** Resolves when the fake radvd was started that often. */
  readonly started: (times: number) => Promise<void>
}

/** A radvd that notes each start in a file, and then does what `life` says. */
function stage(t: Test, life: string): Stage {
  const script = `#!/bin/sh\n[ "$1" = --configtest ] && exit 0\necho started >>"$(dirname "$0")/starts"\n${life}\n`
  const dir = t.testdir({ radvd: script, starts: '' })
  chmodSync(join(dir, 'radvd'), 0o755)
  const clock = new ManualClock()
  const events: DaemonEvent[] = []
  const advertiser = new RouterAdvertiser(
    { interfaces: ['br0'], runDir: dir, program: join(dir, 'radvd') },
    { clock, log: pino({ level: 'silent' }), emit: (event) => void events.push(event) },
  )
  t.teardown(() => advertiser.stop())
  const starts = (): number => readFileSync(join(dir, 'starts'), 'utf8').split('\n').length - 1
  const started = (times: number): Promise<void> => until(() => starts() >= times)
  return { dir, clock, events, advertiser, started }
}

void t.test('radvd is run with advertisements and nothing else, and ends when asked', async (t) => {
  const { dir, advertiser, started } = stage(t, 'exec sleep 60')
  await advertiser.start()
  t.equal(readFileSync(join(dir, 'radvd.conf'), 'utf8'), CONFIG)
  await started(1)
  await advertiser.stop()
  t.notOk(existsSync(join(dir, 'radvd.conf')), 'the configuration is gone')
})

void t.test('a radvd that keeps dying is started again five times, then left with an event', async (t) => {
  const { clock, events, advertiser, started } = stage(t, 'exit 3')
  await advertiser.start()
  for (let times = 1; times <= 6; times++) {
    await started(times)
    if (times === 6) break
    await until(() => clock.pendingCount > 0)
    t.strictSame(events, [], `nothing is said of death ${times}`)
    clock.advance(30_000)
  }
  await until(() => events.length > 0)
  t.match(events, [{ kind: 'ra.failed', message: /died 6 times \(status 3\)/ }])
})

void t.test('a radvd that is not installed is refused by name', async (t) => {
  const advertiser = new RouterAdvertiser(
    { interfaces: ['br0'], runDir: t.testdir(), program: '/nowhere/radvd' },
    { clock: new ManualClock(), log: pino({ level: 'silent' }), emit: () => undefined },
  )
  const message = /^subnet\.router_advertisement: \/nowhere\/radvd is not installed \(Debian package radvd\)$/
  await t.rejects(advertiser.start(), { code: 'CONFIG_INVALID', message })
})

async function until(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 5))
}

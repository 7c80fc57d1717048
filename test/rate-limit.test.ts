import t from 'tap'
import { systemClock } from '../src/clock.js'
import { OncePer, RateLimit } from '../src/rate-limit.js'

function clockAt(time: { ms: number }): typeof systemClock {
  return { ...systemClock, monotonicMs: () => time.ms }
}

void t.test('a source has its share each second, whatever others do', (t) => {
  const time = { ms: 5000 }
  const limit = new RateLimit(2, clockAt(time))
  t.same(
    [limit.allows('a'), limit.allows('a'), limit.allows('a'), limit.allows('b')],
    [true, true, false, true],
  )
  time.ms += 1000
  t.ok(limit.allows('a'))
  t.end()
})

void t.test('sources beyond 16,384 wait for the next second', (t) => {
  const time = { ms: 0 }
  const limit = new RateLimit(20, clockAt(time))
  for (let i = 0; i < 16_384; i++) limit.allows(String(i))
  t.notOk(limit.allows('one more'))
  t.ok(limit.allows('0'), 'one of those counted goes on')
  t.ok(
    limit.allows('a machine', () => true),
    'who is known is served all the same',
  )
  time.ms += 1000
  t.ok(limit.allows('one more'))
  t.end()
})

void t.test('a key passes once in its period and at most 1,024 keys are remembered', (t) => {
  const time = { ms: 0 }
  const once = new OncePer(600_000, clockAt(time))
  t.same([once.allows('a'), once.allows('a')], [true, false])
  for (let i = 1; i < 1024; i++) once.allows(String(i))
  t.notOk(once.allows('one more'))
  time.ms += 600_000
  t.ok(once.allows('a'))
  t.end()
})

import t from 'tap'
import { limitEvents } from '../src/event-limiter.js'
import { ManualClock } from './fakes/manual-clock.js'

void t.test(
  'a kind from an address is told once in a period, others at once, and all within a bound',
  (t) => {
    const clock = new ManualClock()
    const told: string[] = []
    const emit = limitEvents((event) => told.push(`${event.kind} ${event.ip ?? ''}`), clock, {
      quietMs: 1000,
      maxSources: 3,
    })
    const say = (kind: string, ip: string): void => {
      emit({ kind, ip, message: 'x' })
    }
    say('a', '1')
    say('a', '1')
    say('b', '1')
    say('a', '2')
    say('a', '3')
    t.same(told, ['a 1', 'b 1', 'a 2'])
    clock.advance(1000)
    say('a', '1')
    t.equal(told.length, 4)
    t.end()
  },
)

import fc from 'fast-check'
import t from 'tap'
import { LOOP_RULES, LoopDetector, type LoopVerdict } from '../../src/netboot/loop-detector.js'
import { ManualClock } from '../fakes/manual-clock.js'

/** What the detector says when asked at these times (seconds). */
function verdicts(atSeconds: readonly number[]): LoopVerdict[] {
  const clock = new ManualClock()
  const loops = new LoopDetector(clock)
  let nowS = 0
  return atSeconds.map((second) => {
    clock.advance((second - nowS) * 1000)
    nowS = second
    return loops.ask('m1', 'snponly.efi')
  })
}

void t.test('the third round in two minutes is not given, nor any after it', (t) => {
  t.same(verdicts([0, 15, 46, 61]), ['give', 'give', 'trips', 'stopped'])
  t.same(verdicts([0, 59, 119]), ['give', 'give', 'trips'])
  t.end()
})

void t.test('rounds further apart are no loop', (t) => {
  t.same(verdicts([0, 60, 120, 180, 240, 300]), Array(6).fill('give'))
  t.end()
})

void t.test('questions within five seconds are one round', (t) => {
  t.same(verdicts([0, 1, 2, 4.9, 20, 21, 22]), Array(7).fill('give'))
  t.same(verdicts([0, 4, 6, 11]), ['give', 'give', 'give', 'trips'], 'counted from the first of a round')
  t.end()
})

void t.test('after ten minutes it is tried again', (t) => {
  t.same(verdicts([0, 10, 20, 619, 621, 631, 641]), [
    'give',
    'give',
    'trips',
    'stopped',
    'give',
    'give',
    'trips',
  ])
  t.end()
})

void t.test('machines and things are counted apart', (t) => {
  const clock = new ManualClock()
  const loops = new LoopDetector(clock)
  for (let i = 0; i < 2; i++) {
    for (const machine of ['m1', 'm2']) {
      for (const thing of ['a', 'b']) t.equal(loops.ask(machine, thing), 'give')
    }
    clock.advance(10_000)
  }
  t.equal(loops.ask('m1', 'a'), 'trips')
  t.equal(loops.isStopped('m1', 'b'), false)
  t.equal(loops.isStopped('m2', 'a'), false)
  t.equal(loops.ask('m1', 'b'), 'trips')
  t.end()
})

void t.test('what was cleared begins anew, but for what is excepted', (t) => {
  const clock = new ManualClock()
  const loops = new LoopDetector(clock)
  for (let i = 0; i < 3; i++) {
    loops.ask('m1', 'loader')
    loops.ask('m1', 'script')
    clock.advance(10_000)
  }
  loops.clear('m1', 'script')
  t.equal(loops.isStopped('m1', 'loader'), false)
  t.equal(loops.isStopped('m1', 'script'), true)
  loops.clear('m1')
  t.equal(loops.isStopped('m1', 'script'), false)
  t.end()
})

void t.test('a chain whose machine is powered on again and again never trips', (t) => {
  const clock = new ManualClock()
  const loops = new LoopDetector(clock)
  for (let boot = 0; boot < 50; boot++) {
    loops.clear('m1')
    for (const thing of ['snponly.efi', 'script']) {
      t.equal(loops.ask('m1', thing), 'give')
      clock.advance(1000)
    }
  }
  t.end()
})

void t.test('strangers cannot make it grow: the oldest machine is forgotten', (t) => {
  const clock = new ManualClock()
  const loops = new LoopDetector(clock, { ...LOOP_RULES, maxMachines: 3 })
  for (const machine of ['m1', 'm2', 'm3', 'm1', 'm4']) {
    loops.ask(machine, 'a')
    clock.advance(6000)
  }
  t.equal(loops.ask('m1', 'a'), 'trips', 'it was asked about lately')
  for (let i = 0; i < 2; i++) {
    t.equal(loops.ask('m2', 'a'), 'give', 'its first round was forgotten')
    clock.advance(6000)
  }
  t.end()
})

void t.test('whatever is asked in whatever order: never more than two rounds given in two minutes', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 70_000 }), { maxLength: 60 }), (waits) => {
      const clock = new ManualClock()
      const loops = new LoopDetector(clock)
      let nowMs = 0
      const given: number[] = []
      for (const wait of waits) {
        clock.advance(wait)
        nowMs += wait
        if (loops.ask('m', 'x') === 'give' && nowMs - (given.at(-1) ?? -Infinity) >= LOOP_RULES.roundMs)
          given.push(nowMs)
      }
      return given.every((atMs, i) => i < 2 || atMs - (given[i - 2] ?? 0) >= LOOP_RULES.windowMs)
    }),
    { numRuns: 300 },
  )
  t.end()
})

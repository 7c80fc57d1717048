import fc from 'fast-check'
import t from 'tap'
import { ClaimedLayers } from '../../../../src/rootdisk/target/workers/claimed-layers.js'
import { ManualClock } from '../../../fakes/manual-clock.js'

const LIMIT_MS = 1000

void t.test('a layer is given to the next in turn when it is let go', async (t) => {
  const layers = new ClaimedLayers(new ManualClock(), LIMIT_MS)
  const got: number[] = []
  const take = (worker: number): Promise<void> =>
    layers.take('a', worker).then((isGranted) => {
      if (isGranted) got.push(worker)
    })
  await take(0)
  const [second, third] = [take(1), take(2)]
  t.same(got, [0])
  layers.letGo('a', 2)
  layers.letGo('b', 0)
  t.same(got, [0], 'one who does not have it cannot let it go')
  layers.letGo('a', 0)
  await second
  t.same(got, [0, 1])
  layers.letGo('a', 1)
  await third
  t.same(got, [0, 1, 2])
})

void t.test('whoever waits too long is refused, and nobody waits for it', async (t) => {
  const clock = new ManualClock()
  const layers = new ClaimedLayers(clock, LIMIT_MS)
  t.ok(await layers.take('a', 0))
  const late = layers.take('a', 1)
  clock.advance(LIMIT_MS)
  t.notOk(await late)
  layers.letGo('a', 0)
  t.ok(await layers.take('a', 2), 'it was not given to the one who gave up')
})

void t.test('a worker that ended has nothing and waits for nothing', async (t) => {
  const layers = new ClaimedLayers(new ManualClock(), LIMIT_MS)
  for (const layerId of ['a', 'b']) t.ok(await layers.take(layerId, 0))
  t.ok(await layers.take('c', 1))
  const waiting = [layers.take('a', 1), layers.take('b', 2), layers.take('c', 0)]
  layers.forget(0)
  t.same(await Promise.all(waiting), [true, true, false])
  layers.letGo('c', 1)
  t.ok(await layers.take('c', 2))
})

void t.test('whatever happens, two workers never have one layer', async (t) => {
  const step = fc.record({ worker: fc.nat({ max: 2 }), layer: fc.nat({ max: 1 }), what: fc.nat({ max: 5 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const layers = new ClaimedLayers(new ManualClock(), LIMIT_MS)
      const holders = new Map<string, Set<number>>()
      const of = (layerId: string): Set<number> => {
        const found = holders.get(layerId) ?? new Set()
        holders.set(layerId, found)
        return found
      }
      for (const { worker, layer, what } of steps) {
        const layerId = String(layer)
        if (what === 0) {
          for (const held of holders.values()) held.delete(worker)
          layers.forget(worker)
        } else if (what < 3) {
          of(layerId).delete(worker)
          layers.letGo(layerId, worker)
        } else {
          void layers.take(layerId, worker).then((isGranted) => {
            if (isGranted) of(layerId).add(worker)
          })
        }
        await Promise.resolve()
        await Promise.resolve()
        t.ok([...holders.values()].every(({ size }) => size <= 1))
      }
    }),
    { numRuns: 50 },
  )
})

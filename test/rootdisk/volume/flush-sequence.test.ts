import t from 'tap'
import { FlushSequence } from '../../../src/rootdisk/volume/flush-sequence.js'

/** A sequence whose runs end when told. */
function manual(): { sequence: FlushSequence; ends: ((err?: Error) => void)[] } {
  const ends: ((err?: Error) => void)[] = []
  const run = (): Promise<void> =>
    new Promise((resolve, reject) => {
      ends.push((err) => {
        if (err) reject(err)
        else resolve()
      })
    })
  return { sequence: new FlushSequence(run), ends }
}

void t.test('flushes that arrive during one share the next', async (t) => {
  const { sequence, ends } = manual()
  const first = sequence.flush()
  t.equal(sequence.flush(), first, 'nothing changed since it began')
  sequence.noteChange()
  const second = sequence.flush()
  sequence.noteChange()
  const third = sequence.flush()
  t.equal(second, third)
  t.equal(ends.length, 1)
  ends[0]?.()
  await first
  const fourth = sequence.flush()
  await Promise.resolve()
  t.equal(ends.length, 2, 'one at a time')
  ends[1]?.()
  await Promise.all([second, fourth])
  t.equal(ends.length, 2)
  t.equal(sequence.flush(), undefined, 'all is flushed')
})

void t.test('a failed flush fails those it covered, and the next one runs', async (t) => {
  const { sequence, ends } = manual()
  const first = sequence.flush()
  sequence.noteChange()
  const second = sequence.flush()
  ends[0]?.(new Error('disk'))
  await t.rejects(first ?? Promise.resolve(), /disk/)
  await Promise.resolve()
  ends[1]?.()
  await second
  t.equal(sequence.flush(), undefined)
})

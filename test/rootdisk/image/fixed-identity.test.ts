import t from 'tap'
import { fixedUuid, fixedVolumeNumber } from '../../../src/rootdisk/image/fixed-identity.js'

void t.test('a recipe names the same thing the same in each build, and different things differently', (t) => {
  t.equal(fixedUuid('recipe', 'disk'), fixedUuid('recipe', 'disk'))
  t.match(
    fixedUuid('recipe', 'disk'),
    /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  )
  const names = ['recipe', 'other'].flatMap((digest) =>
    ['disk', 'esp'].map((what) => fixedUuid(digest, what)),
  )
  t.equal(new Set(names).size, 4)
  t.match(fixedVolumeNumber('recipe', 'esp'), /^[0-9a-f]{8}$/)
  t.end()
})

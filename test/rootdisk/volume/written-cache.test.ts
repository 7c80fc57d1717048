import fc from 'fast-check'
import t from 'tap'
import { GoldenCache } from '../../../src/rootdisk/volume/golden-cache.js'
import { createLayer } from '../../../src/rootdisk/volume/layer.js'
import { openShared } from '../../../src/rootdisk/volume/open-volume.js'
import { groupsOf, Workload } from './crash-workload.js'
import { SlowFiles } from './memory-files.js'
import { bytesOf, TestDisk, unsynced } from './model-disk.js'

const KIB = 1024
const TOP = { layerId: 'top', sizeBytes: 256 * KIB }

void t.test(
  'no read of a disk under work is older than what was acknowledged when it began',
  { timeout: 60_000 },
  async (t) => {
    const runs = fc.sample(fc.tuple(groupsOf(40), groupsOf(40), groupsOf(40)), { seed: 3, numRuns: 60 })
    for (const [seed, groups] of runs.entries()) {
      const work = await Workload.begin(new SlowFiles(seed), 40)
      await work.run(groups.flat())
    }
    t.pass(`${runs.length} workloads`)
  },
)

void t.test('what is read again of a written layer is in memory, what is read once is not', async (t) => {
  const disk = new TestDisk(t.testdir())
  await createLayer(disk, TOP)
  const reads: number[] = []
  const read: typeof unsynced.read = (fd, into, position, done) => {
    reads.push(into.length)
    unsynced.read(fd, into, position, done)
  }
  const cache = new GoldenCache(256 * KIB)
  const volume = await openShared(disk.store({ cache, files: { ...unsynced, read } }), [TOP])
  await volume.write(0, Buffer.alloc(128 * KIB, 1))
  reads.length = 0
  await bytesOf(volume, 0, 128 * KIB)
  await bytesOf(volume, 8 * KIB, 4 * KIB)
  t.same(reads, [128 * KIB, 4 * KIB], 'once: the bytes asked for')
  await bytesOf(volume, 20 * KIB, 4 * KIB)
  t.same(reads.slice(2), [64 * KIB], 'again: all of the chunk')
  const into = Buffer.alloc(4 * KIB)
  t.equal(volume.read(40 * KIB, into), undefined, 'then it is there at once')
  await volume.write(41 * KIB, Buffer.alloc(2 * KIB, 2))
  t.equal(volume.read(40 * KIB, into), undefined, 'and stays so beyond a write')
  t.ok(into.equals(Buffer.concat([Buffer.alloc(KIB, 1), Buffer.alloc(2 * KIB, 2), Buffer.alloc(KIB, 1)])))
  t.same(cache.report(), {
    hits: 2,
    misses: 1,
    readAhead: 0,
    usedBytes: 64 * KIB,
    budgetBytes: 256 * KIB,
  })
  await volume.close()
  t.equal(cache.usedBytes, 0, 'nothing outlives the volume: somebody else may write the layer then')
})

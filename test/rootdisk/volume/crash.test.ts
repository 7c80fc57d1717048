import fc from 'fast-check'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { IoDone } from '../../../src/rootdisk/volume/layer-files.js'
import { enumerate } from './crash-states.js'
import { groupsOf } from './crash-workload.js'
import { SlowFiles, type MemoryFiles } from './memory-files.js'

/** In a process of its own, as `npm run crash-states`: the test runner's hooks make promises three times as slow. */
void t.test(
  'no crash leaves a cluster that is neither old nor new, or loses what was promised',
  async (t) => {
    const program = join(process.cwd(), 'dist/test/rootdisk/volume/crash-states.js')
    const stdout = await new Promise<string>((resolve) => {
      execFile(process.execPath, [program], { env: {} }, (err, out, stderr) =>
        resolve(err === null ? out : out + stderr),
      )
    })
    const lines = stdout.trim().split('\n')
    const { states, bad } = JSON.parse(lines.at(-1) ?? '{}') as { states: number; bad: number }
    t.comment(`${String(states)} crash states`)
    t.equal(bad, 0, stdout)
    t.ok(states >= 100_000)
  },
)

const workloads = fc.sample(groupsOf(8), { seed: 1, numRuns: 40 })

/** Whether the enumeration finds out that the files do not what they are asked. */
async function isCaught(t: Test, makeFiles: (seed: number) => MemoryFiles): Promise<void> {
  const { bad, example, states } = await enumerate({ workloads, clusters: 8, statesPerPoint: 16, makeFiles })
  t.comment(`${example}, state ${String(states)}`)
  t.ok(bad > 0)
}

void t.test('a flush that writes the map before it syncs the data is caught', async (t) => {
  class MapFirst extends SlowFiles {
    /** A data sync that was promised and is done with the next sync of a map. */
    readonly #owed: number[] = []

    override sync(fd: number, done: IoDone): void {
      if (this.pathOf(fd).endsWith('/data')) {
        this.#owed.push(fd)
        setImmediate(done, null)
        return
      }
      super.sync(fd, () => {
        const owed = this.#owed.splice(0)
        let left = owed.length
        if (left === 0) done(null)
        for (const data of owed) super.sync(data, () => (--left === 0 ? done(null) : undefined))
      })
    }
  }
  await isCaught(t, (seed) => new MapFirst(seed))
})

void t.test('a flush that writes map bits set after its data sync began is caught', async (t) => {
  class LateMap extends SlowFiles {
    override write(fd: number, from: Uint8Array, position: number, done: IoDone): void {
      const layer = /\/([^/]+)\/map$/.exec(this.pathOf(fd))?.[1]
      const live = this.contents.get(`/nowhere/run/${layer ?? ''}.map`)
      if (live === undefined || position === 0) super.write(fd, from, position, done)
      else {
        const late = Buffer.alloc(from.length)
        for (const [n, block] of live.blocks) {
          if (n * 512 >= position && n * 512 < position + late.length) block.copy(late, n * 512 - position)
        }
        super.write(fd, late, position, done)
      }
    }
  }
  await isCaught(t, (seed) => new LateMap(seed))
})

void t.test('a flush that does not sync the map is caught', async (t) => {
  class NoMapSync extends SlowFiles {
    override sync(fd: number, done: IoDone): void {
      if (this.pathOf(fd).endsWith('/map')) setImmediate(done, null)
      else super.sync(fd, done)
    }
  }
  await isCaught(t, (seed) => new NoMapSync(seed))
})

void t.test('a flush that leaves out the layers under the top is caught', async (t) => {
  class TopOnly extends SlowFiles {
    #top = 'top'

    override open(...args: Parameters<SlowFiles['open']>): Promise<number> {
      const [path, mode] = args
      if (mode === 'replace') this.#top = /([^/]+)\.map$/.exec(path)?.[1] ?? ''
      return super.open(...args)
    }

    override sync(fd: number, done: IoDone): void {
      if (this.pathOf(fd).includes(`/${this.#top}/`)) super.sync(fd, done)
      else setImmediate(done, null)
    }
  }
  await isCaught(t, (seed) => new TopOnly(seed))
})

void t.test('a map bit that is set before its data is in the kernel is caught', async (t) => {
  class EarlyDone extends SlowFiles {
    override write(fd: number, from: Uint8Array, position: number, done: IoDone): void {
      if (!this.pathOf(fd).endsWith('/data')) super.write(fd, from, position, done)
      else {
        const bytes = Buffer.from(from)
        this.later(() => super.write(fd, bytes, position, () => undefined))
        setImmediate(done, null)
      }
    }
  }
  await isCaught(t, (seed) => new EarlyDone(seed))
})

void t.test('a header that does not name the map pages that are used is caught', async (t) => {
  class NoGroups extends SlowFiles {
    override write(fd: number, from: Uint8Array, position: number, done: IoDone): void {
      const isHeader = this.pathOf(fd).endsWith('/map') && position === 0
      super.write(fd, isHeader ? from.subarray(0, 512) : from, position, done)
    }
  }
  await isCaught(t, (seed) => new NoGroups(seed))
})

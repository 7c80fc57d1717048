import fc from 'fast-check'
import t from 'tap'
import type { IoDone } from '../../../src/rootdisk/volume/layer-files.js'
import { createLayer, layerPath, liveMapPath } from '../../../src/rootdisk/volume/layer.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'
import { CrashDisk, PowerLoss, type Entry, type Note } from './crash-disk.js'
import { bytesOf, TestDisk } from './model-disk.js'

const CLUSTER = 4096
const COUNT = 6
const TOP = { layerId: 'top', sizeBytes: COUNT * CLUSTER }
const IMAGE = { layerId: 'image', sizeBytes: (COUNT - 1) * CLUSTER }
const CHAIN = [TOP, IMAGE]
const STATES_PER_POINT = 256

interface Op {
  kind: 'write' | 'unmap' | 'flush'
  offset: number
  length: number
}

const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(
        fc.nat(COUNT - 1),
        fc.constantFrom(0, 0, 0, 512, 3000),
        fc.constantFrom(CLUSTER, CLUSTER, 700, 2 * CLUSTER),
      )
      .map(([n, shift, length]) => ({ kind: 'write' as const, offset: n * CLUSTER + shift, length })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.nat(COUNT - 1), fc.integer({ min: 1, max: 2 }))
      .map(([n, count]) => ({ kind: 'unmap' as const, offset: n * CLUSTER, length: count * CLUSTER })),
  },
  { weight: 2, arbitrary: fc.constant<Op>({ kind: 'flush', offset: 0, length: 0 }) },
)

/** Groups of operations that are under way at once. */
const workload = fc.array(fc.array(op, { minLength: 1, maxLength: 3 }), { minLength: 4, maxLength: 9 })

/** Runs operations and keeps, per cluster, each content it was ever asked to have. */
class Workload {
  readonly versions: Buffer[][]
  readonly #acked = Array<number>(COUNT).fill(0)
  #flushed = Array<number>(COUNT).fill(0)
  #value = 100

  readonly disk: CrashDisk
  readonly volume: Volume

  constructor(disk: CrashDisk, volume: Volume, content: Buffer) {
    this.disk = disk
    this.volume = volume
    this.versions = Array.from({ length: COUNT }, (_, n) => [cut(content, n)])
  }

  async run(groups: Op[][]): Promise<void> {
    for (const group of groups) await Promise.all(group.map((one) => this.#start(one)))
    await this.volume.flush()
  }

  async #start({ kind, offset, length }: Op): Promise<void> {
    if (kind === 'flush') {
      const covered = [...this.#acked]
      await this.volume.flush()
      this.#flushed = this.#flushed.map((old, n) => Math.max(old, covered[n] ?? 0))
      this.#note()
      return
    }
    const end = Math.min(offset + length, TOP.sizeBytes)
    const bytes = Buffer.alloc(end - offset, kind === 'write' ? this.#value++ : 0)
    const reached = this.#submit(offset, bytes)
    await (kind === 'write' ? this.volume.write(offset, bytes) : this.volume.unmap(offset, bytes.length))
    for (const [n, version] of reached) this.#acked[n] = Math.max(this.#acked[n] ?? 0, version)
    this.#note()
  }

  #submit(offset: number, bytes: Buffer): [number, number][] {
    const reached: [number, number][] = []
    for (let n = Math.floor(offset / CLUSTER); n * CLUSTER < offset + bytes.length; n++) {
      const versions = this.versions[n] ?? []
      const next = Buffer.from(versions.at(-1) ?? [])
      const from = Math.max(0, n * CLUSTER - offset)
      bytes.copy(next, Math.max(0, offset - n * CLUSTER), from, (n + 1) * CLUSTER - offset)
      reached.push([n, versions.push(next) - 1])
    }
    this.#note()
    return reached
  }

  #note(): void {
    const submitted = this.versions.map((versions) => versions.length - 1)
    this.disk.log.push({ kind: 'note', note: { submitted, acked: [...this.#acked], flushed: this.#flushed } })
  }
}

function cut(content: Buffer, n: number): Buffer {
  return Buffer.from(content.subarray(n * CLUSTER, (n + 1) * CLUSTER))
}

/** A clone of an image with bytes, in memory, and what it reads as. */
async function prepared(root: string): Promise<{ dirs: TestDisk; paths: string[]; content: Buffer }> {
  const dirs = new TestDisk(root)
  const content = Buffer.alloc(TOP.sizeBytes)
  content.fill(1, 0, 2 * CLUSTER).fill(2, 3 * CLUSTER, 4 * CLUSTER + 900)
  await createLayer(dirs, IMAGE)
  const image = await dirs.open([IMAGE])
  await image.write(0, content.subarray(0, 2 * CLUSTER))
  await image.write(3 * CLUSTER, content.subarray(3 * CLUSTER, 4 * CLUSTER + 900))
  await image.close()
  await createLayer(dirs, TOP)
  const paths = [TOP, IMAGE].flatMap(({ layerId }) =>
    (['data', 'map'] as const).map((file) => layerPath(dirs.layersDir, layerId, file)),
  )
  return { dirs, paths, content }
}

/** What cluster breaks the promise: content not of a version from `from` to the last submitted one. */
async function broken(
  dirs: TestDisk,
  files: CrashDisk,
  work: Workload,
  note: Note,
  from: number[],
): Promise<string> {
  const volume = await dirs.open(CHAIN, files, true)
  const content = await bytesOf(volume)
  for (let n = 0; n < COUNT; n++) {
    const allowed = (work.versions[n] ?? []).slice(from[n] ?? 0, (note.submitted[n] ?? 0) + 1)
    if (!allowed.some((version) => version.equals(cut(content, n)))) return `cluster ${String(n)}`
  }
  return ''
}

function withContents(contents: Map<string, Buffer>): CrashDisk {
  const disk = new CrashDisk()
  disk.isQuick = true
  for (const [path, bytes] of contents) disk.contents.set(path, bytes)
  return disk
}

interface Outcome {
  states: number
  violations: number
}

async function checkPowerLoss(
  root: string,
  groups: Op[][],
  make = (): CrashDisk => new CrashDisk(),
): Promise<Outcome> {
  const { dirs, paths, content } = await prepared(root)
  const disk = make().load(...paths)
  const base = new Map([...disk.contents].map(([path, bytes]) => [path, Buffer.from(bytes)]))
  const work = new Workload(disk, await dirs.open(CHAIN, disk), content)
  await work.run(groups)
  dirs.bootId = 'after the power came back'
  const outcome = { states: 0, violations: 0 }
  for (const [length, note] of crashPoints(disk.log)) {
    const loss = new PowerLoss(base, disk.log, length)
    const take = Math.min(loss.count, STATES_PER_POINT)
    for (let i = 0; i < take; i++) {
      const index = loss.count <= STATES_PER_POINT ? i : Math.floor((i * loss.count) / take)
      outcome.states++
      if (outcome.violations > 0) return outcome
      if (await broken(dirs, withContents(loss.state(index)), work, note, note.flushed)) outcome.violations++
    }
  }
  return outcome
}

/** Each point after which something changed, with what was known there. */
function* crashPoints(log: readonly Entry[]): Generator<[number, Note]> {
  const zeros = Array<number>(COUNT).fill(0)
  let note: Note = { submitted: zeros, acked: zeros, flushed: zeros }
  for (const [index, entry] of log.entries()) {
    if (entry.kind === 'note') note = entry.note
    yield [index + 1, note]
  }
}

const workloads = fc.sample(workload, { seed: 20261123, numRuns: 12 })

async function total(root: string, make?: () => CrashDisk): Promise<Outcome> {
  const sum = { states: 0, violations: 0 }
  for (const [i, groups] of workloads.entries()) {
    if (sum.violations > 0) break
    const { states, violations } = await checkPowerLoss(`${root}/${String(i)}`, groups, make)
    sum.states += states
    sum.violations += violations
  }
  return sum
}

void t.test('after power loss every cluster is old or new and what was flushed is there', async (t) => {
  const { states, violations } = await total(t.testdir())
  t.comment(`${String(states)} crash states`)
  t.ok(states > 1000)
  t.equal(violations, 0)
})

void t.test('a flush that syncs the map without the data is caught', async (t) => {
  class NoDataSync extends CrashDisk {
    override sync(fd: number, done: IoDone): void {
      if (this.pathOf(fd).endsWith('/data')) setImmediate(done, null)
      else super.sync(fd, done)
    }
  }
  t.ok((await total(t.testdir(), () => new NoDataSync())).violations > 0)
})

void t.test('a flush that writes map bits set after its data sync began is caught', async (t) => {
  class LateSnapshot extends CrashDisk {
    override write(fd: number, from: Uint8Array, position: number, done: IoDone): void {
      const path = this.pathOf(fd)
      const isMapPage = path.endsWith('/top/map') && position > 0
      const live = [...this.contents].find(([name]) => name.endsWith('/top.map'))?.[1]
      super.write(
        fd,
        isMapPage && live ? live.subarray(position, position + from.length) : from,
        position,
        done,
      )
    }
  }
  t.ok((await total(t.testdir(), () => new LateSnapshot())).violations > 0)
})

void t.test('a flush that does not sync the map is caught', async (t) => {
  class NoMapSync extends CrashDisk {
    override sync(fd: number, done: IoDone): void {
      if (this.pathOf(fd).endsWith('/map')) setImmediate(done, null)
      else super.sync(fd, done)
    }
  }
  t.ok((await total(t.testdir(), () => new NoMapSync())).violations > 0)
})

void t.test('after SIGKILL at any point every acknowledged write is there', async (t) => {
  const root = t.testdir()
  let states = 0
  for (const [i, groups] of workloads.entries()) {
    const { dirs, paths, content } = await prepared(`${root}/${String(i)}`)
    const disk = new CrashDisk().load(...paths)
    const contents = new Map([...disk.contents].map(([path, bytes]) => [path, Buffer.from(bytes)]))
    const work = new Workload(disk, await dirs.open(CHAIN, disk), content)
    await work.run(groups)
    for (const [length, note] of crashPoints(disk.log)) {
      replay(contents, disk.log[length - 1])
      const files = withContents(new Map([...contents].map(([path, bytes]) => [path, Buffer.from(bytes)])))
      states++
      const cluster = await broken(dirs, files, work, note, note.acked)
      if (cluster !== '') t.fail(`${cluster} after ${String(length)} entries`)
    }
    t.ok(contents.has(liveMapPath(dirs.runDir, 'top')))
  }
  t.comment(`${String(states)} kill points`)
})

function replay(contents: Map<string, Buffer>, entry: Entry | undefined): void {
  if (entry?.kind === 'truncate') {
    const resized = Buffer.alloc(entry.size)
    contents.get(entry.path)?.copy(resized)
    contents.set(entry.path, resized)
  } else if (entry?.kind === 'write') {
    entry.bytes.copy(contents.get(entry.path) ?? Buffer.alloc(0), entry.position)
  }
}

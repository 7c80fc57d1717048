// `npm run crash-states [-- WORKLOADS]`: what a crash may leave of volumes under work, each state opened and checked.
import fc from 'fast-check'
import { argv, exit, stdout } from 'node:process'
import { pathToFileURL } from 'node:url'
import type { LayerSpec } from '../../../src/rootdisk/volume/layer.js'
import type { Volume } from '../../../src/rootdisk/volume/volume.js'
import { CLUSTER, groupsOf, openAfter, RUN_DIR, Workload, type Note, type Op } from './crash-workload.js'
import { MemoryFiles, replay, SlowFiles, type Contents } from './memory-files.js'
import { PowerLoss } from './power-loss.js'

/** What an enumeration found. */
export interface Outcome {
  states: number
  bad: number
  /** The first one that is bad, in words. */
  example: string
}

export interface EnumerationOptions {
  readonly workloads: readonly (readonly (readonly Op[])[])[]
  readonly clusters: number
  /** Of the states that power loss may leave at one point, when there are more. */
  readonly statesPerPoint: number
  /** The files that the volume runs on; a test of the test hands in lying ones. */
  readonly makeFiles?: (seed: number) => MemoryFiles
}

/** Runs each workload once and opens every state that a kill or power loss at each of its steps may leave. */
export async function enumerate(options: EnumerationOptions): Promise<Outcome> {
  const outcome: Outcome = { states: 0, bad: 0, example: '' }
  for (const [seed, groups] of options.workloads.entries()) {
    const files = options.makeFiles?.(seed) ?? new SlowFiles(seed)
    const work = await Workload.begin(files, options.clusters)
    await work.run(groups)
    const check = new Check(work, outcome, `workload ${String(seed)}`)
    await check.run(options.statesPerPoint)
    if (outcome.bad > 0) break
  }
  return outcome
}

class Check {
  readonly #work: Workload
  readonly #outcome: Outcome
  readonly #name: string
  #random = 1

  constructor(work: Workload, outcome: Outcome, name: string) {
    this.#work = work
    this.#outcome = outcome
    this.#name = name
  }

  async run(statesPerPoint: number): Promise<void> {
    const { log } = this.#work.files
    const kernel: Contents = new Map()
    const loss = new PowerLoss(RUN_DIR)
    let note: Note | undefined
    for (const [index, entry] of log.entries()) {
      let isChanged = loss.take(entry)
      replay(kernel, entry)
      if (entry.kind === 'note') {
        const next = entry.note as Note // only workloads write notes
        isChanged =
          next.flushed !== note?.flushed || next.wished !== note.wished || next.snapshots !== note.snapshots
        note = next
      }
      if (note === undefined) continue // the layers are still being made
      const name = `${this.#name}, entry ${String(index)}`
      await this.#one(new Map(kernel), note, { isKill: true, name: `kill: ${name}` })
      if (isChanged) await this.#powerLoss(loss, note, { most: statesPerPoint, name })
    }
  }

  async #powerLoss(
    loss: PowerLoss,
    note: Note,
    { most, name }: { most: number; name: string },
  ): Promise<void> {
    const choices = loss.choices()
    const count = choices.reduce((product, choice) => product * choice.count, 1)
    const states =
      count <= most ? everyPick(choices, count) : [...extremes(choices), ...this.#samples(choices, most)]
    for (const picks of states) {
      const what = `power loss: ${name}, ${choices.map(({ path, block }, i) => `${path}#${String(block)}=${String(picks[i])}`).join(' ')}`
      await this.#one(loss.state(choices, picks), note, { isKill: false, name: what })
    }
  }

  #samples(choices: readonly { count: number }[], most: number): number[][] {
    return Array.from({ length: most }, () => choices.map(({ count }) => this.#below(count)))
  }

  #below(count: number): number {
    this.#random = (this.#random * 48271) % 2147483647
    return this.#random % count
  }

  async #one(contents: Contents, note: Note, state: { isKill: boolean; name: string }): Promise<void> {
    this.#outcome.states++
    const problem = await this.#problem(contents, note, state.isKill).catch((err: unknown) => String(err))
    if (problem === '') return
    this.#outcome.bad++
    if (this.#outcome.example === '') this.#outcome.example = `${problem} after ${state.name}`
  }

  async #problem(contents: Contents, note: Note, isKill: boolean): Promise<string> {
    const files = new MemoryFiles(contents)
    const sizeBytes = note.wished[0]?.sizeBytes ?? 0
    // a writable volume takes up live maps and grows; the maps on disk are read alike by both, and sooner
    const isReadOnly = !isKill && this.#outcome.states % 4 !== 0
    const volume = await openAfter(files, note.wished, { isSameBoot: isKill, isReadOnly })
    if (!isReadOnly && volume.sizeBytes !== sizeBytes) return `the disk has ${String(volume.sizeBytes)} bytes`
    const content = await contentOf(volume, sizeBytes)
    const broken = this.#broken(content, isKill ? note.acked : note.flushed, note.submitted)
    if (broken !== '') return broken
    if (this.#outcome.states % 8 !== 0) return ''
    await volume.close() // what was recovered stays so, beyond another power loss
    const again = await openAfter(files, note.wished, { isSameBoot: false, isReadOnly: true })
    if (!(await contentOf(again, sizeBytes)).equals(content)) return 'content changed by recovery'
    return this.#brokenSnapshot(files, note)
  }

  async #brokenSnapshot(files: MemoryFiles, note: Note): Promise<string> {
    for (const { layerId, from, to } of note.snapshots) {
      const at = note.wished.findIndex((layer) => layer.layerId === layerId)
      const chain: readonly LayerSpec[] = at < 0 ? [] : note.wished.slice(at)
      if (chain.length === 0) continue // it was deleted
      const snapshot = await openAfter(files, chain, { isSameBoot: false, isReadOnly: true })
      const broken = this.#broken(await contentOf(snapshot, snapshot.sizeBytes), from, to)
      if (broken !== '') return `snapshot ${layerId}: ${broken}`
    }
    return ''
  }

  /** What cluster has content of no version from `from` to `to`. */
  #broken(content: Buffer, from: readonly number[], to: readonly number[]): string {
    for (let n = 0; n * CLUSTER < content.length; n++) {
      const bytes = content.subarray(n * CLUSTER, (n + 1) * CLUSTER)
      const allowed = this.#work.versions[n]?.slice(from[n] ?? 0, (to[n] ?? 0) + 1) ?? []
      if (!allowed.some((version) => version.subarray(0, bytes.length).equals(bytes)))
        return `cluster ${String(n)}`
    }
    return ''
  }
}

/** What a volume shows; one that did not grow yet shows zeros in what it does not have. */
async function contentOf(volume: Volume, sizeBytes: number): Promise<Buffer> {
  const content = Buffer.alloc(sizeBytes)
  await volume.read(0, content.subarray(0, Math.min(volume.sizeBytes, sizeBytes)))
  return content
}

function everyPick(choices: readonly { count: number }[], count: number): number[][] {
  return Array.from({ length: count }, (_, index) => {
    let left = index
    return choices.map((choice) => {
      const pick = left % choice.count
      left = Math.floor(left / choice.count)
      return pick
    })
  })
}

/** The states that a wrong order would show in: only maps kept, only data kept, all, nothing. */
function extremes(choices: readonly { path: string; count: number }[]): number[][] {
  const keeping = (isKept: (path: string) => boolean): number[] =>
    choices.map(({ path, count }) => (isKept(path) ? count - 1 : 0))
  return [
    keeping((path) => path.endsWith('/map')),
    keeping((path) => path.endsWith('/data')),
    keeping(() => true),
    keeping(() => false),
  ]
}

/** Enough for more than 100,000 states. */
const RANDOM_WORKLOADS = 86

/** Workloads that showed something once, or would. */
const HAND_PICKED: readonly (readonly (readonly Op[])[])[] = [
  [
    [{ kind: 'write', offset: 0, length: 8 * CLUSTER }],
    [{ kind: 'push' }],
    [{ kind: 'kill' }],
    [{ kind: 'flush' }],
  ],
  [
    [{ kind: 'write', offset: 500, length: 9000 }, { kind: 'push' }, { kind: 'flush' }],
    [{ kind: 'drop', at: 0 }],
  ],
  [
    [{ kind: 'grow', bytes: 3 * CLUSTER }],
    [{ kind: 'write', offset: 8 * CLUSTER, length: CLUSTER }],
    [{ kind: 'kill' }],
  ],
  [
    [{ kind: 'grow', bytes: 100 }, { kind: 'push' }],
    [{ kind: 'grow', bytes: 5000 }, { kind: 'flush' }],
  ],
  [
    [{ kind: 'push' }],
    [{ kind: 'merge', at: 1 }, { kind: 'push' }],
    [{ kind: 'kill' }],
    [{ kind: 'drop', at: 1 }],
  ],
  [
    [{ kind: 'flatten' }, { kind: 'write', offset: 700, length: 700 }],
    [{ kind: 'drop', at: 1 }],
    [{ kind: 'drop', at: 0 }],
  ],
]

/** Trims enough of a larger disk for its space to be given back, and writes there meanwhile. */
const TRIMS: readonly (readonly (readonly Op[])[])[] = [
  [
    [{ kind: 'write', offset: 0, length: 20 * CLUSTER }],
    [{ kind: 'flush' }],
    [
      { kind: 'unmap', first: 0, count: 18 },
      { kind: 'write', offset: 5 * CLUSTER, length: CLUSTER },
    ],
    [{ kind: 'write', offset: 3 * CLUSTER, length: 700 }, { kind: 'flush' }],
    [{ kind: 'unmap', first: 0, count: 20 }, { kind: 'push' }],
    [{ kind: 'write', offset: 0, length: 2 * CLUSTER }],
  ],
]

/** The whole enumeration; `randomWorkloads` of them are drawn, always the same ones. */
async function crashStates(randomWorkloads: number): Promise<Outcome> {
  const drawn = fc.sample(groupsOf(8), { seed: 20261123, numRuns: randomWorkloads })
  const parts = [
    await enumerate({ workloads: [...HAND_PICKED, ...drawn], clusters: 8, statesPerPoint: 400 }),
    await enumerate({ workloads: TRIMS, clusters: 22, statesPerPoint: 400 }),
  ]
  return parts.reduce((sum, part) => ({
    states: sum.states + part.states,
    bad: sum.bad + part.bad,
    example: sum.example === '' ? part.example : sum.example,
  }))
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  const { states, bad, example } = await crashStates(Number(argv[2] ?? RANDOM_WORKLOADS))
  if (example !== '') stdout.write(`${example}\n`)
  stdout.write(`${JSON.stringify({ states, bad })}\n`)
  exit(bad === 0 ? 0 : 1)
}

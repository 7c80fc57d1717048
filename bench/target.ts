// Our portal over clones against tgtd over raw files with the same bytes: alternating rounds of the same loads.
// Prints medians and, last, the ratios as one JSON object: ours divided by tgtd's.
import { join } from 'node:path'
import { compareNbd } from './nbd.js'
import {
  load,
  makeClones,
  median,
  rawCopies,
  rounded,
  runBench,
  startOurs,
  startTgtd,
  stop,
  writeRandom,
  type Contender,
} from './contenders.js'

const SIZE_BYTES = 512 << 20
const CROWD_SIZE_BYTES = 64 << 20
const CROWD = 64
/** Clone 0 stays as it is; 1 gets all its clusters of its own; the others are written once each. */
const [GOLDEN, OWN, FIRST] = [0, 1, 2]

/** A load, what of its figures counts, and under which name the ratio is printed. */
interface Load {
  readonly name: string
  readonly field: string
  readonly words: (round: number) => string[]
}

const random = (mode: string, depth: number, target: number) => (): string[] => [
  '-m',
  mode,
  '-b',
  '4096',
  '-q',
  String(depth),
  '-i',
  String(target),
  '-t',
  '2',
]
const sequential = (mode: string, target: number) => (): string[] => [
  '-m',
  mode,
  '-b',
  '262144',
  '-q',
  '8',
  '-i',
  String(target),
  '-t',
  '2',
]

const LOADS: readonly Load[] = [
  { name: 'rr4k_cache_io_per_cpu', field: 'iops_per_cpu', words: random('rr', 32, GOLDEN) },
  { name: 'rr4k_cache_iops', field: 'iops', words: random('rr', 32, GOLDEN) },
  { name: 'sr256k_mbps', field: 'MBps', words: sequential('sr', GOLDEN) },
  { name: 'sw256k_mbps', field: 'MBps', words: sequential('sw', OWN) },
  { name: 'rr4k_clone_io_per_cpu', field: 'iops_per_cpu', words: random('rr', 32, OWN) },
  { name: 'rw4k_io_per_cpu', field: 'iops_per_cpu', words: random('rw', 32, OWN) },
  // Behind other writes: it ends by itself, so the compiler's second of warming up would count.
  {
    name: 'rw4k_first_io_per_cpu',
    field: 'iops_per_cpu',
    words: (round) => ['-m', 'fw', '-i', String(FIRST + round)],
  },
  { name: 'rr4k_cache_qd1_p50', field: 'p50_us', words: random('rr', 1, GOLDEN) },
  { name: 'rr4k_qd1_p50', field: 'p50_us', words: random('rr', 1, OWN) },
  { name: 'rr4k_qd1_p99', field: 'p99_us', words: random('rr', 1, OWN) },
]

/** iPXE asks for 256 KiB at a time and takes 8 KiB in one PDU. */
const firmware = (connections: number) => (): string[] => [
  '-m',
  'sr',
  '-b',
  '262144',
  '-q',
  '1',
  '-d',
  '8192',
  '-c',
  String(connections),
  '-n',
  String(CROWD),
  '-t',
  '2',
]
const CROWD_LOADS: readonly Load[] = [
  {
    name: 'conns64_iops',
    field: 'iops',
    words: () => ['-m', 'rr', '-q', '8', '-c', '64', '-n', '64', '-t', '2'],
  },
  ...[1, 8, 32, 64].map((n) => ({ name: `ipxe${n}_mbps`, field: 'MBps', words: firmware(n) })),
]

await runBench(async (scratch) => {
  const rounds = Number(process.argv[3] ?? 3)
  const raw = join(scratch, 'image.raw')
  writeRandom(raw, SIZE_BYTES)
  const clones = await makeClones(scratch, raw, SIZE_BYTES, FIRST + rounds)
  const copies = await rawCopies(scratch, raw, FIRST + rounds)
  const ours = await startOurs(clones)
  const tgtd = await startTgtd(copies)
  const single = await compare(ours, tgtd, LOADS, rounds)
  const nbd = await compareNbd(scratch, raw, { contender: ours, socket: clones.nbdSocket }, rounds)
  for (const contender of [ours, tgtd]) await stop(contender)
  const crowdRaw = join(scratch, 'crowd.raw')
  writeRandom(crowdRaw, CROWD_SIZE_BYTES)
  const crowd = await makeClones(scratch, crowdRaw, CROWD_SIZE_BYTES, CROWD)
  const crowdCopies = await rawCopies(scratch, crowdRaw, CROWD)
  const many = await compare(await startOurs(crowd), await startTgtd(crowdCopies), CROWD_LOADS, rounds)
  return { ...single, ...many, ...nbd }
})

async function compare(
  ours: Contender,
  peer: Contender,
  loads: readonly Load[],
  rounds: number,
): Promise<Record<string, number>> {
  const ratios: Record<string, number> = {}
  for (const { name, field, words } of loads) {
    const figures: [number[], number[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      for (const [i, contender] of [ours, peer].entries()) {
        figures[i]?.push((await load(contender, words(round)))[field] ?? 0)
      }
    }
    const [mine, theirs] = [median(figures[0]), median(figures[1])]
    ratios[name] = rounded(mine / theirs)
    process.stdout.write(
      `${name}: ours ${mine.toFixed(0)}, tgtd ${theirs.toFixed(0)}, ratio ${ratios[name]}\n`,
    )
  }
  return ratios
}

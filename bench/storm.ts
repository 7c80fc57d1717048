// Boot storm: N machines boot at once from clones of one image, as firmware reads and then as a recorded Debian boot
// reads; the same from tgtd over N raw copies. Prints a table and, last, what must hold as one JSON object.
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { randomFillSync } from 'node:crypto'
import { rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import {
  chunkReads,
  load,
  makeClones,
  median,
  rawCopies,
  rounded,
  runBench,
  startOurs,
  startTgtd,
  stop,
} from './contenders.js'

const SIZE_BYTES = 4 * 2 ** 30
/** What firmware reads before it starts the kernel: loader, kernel and initrd of the recorded image. */
const FIRMWARE_BYTES = 40 << 20
const CROWDS = [1, 8, 32, 128] as const
const TRACE = new URL('../../fixtures/boot-trace/debian-12.txt', import.meta.url).pathname
const BOOT = ['-m', 'boot', '-q', '4', '-s', String(FIRMWARE_BYTES), '-f', TRACE]

await runBench(async (scratch) => {
  const rounds = Number(process.argv[3] ?? 3)
  const raw = join(scratch, 'image.raw')
  const contentBytes = writeTraced(raw)
  const throughput = new Map<number, number>()
  let mostReads = 0
  let unfairness = 0
  print([
    'machines',
    'ours MB/s',
    'median s',
    'slowest s',
    'golden reads',
    'tgtd MB/s',
    'median s',
    'slowest s',
  ])
  for (const count of CROWDS) {
    const ours = await stormOurs(scratch, raw, count, rounds)
    throughput.set(count, ours.mbps)
    mostReads = Math.max(mostReads, ours.most)
    unfairness = Math.max(unfairness, ours.slowest / ours.median)
    const theirs = await stormTgtd(scratch, raw, count, contentBytes)
    print([count, ours.mbps, ours.median, ours.slowest, `${ours.total} of ${ours.chunks}`, ...theirs])
  }
  return {
    throughput_128_vs_8: rounded((throughput.get(128) ?? 0) / (throughput.get(8) ?? 1)),
    slowest_vs_median: rounded(unfairness),
    golden_chunk_reads_max: mostReads,
  }
})

function print(cells: readonly (string | number)[]): void {
  const texts = cells.map((cell) => (typeof cell === 'number' ? String(rounded(cell)) : cell))
  process.stdout.write(`${texts.map((text) => text.padStart(13)).join('')}\n`)
}

/** A sparse image with random bytes wherever a boot reads; gives their number. */
function writeTraced(path: string): number {
  writeFileSync(path, '')
  truncateSync(path, SIZE_BYTES)
  const fd = openSync(path, 'r+')
  const chunk = Buffer.alloc(1 << 20)
  const touched = new Set<number>()
  for (let at = 0; at < FIRMWARE_BYTES; at += chunk.length) touched.add(at / chunk.length)
  for (const line of readFileSync(TRACE, 'utf8').split('\n')) {
    const [lba, blocks] = line.split(' ').map(Number)
    if (lba === undefined || blocks === undefined || Number.isNaN(lba + blocks)) continue
    for (let at = lba * 512; at < (lba + blocks) * 512; at += 4096) touched.add(Math.floor(at / chunk.length))
  }
  for (const index of touched) writeSync(fd, randomFillSync(chunk), 0, chunk.length, index * chunk.length)
  closeSync(fd)
  return touched.size * chunk.length
}

interface Storm {
  readonly mbps: number
  readonly median: number
  readonly slowest: number
  readonly most: number
  readonly total: number
  readonly chunks: number
}

/** Each round has a new process and new clones: nothing is in the cache. */
async function stormOurs(scratch: string, raw: string, count: number, rounds: number): Promise<Storm> {
  const storms: Storm[] = []
  for (let round = 0; round < rounds; round++) {
    const ours = await startOurs(await makeClones(scratch, raw, SIZE_BYTES, count))
    const figures = await load(ours, [...BOOT, '-c', String(count), '-n', String(count)])
    storms.push({ ...timesOf(figures), ...(await chunkReads(ours)) })
    await stop(ours)
  }
  const middle = median(storms.map(({ mbps }) => mbps))
  const storm = storms.find(({ mbps }) => mbps === middle) ?? storms[0]
  if (storm === undefined) throw new Error('no round')
  return storm
}

async function stormTgtd(
  scratch: string,
  raw: string,
  count: number,
  contentBytes: number,
): Promise<(string | number)[]> {
  const { bavail, bsize } = await statfs(scratch)
  if (bavail * bsize < 2 * count * contentBytes) return ['no room', 'for the', 'copies']
  const copies = await rawCopies(scratch, raw, count)
  const tgtd = await startTgtd(copies)
  const figures = timesOf(await load(tgtd, [...BOOT, '-c', String(count), '-n', String(count)]))
  await stop(tgtd)
  await Promise.all(copies.map((copy) => rm(copy)))
  return [figures.mbps, figures.median, figures.slowest]
}

function timesOf(figures: Record<string, number>): Pick<Storm, 'mbps' | 'median' | 'slowest'> {
  const { MBps: mbps = 0, median_s: middle = 0, slowest_s: slowest = 0 } = figures
  return { mbps, median: middle, slowest }
}

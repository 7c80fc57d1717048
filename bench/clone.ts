// What a disk of one's own costs: our clone and our snapshot beside qemu-img's overlay and a sparse copy.
// Prints milliseconds and bytes written, medians, and last our milliseconds as one JSON object.
import { closeSync, mkdirSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { randomFillSync } from 'node:crypto'
import { lstat, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../src/command.js'
import { createLayer } from '../src/rootdisk/volume/layer.js'
import { openVolume } from '../src/rootdisk/volume/open-volume.js'
import { median, rounded, runBench } from './contenders.js'

const GIB = 2 ** 30
/** The image holds a gibibyte of bytes, whatever its size. */
const CONTENT_BYTES = GIB
const SIZES_GIB = [4, 400, 4096] as const
const CHUNK = randomFillSync(Buffer.alloc(4 << 20))

await runBench(async (scratch) => {
  const rounds = Number(process.argv[3] ?? 5)
  const figures: Record<string, number> = {}
  for (const gib of SIZES_GIB) {
    const raw = join(scratch, `image${gib}`)
    writeSparse(raw, gib * GIB)
    const ours = await time(rounds, join(scratch, 'layers'), (directory) =>
      createLayer({ layersDir: directory }, { layerId: 'clone', sizeBytes: gib * GIB }),
    )
    const overlay = await time(rounds, join(scratch, 'overlay'), async (directory) => {
      const words = ['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', join(directory, 'clone.qcow2')]
      await runCommand('qemu-img', words, { timeoutMs: 60_000 })
    })
    const copy = await time(1, join(scratch, 'copy'), async (directory) => {
      await runCommand('cp', ['--sparse=always', raw, join(directory, 'clone')], { timeoutMs: 600_000 })
    })
    await rm(raw)
    const cells = [
      ['ours', ours] as const,
      ['qemu-img create -b', overlay] as const,
      ['cp --sparse', copy] as const,
    ]
    for (const [name, { ms, bytes }] of cells) {
      process.stdout.write(`${gib} GiB image, ${name}: ${ms.toFixed(1)} ms, ${bytes} bytes written\n`)
    }
    figures[`clone_${gib}gib_ms`] = rounded(ours.ms)
    const snapshotMs = await timeSnapshots(rounds, join(scratch, 'volume'), gib * GIB)
    process.stdout.write(
      `${gib} GiB volume with 64 MiB written and flushed, our snapshot: ${snapshotMs.toFixed(1)} ms\n`,
    )
    figures[`snapshot_${gib}gib_ms`] = rounded(snapshotMs)
  }
  return figures
})

/** Snapshots of one live volume: the files of the new top, and the change to it. */
async function timeSnapshots(rounds: number, layersDir: string, sizeBytes: number): Promise<number> {
  mkdirSync(layersDir)
  const places = { layersDir, runDir: layersDir, bootId: 'bench' }
  await createLayer(places, { layerId: 'top', sizeBytes })
  const chain = [{ layerId: 'top', sizeBytes }]
  const volume = await openVolume({ ...places, chain, isReadOnly: false })
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    for (let at = 0; at < 64 << 20; at += CHUNK.length) await volume.write(at, CHUNK)
    await volume.flush()
    const top = { layerId: `top${round}`, sizeBytes }
    const began = performance.now()
    await createLayer(places, top)
    await volume.pushLayer(top)
    times.push(performance.now() - began)
  }
  await volume.close()
  await rm(layersDir, { recursive: true })
  return median(times)
}

/** Runs `make` in an empty directory, several times. */
async function time(
  rounds: number,
  directory: string,
  make: (directory: string) => Promise<void>,
): Promise<{ ms: number; bytes: number }> {
  const times: number[] = []
  let bytes = 0
  for (let round = 0; round < rounds; round++) {
    mkdirSync(directory)
    const began = performance.now()
    await make(directory)
    times.push(performance.now() - began)
    bytes = await allocatedBytes(directory)
    await rm(directory, { recursive: true })
  }
  return { ms: median(times), bytes }
}

async function allocatedBytes(directory: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(directory, { recursive: true })) {
    const { blocks } = await lstat(join(directory, entry))
    sum += blocks * 512 // stat(2): st_blocks counts 512-byte units
  }
  return sum
}

function writeSparse(path: string, sizeBytes: number): void {
  writeFileSync(path, '')
  truncateSync(path, sizeBytes)
  const fd = openSync(path, 'r+')
  for (let at = 0; at < CONTENT_BYTES; at += CHUNK.length) writeSync(fd, CHUNK, 0, CHUNK.length, at)
  closeSync(fd)
}

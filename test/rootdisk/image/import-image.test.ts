import { execFileSync, spawnSync } from 'node:child_process'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { DaemonError } from '../../../src/errors.js'
import { importImage, type ImportImageOptions } from '../../../src/rootdisk/image/import-image.js'
import { qcow2Bytes } from './qcow2-bytes.js'

const MIB = 1 << 20
const LIMITS = { maxSizeBytes: 64 * MIB, timeoutMs: 20_000, memoryLimitBytes: 2 ** 31 }
const hasQemuImg = spawnSync('qemu-img', ['--version']).status === 0
const qemuImg = hasQemuImg ? {} : { skip: 'qemu-img is not installed' }

interface Bench {
  readonly sourcePath: string
  readonly layersDir: string
}

function bench(t: Test): Bench {
  const dir = t.testdir()
  const layersDir = path.join(dir, 'layers')
  mkdirSync(layersDir)
  return { sourcePath: path.join(dir, 'source'), layersDir }
}

function importing(where: Bench, more: Partial<ImportImageOptions> = {}): ReturnType<typeof importImage> {
  return importImage({ ...where, layerId: 'golden', limits: LIMITS, ...more })
}

async function isRefused(t: Test, where: Bench, reason: RegExp, name: string): Promise<void> {
  await t.rejects(
    importing(where),
    { constructor: DaemonError, code: 'IMAGE_REFUSED', message: reason },
    name,
  )
  t.same(readdirSync(where.layersDir), [], `${name}: nothing left behind`)
}

/** Sparse content: marks at the start, in the middle and in the last sector. */
function rawDisk(sizeBytes: number): Uint8Array {
  const disk = new Uint8Array(sizeBytes)
  for (const at of [0, Math.floor(sizeBytes / 2), sizeBytes - 512]) disk.fill(0xa5, at, at + 100)
  return disk
}

function dataOf({ layersDir }: Bench, sizeBytes: number): Uint8Array {
  return readFileSync(path.join(layersDir, 'golden', 'data')).subarray(0, sizeBytes)
}

void t.test('a sparse raw file becomes a layer with its bytes', qemuImg, async (t) => {
  const where = bench(t)
  const disk = rawDisk(9 * MIB + 512)
  writeFileSync(where.sourcePath, '')
  truncateSync(where.sourcePath, disk.length)
  writeFileSync(where.sourcePath, disk, { flag: 'r+' })
  const fractions: number[] = []
  const imported = await importing(where, { onProgress: (fraction) => fractions.push(fraction) })
  t.match(imported, { format: 'raw', sizeBytes: disk.length, sha256: /^[0-9a-f]{64}$/ })
  t.same(readdirSync(where.layersDir), ['golden'])
  t.ok(Buffer.from(dataOf(where, disk.length)).equals(disk))
  t.equal(fractions.at(-1), 1)
})

void t.test('a qcow2 gives the same layer as the raw disk inside it', qemuImg, async (t) => {
  const raw = bench(t)
  writeFileSync(raw.sourcePath, rawDisk(8 * MIB))
  const expected = await importing(raw)
  for (const options of ['compat=1.1', 'compat=0.10', 'cluster_size=4k', 'extended_l2=on']) {
    const where = {
      layersDir: path.join(raw.layersDir, '..', options),
      sourcePath: `${raw.sourcePath}.${options}`,
    }
    mkdirSync(where.layersDir)
    execFileSync('qemu-img', [
      'convert',
      '-f',
      'raw',
      '-O',
      'qcow2',
      '-o',
      options,
      raw.sourcePath,
      where.sourcePath,
    ])
    t.same(await importing(where), { ...expected, format: 'qcow2' }, options)
    t.same(readdirSync(where.layersDir), ['golden'], 'no converted copy is left')
  }
})

void t.test('a qcow2 with internal snapshots gives its present state', qemuImg, async (t) => {
  const where = bench(t)
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', where.sourcePath, '4M'])
  execFileSync('qemu-io', ['-c', 'write -P 1 0 64k', where.sourcePath])
  execFileSync('qemu-img', ['snapshot', '-c', 'before', where.sourcePath])
  execFileSync('qemu-io', ['-c', 'write -P 2 0 64k', where.sourcePath])
  await importing(where)
  t.equal(dataOf(where, 512)[0], 2)
})

const HOSTILE = [
  ['a backing file', qcow2Bytes({ backingName: '/etc/passwd' }), /backing file/],
  [
    'a json: backing name',
    qcow2Bytes({ backingName: 'json:{"driver":"file","filename":"/etc/shadow"}' }),
    /backing/,
  ],
  ['a backing offset without a name', qcow2Bytes({ backingOffset: 1024n }), /backing file/],
  [
    'an external data file',
    qcow2Bytes({ features: 4n, extensions: [[0x44415441, '/etc/passwd']] }),
    /another file/,
  ],
  ['an external data name alone', qcow2Bytes({ extensions: [[0x44415441, '/etc/passwd']] }), /another file/],
  ['AES encryption', qcow2Bytes({ cryptMethod: 1 }), /encrypted/],
  ['LUKS encryption', qcow2Bytes({ cryptMethod: 2 }), /encrypted/],
  ['the corrupt mark', qcow2Bytes({ features: 2n }), /corrupt/],
  ['an unknown feature', qcow2Bytes({ features: 1n << 63n }), /not known/],
  ['a huge L1 table', qcow2Bytes({ l1Entries: 0xffffffff }), /L1 table/],
  ['an L1 table beyond its end', qcow2Bytes({ l1Offset: 1n << 62n }), /truncated/],
  ['a disk over the limit', qcow2Bytes({ sizeBytes: 1n << 62n }), /more than the/],
  ['a disk of odd size', qcow2Bytes({ sizeBytes: 1000n }), /multiple of 512/],
  ['a disk of no size', qcow2Bytes({ sizeBytes: 0n }), /empty/],
  ['a wild cluster size', qcow2Bytes({ clusterBits: 63 }), /cluster size/],
  ['a cut header', qcow2Bytes().subarray(0, 60), /needs .* more bytes/],
  ['no refcounts at all', qcow2Bytes(), /corrupt|cannot read/],
  ['garbage behind the magic', Buffer.from(`QFI\xfb${'garbage!'.repeat(1000)}`, 'latin1'), /version/],
  ['no bytes', new Uint8Array(0), /empty/],
  ['an odd number of raw bytes', new Uint8Array(1025), /multiple of 512/],
  ['more raw bytes than allowed', new Uint8Array(64 * MIB + 512), /more than the/],
  ['a VMDK', Buffer.from('KDMV'.padEnd(512, '\0')), /VMDK/],
  ['a gzip file', Buffer.from('\x1f\x8b'.padEnd(512, '\0'), 'latin1'), /gzip/],
] as const

void t.test('a hostile file is refused with its reason and leaves nothing', qemuImg, async (t) => {
  const where = bench(t)
  for (const [name, content, reason] of HOSTILE) {
    writeFileSync(where.sourcePath, content)
    await isRefused(t, where, reason, name)
  }
})

void t.test('a qcow2 cut in the middle, or with its tables overwritten, is refused', qemuImg, async (t) => {
  const where = bench(t)
  writeFileSync(`${where.sourcePath}.raw`, Buffer.alloc(4 * MIB, 0x5a))
  const make = ['convert', '-f', 'raw', '-O', 'qcow2', `${where.sourcePath}.raw`, where.sourcePath]
  execFileSync('qemu-img', make)
  const whole = readFileSync(where.sourcePath)
  for (const length of [1 * MIB, 0x30000, 0x10000, 2 * MIB + 77]) {
    writeFileSync(where.sourcePath, whole.subarray(0, length))
    await isRefused(t, where, /corrupt|truncated|cannot read/, `cut to ${String(length)} bytes`)
  }
  for (const at of [0x10000, 0x20000, 0x30000, 0x40000]) {
    const damaged = Buffer.from(whole)
    damaged.fill(0xee, at, at + 4096)
    writeFileSync(where.sourcePath, damaged)
    await isRefused(t, where, /corrupt|cannot read/, `overwritten at ${String(at)}`)
  }
})

void t.test('only a regular file is opened', async (t) => {
  const where = bench(t)
  await t.rejects(importing(where), { code: 'NOT_FOUND' })
  symlinkSync('/etc/passwd', where.sourcePath)
  await isRefused(t, where, /symbolic link/, 'link')
  for (const sourcePath of ['/dev/zero', '/proc', path.dirname(where.sourcePath)]) {
    await isRefused(t, { ...where, sourcePath }, /not a regular file/, sourcePath)
  }
  const fifo = `${where.sourcePath}.fifo`
  execFileSync('mkfifo', [fifo])
  await isRefused(t, { ...where, sourcePath: fifo }, /not a regular file/, 'FIFO')
})

void t.test('an abort ends the import with its reason and leaves nothing', qemuImg, async (t) => {
  const where = bench(t)
  writeFileSync(`${where.sourcePath}.raw`, Buffer.alloc(32 * MIB, 0x5a))
  const make = ['convert', '-f', 'raw', '-O', 'qcow2', `${where.sourcePath}.raw`, where.sourcePath]
  execFileSync('qemu-img', make)
  const reason = new Error('no longer wanted')
  await t.rejects(importing(where, { signal: AbortSignal.abort(reason) }), reason)
  const stop = new AbortController()
  const onProgress = (): void => {
    stop.abort(reason)
  }
  await t.rejects(importing(where, { signal: stop.signal, onProgress }), reason)
  t.same(readdirSync(where.layersDir), [])
})

void t.test('a file that takes too long, or too much memory, is given up', qemuImg, async (t) => {
  const where = bench(t)
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', where.sourcePath, '4M'])
  await t.rejects(importing(where, { limits: { ...LIMITS, timeoutMs: 1 } }), { code: 'TIMED_OUT' })
  await t.rejects(importing(where, { limits: { ...LIMITS, memoryLimitBytes: 2 ** 25 } }), DaemonError)
  t.same(readdirSync(where.layersDir), [])
  t.ok(statSync(where.sourcePath).size > 0, 'the source is left alone')
})

const canMount = process.getuid?.() === 0 && spawnSync('mount', ['--version']).status === 0
const smallDisk = hasQemuImg && canMount ? {} : { skip: 'needs qemu-img and the right to mount a tmpfs' }

void t.test('a full state directory is told as such and left as it was', smallDisk, async (t) => {
  const where = bench(t)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', where.layersDir]).status !== 0) {
    t.pass('no tmpfs can be mounted here')
    return
  }
  try {
    writeFileSync(where.sourcePath, Buffer.alloc(8 * MIB, 0x5a))
    await t.rejects(importing(where), { code: 'DISK_FULL' }, 'raw')
    t.same(readdirSync(where.layersDir), [])
    const compressed = `${where.sourcePath}.qcow2`
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', where.sourcePath, compressed])
    await t.rejects(importing({ ...where, sourcePath: compressed }), { code: 'DISK_FULL' }, 'qcow2')
    t.same(readdirSync(where.layersDir), [])
  } finally {
    spawnSync('umount', [where.layersDir])
  }
})

import { randomBytes } from 'node:crypto'
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { MemoryDisk } from '../../fakes/memory-disk.js'
import { missing, run, serve } from './served.js'

const MIB = 1 << 20

/** 24 MiB: random, a hole of 8 MiB in the middle, small holes at the end. */
function filled(options: { isSlow?: boolean; isReadOnly?: boolean } = {}): MemoryDisk {
  const disk = new MemoryDisk(24 * MIB, options)
  disk.bytes.set(randomBytes(8 * MIB), 0)
  for (let at = 16 * MIB; at < 24 * MIB; at += 256 << 10) disk.bytes.set(randomBytes(100_000), at)
  return disk
}

interface NbdInfo {
  readonly exports: readonly Record<string, unknown>[]
}

await t.test('nbdinfo reads size and abilities of an export', { skip: missing('nbdinfo') }, async (test) => {
  const { socketPath } = await serve(filled(), test)
  test.equal(statSync(socketPath).mode & 0o777, 0o600)
  const { status, output } = await run('nbdinfo', ['--json', `nbd+unix:///disk?socket=${socketPath}`])
  test.equal(status, 0, output)
  const seen = JSON.parse(output) as NbdInfo
  test.match(seen, { protocol: 'newstyle-fixed', TLS: false, structured: true })
  test.match(seen.exports[0], {
    'export-name': 'disk',
    description: 'a disk',
    contexts: ['base:allocation'],
    is_read_only: false,
    can_cache: true,
    can_df: true,
    can_fast_zero: true,
    can_flush: true,
    can_fua: true,
    can_multi_conn: true,
    can_trim: true,
    can_zero: true,
    block_size_minimum: 1,
    block_size_maximum: 32 * MIB,
    'export-size': 24 * MIB,
  })
  const listed = await run('nbdinfo', ['--list', '--json', `nbd+unix://?socket=${socketPath}`])
  test.match(JSON.parse(listed.output), { exports: [{ 'export-name': 'disk' }] })
})

await t.test(
  'an export that does not exist is refused by name',
  { skip: missing('nbdinfo') },
  async (test) => {
    const { socketPath } = await serve(filled(), test)
    const { status, output } = await run('nbdinfo', [`nbd+unix:///other?socket=${socketPath}`])
    test.not(status, 0)
    test.match(output, /other/)
  },
)

for (const isSlow of [false, true]) {
  const how = isSlow ? 'a device that takes its time' : 'a device that answers at once'
  await t.test(`nbdcopy reads and writes ${how}`, { skip: missing('nbdcopy') }, async (test) => {
    const disk = filled({ isSlow })
    const { socketPath, events } = await serve(disk, test)
    const uri = `nbd+unix:///disk?socket=${socketPath}`
    const file = `${test.testdir()}/copy.raw`
    const read = await run('nbdcopy', ['--connections=4', uri, file])
    test.equal(read.status, 0, read.output)
    test.ok(readFileSync(file).equals(disk.bytes), 'every byte')
    const other = randomBytes(24 * MIB)
    other.fill(0, 4 * MIB, 12 * MIB)
    writeFileSync(file, other)
    const written = await run('nbdcopy', ['--connections=4', '--flush', file, uri])
    test.equal(written.status, 0, written.output)
    test.ok(disk.bytes.equals(other), 'every byte')
    test.ok(disk.flushes > 0)
    test.equal(events.filter((event) => event.kind === 'nbd.protocol-error').length, 0)
    const big = await run('nbdcopy', [`--request-size=${32 * MIB}`, '--requests=4', uri, file])
    test.equal(big.status, 0, big.output)
    test.ok(readFileSync(file).equals(other), 'every byte')
  })
}

await t.test(
  'qemu-img map shows the holes, and convert leaves them out',
  { skip: missing('qemu-img') },
  async (test) => {
    const disk = filled()
    const { socketPath } = await serve(disk, test)
    const uri = `nbd+unix:///disk?socket=${socketPath}`
    const map = await run('qemu-img', ['map', '--output=json', '-f', 'raw', uri])
    const extents = JSON.parse(map.output) as {
      start: number
      length: number
      data: boolean
      zero: boolean
    }[]
    const hole = extents.find(({ start }) => start === 8 * MIB)
    test.match(hole, { length: 8 * MIB, data: false, zero: true })
    for (const { start, length, zero } of extents) {
      test.equal(
        disk.bytes.subarray(start, start + length).every((byte) => byte === 0),
        zero,
        `extent at ${start}`,
      )
    }
    const file = `${test.testdir()}/copy.raw`
    const converted = await run('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri, file])
    test.equal(converted.status, 0, converted.output)
    test.ok(readFileSync(file).equals(disk.bytes))
    test.ok(statSync(file).blocks * 512 < 17 * MIB, 'the hole is a hole')
    const same = await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', uri, file])
    test.match(same.output, /identical/)
    truncateSync(file, 24 * MIB)
    disk.bytes.writeUInt8(disk.bytes.readUInt8(3) ^ 1, 3)
    test.match(
      (await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', uri, file])).output,
      /mismatch at offset 0/,
    )
  },
)

await t.test('qemu-io writes, zeroes, discards and flushes', { skip: missing('qemu-io') }, async (test) => {
  const disk = filled()
  const { socketPath } = await serve(disk, test)
  const commands = [
    'write -P 0x5a 1000 70001',
    'read -P 0x5a 1000 70001',
    'write -f -P 0xa5 5M 3M', // FUA
    'write -z 5M 64k', // WRITE_ZEROES with NO_HOLE
    'read -P 0 5M 64k',
    'write -z -u 6M 64k',
    'read -P 0 6M 64k',
    'discard 7M 64k',
    'flush',
    'aio_write -P 1 0 2M',
    'aio_write -P 2 2M 2M',
    'aio_flush',
    'read -P 1 0 2M',
    'read -P 2 2M 2M',
  ].flatMap((command) => ['-c', command])
  const { status, output } = await run('qemu-io', [
    ...['-d', 'unmap', '-f', 'raw', ...commands],
    `nbd+unix:///disk?socket=${socketPath}`,
  ])
  test.equal(status, 0, output)
  test.notMatch(output, /fail|error|verification/i)
  test.ok(disk.flushes >= 2)
  test.ok(disk.bytes.subarray(7 * MIB, 7 * MIB + 65536).every((byte) => byte === 0))
})

await t.test('a read-only export refuses writes with EPERM', { skip: missing('qemu-io') }, async (test) => {
  const disk = filled({ isReadOnly: true })
  const { socketPath } = await serve(disk, test)
  const uri = `nbd+unix:///disk?socket=${socketPath}`
  const { status } = await run('qemu-io', ['-f', 'raw', '-c', 'write 0 4k', uri])
  test.not(status, 0)
  const read = await run('qemu-io', ['-r', '-f', 'raw', '-c', 'read 0 4k', uri])
  test.equal(read.status, 0, read.output)
})

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { OPENSTACK_VERSIONS } from '../../../src/firstboot/seed/openstack-documents.js'
import { renderSeedDisk } from '../../../src/firstboot/seed/seed-disk.js'
import { renderSeed } from '../../../src/firstboot/seed/seed.js'
import { findTool, needs, outputOf } from './debian-tool.js'
import { readIso9660 } from './iso-reader.js'
import { FULL_SEED, SMALL_SEED } from './sample-seed.js'

const MIB = 1024 * 1024
const AT_MS = Date.UTC(2026, 10, 23, 11, 34, 56, 780)

function partitionsOf(disk: Buffer): Buffer[] {
  return [446, 462].map((at) => {
    const start = disk.readUInt32LE(at + 8) * 512
    return disk.subarray(start, start + disk.readUInt32LE(at + 12) * 512)
  })
}

/** The volume at the start of a partition, cut at the size that it says it has. */
function volumeOf(partition: Buffer | undefined): Buffer {
  if (partition === undefined) throw new Error('no such partition')
  return partition.subarray(0, partition.readUInt32LE(16 * 2048 + 80) * 2048)
}

void t.test('the disk is 8 MiB and holds config-2 and cidata in two partitions', (t) => {
  const disk = renderSeedDisk(FULL_SEED, AT_MS)
  t.equal(disk.length, 8 * MIB)
  t.equal(disk.toString('hex', 510, 512), '55aa')
  const [first, second] = partitionsOf(disk)
  const seed = renderSeed(FULL_SEED)
  const configDrive = readIso9660(volumeOf(first))
  t.equal(configDrive.label, 'config-2')
  t.equal(configDrive.files.length, seed.configDrive.length)
  const noCloud = readIso9660(volumeOf(second))
  t.equal(noCloud.label, 'cidata')
  for (const { path, bytes } of noCloud.files) {
    t.ok(
      seed.noCloud.some((file) => file.path === path && file.bytes.equals(bytes)),
      path,
    )
  }
  t.end()
})

void t.test('no change of the seed changes the size of the disk or of a partition', (t) => {
  const small = renderSeedDisk(SMALL_SEED, AT_MS)
  const comment = 'x'.repeat(16_000)
  const keys = Array.from({ length: 16 }, (_, index) => ({
    name: `k${String(index)}`,
    publicKey: `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIkz1vXbO3y1m0sQ8u5kC2bq9m4vT6WnqYg0Zf7dLhXe ${comment}`,
  }))
  const largest = { userData: Buffer.alloc(32 * 1024, '#!'), networkAgent: Buffer.alloc(MIB, 'a'), keys }
  const large = renderSeedDisk({ ...FULL_SEED, ...largest }, AT_MS)
  t.equal(large.length, small.length)
  t.ok(large.subarray(446, 510).equals(small.subarray(446, 510)), 'the partition table')
  const files = readIso9660(volumeOf(partitionsOf(large)[0])).files
  t.equal(files.filter(({ bytes }) => bytes.equals(largest.userData)).length, OPENSTACK_VERSIONS.length + 2)
  t.end()
})

void t.test('the disk is the same for the same seed and has another signature for another deploy', (t) => {
  const disk = renderSeedDisk(SMALL_SEED, AT_MS)
  t.ok(disk.equals(renderSeedDisk(SMALL_SEED, AT_MS)))
  const other = renderSeedDisk({ ...SMALL_SEED, instanceId: 'i2' }, AT_MS)
  t.not(other.readUInt32LE(440), disk.readUInt32LE(440))
  t.end()
})

const blkid = needs('blkid')
void t.test(`blkid sees a label on each partition and none on the disk${blkid.note}`, blkid, (t) => {
  const program = findTool('blkid') ?? ''
  const folder = t.testdir()
  const disk = renderSeedDisk(FULL_SEED, AT_MS)
  const probe = (name: string, bytes: Buffer): string => {
    writeFileSync(join(folder, name), bytes)
    return outputOf(program, ['-p', '-o', 'export', join(folder, name)])
  }
  const whole = probe('disk', disk)
  t.match(whole, /^PTTYPE=dos$/m)
  t.notMatch(whole, /^(?:TYPE|LABEL|USAGE)=/m)
  const partitions = partitionsOf(disk)
  const seen = partitions.map((bytes, index) => probe(`partition-${String(index + 1)}`, bytes))
  t.match(seen[0], /^LABEL=config-2$/m)
  t.match(seen[1], /^LABEL=cidata$/m)
  for (const text of seen) t.match(text, /^TYPE=iso9660$/m)
  const uuids = seen.map((text) => /^UUID=(.*)$/m.exec(text)?.[1])
  t.strictSame(uuids, ['2026-11-23-11-34-56-78', '2026-11-23-11-34-56-79'])
  t.end()
})

const sfdisk = needs('sfdisk')
void t.test(
  `sfdisk finds two aligned partitions and nothing to complain about${sfdisk.note}`,
  sfdisk,
  (t) => {
    const program = findTool('sfdisk') ?? ''
    const file = join(t.testdir(), 'disk')
    writeFileSync(file, renderSeedDisk(FULL_SEED, AT_MS))
    t.match(JSON.parse(outputOf(program, ['-J', file])), {
      partitiontable: {
        label: 'dos',
        unit: 'sectors',
        sectorsize: 512,
        partitions: [
          { start: 2048, size: 8192, type: '83' },
          { start: 10_240, size: 6144, type: '83' },
        ],
      },
    })
    t.match(outputOf(program, ['--verify', file]), 'No errors detected')
    t.end()
  },
)

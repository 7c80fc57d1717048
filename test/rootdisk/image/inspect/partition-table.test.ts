import fc from 'fast-check'
import t from 'tap'
import { crc32 } from 'node:zlib'
import {
  decodeGptEntries,
  decodeGptHeader,
  encodeGptHeader,
  GPT_TYPE,
  type GptHeader,
} from '../../../../src/rootdisk/image/inspect/gpt.js'
import { decodeMbr } from '../../../../src/rootdisk/image/inspect/mbr.js'
import {
  readPartitionTable,
  type DiskBytes,
  type PartitionTable,
} from '../../../../src/rootdisk/image/inspect/partition-table.js'
import { MalformedPacket } from '../../../../src/wire/malformed-packet.js'

const SECTORS = 4096
const GUID = '0f0e0d0c-0b0a-0908-0706-050403020100'

function diskOf(bytes: Uint8Array): DiskBytes {
  return {
    sizeBytes: bytes.length,
    read: (at, length) => Promise.resolve(bytes.slice(at, Math.max(at, at + length))),
  }
}

function record(type: number, first: number, count: number, isActive = false): Buffer {
  const bytes = Buffer.alloc(16)
  bytes[0] = isActive ? 0x80 : 0
  bytes[4] = type
  bytes.writeUInt32LE(first, 8)
  bytes.writeUInt32LE(count, 12)
  return bytes
}

function mbr(...records: readonly Buffer[]): Buffer {
  const sector = Buffer.alloc(512)
  Buffer.concat(records).copy(sector, 446)
  sector.writeUInt16BE(0x55aa, 510)
  return sector
}

function entry(first: number, last: number, type = '28732ac11ff8d211ba4b00a0c93ec93b'): Buffer {
  const bytes = Buffer.alloc(128)
  Buffer.from(type, 'hex').copy(bytes)
  bytes.fill(7, 16, 32)
  bytes.writeBigUInt64LE(BigInt(first), 32)
  bytes.writeBigUInt64LE(BigInt(last), 40)
  bytes.write('esp', 56, 'utf16le')
  return bytes
}

function gptDisk(entries: readonly Buffer[], protective = mbr(record(0xee, 1, SECTORS - 1))): Buffer {
  const disk = Buffer.alloc(SECTORS * 512)
  const array = Buffer.alloc(128 * 128)
  Buffer.concat(entries).copy(array)
  const header = (ownLba: number, otherLba: number, entriesLba: number): Uint8Array =>
    encodeGptHeader(
      {
        ...{ ownLba, otherLba, entriesLba, firstUsableLba: 34, lastUsableLba: SECTORS - 34, diskGuid: GUID },
        ...{ entryCount: 128, entryBytes: 128, entriesCrc: crc32(array) },
      },
      512,
    )
  protective.copy(disk)
  disk.set(header(1, SECTORS - 1, 2), 512)
  array.copy(disk, 1024)
  array.copy(disk, (SECTORS - 33) * 512)
  disk.set(header(SECTORS - 1, 1, SECTORS - 33), (SECTORS - 1) * 512)
  return disk
}

function read(disk: Buffer): Promise<PartitionTable> {
  return readPartitionTable(diskOf(disk))
}

void t.test('a header comes back from its bytes, GUID and all (UEFI 2.10 §5.3.2)', (t) => {
  const numbers = fc.nat({ max: 2 ** 40 })
  const headers: fc.Arbitrary<GptHeader> = fc.record({
    ...{
      ownLba: numbers,
      otherLba: numbers,
      firstUsableLba: numbers,
      lastUsableLba: numbers,
      entriesLba: numbers,
    },
    diskGuid: fc.uuid(),
    entryCount: fc.nat({ max: 1024 }),
    entryBytes: fc.constantFrom(128, 256, 4096),
    entriesCrc: fc.nat({ max: 0xffffffff }),
  })
  fc.assert(
    fc.property(headers, (header) => {
      t.same(decodeGptHeader(encodeGptHeader(header, 512)), header)
    }),
    { numRuns: 50 },
  )
  t.end()
})

void t.test('any bytes are a table or malformed, and nothing else', (t) => {
  const total = (decode: (bytes: Uint8Array) => unknown) => (bytes: Uint8Array) => {
    try {
      decode(bytes)
    } catch (err) {
      if (!(err instanceof MalformedPacket)) throw err
    }
  }
  const sectors = fc.uint8Array({ minLength: 0, maxLength: 600 })
  fc.assert(fc.property(sectors, total(decodeGptHeader)))
  fc.assert(fc.property(sectors, total(decodeMbr)))
  const header = { ...decodeGptHeader(gptDisk([]).subarray(512, 1024)), entryCount: 4 }
  const entries = fc.uint8Array({ minLength: 0, maxLength: 600 })
  fc.assert(
    fc.property(entries, (bytes) =>
      total((all) => decodeGptEntries({ ...header, entriesCrc: crc32(bytes.subarray(0, 512)) }, all))(bytes),
    ),
  )
  t.end()
})

void t.test('any disk is read to an end, and no partition leaves it', async (t) => {
  const good = gptDisk([entry(40, 99)])
  const damages = fc.array(
    fc.tuple(fc.nat({ max: good.length - 1 }), fc.uint8Array({ minLength: 1, maxLength: 8 })),
    { maxLength: 8 },
  )
  const starts = fc.constantFrom(0, 440, 512, 1024, (SECTORS - 1) * 512)
  await fc.assert(
    fc.asyncProperty(damages, starts, fc.uint8Array({ maxLength: 200 }), async (patches, at, bytes) => {
      const disk = Buffer.from(good)
      disk.set(bytes.subarray(0, disk.length - at), at)
      for (const [offset, patch] of patches) disk.set(patch.subarray(0, disk.length - offset), offset)
      const { partitions } = await read(disk)
      for (const { startBytes, sizeBytes } of partitions)
        t.ok(startBytes > 0 && startBytes + sizeBytes <= disk.length)
    }),
    { numRuns: 200 },
  )
})

void t.test('the partitions of a GPT are told with type, name and place', async (t) => {
  const { kind, partitions, problems } = await read(gptDisk([entry(40, 99)]))
  t.equal(kind, 'gpt')
  t.same(problems, [])
  t.match(partitions, [
    { number: 1, startBytes: 40 * 512, sizeBytes: 60 * 512, type: GPT_TYPE.esp, name: 'esp' },
  ])
})

const kinds = (table: PartitionTable): string[] => table.problems.map(({ kind }) => kind)

void t.test('entries that overlap, or leave the disk, are told (UEFI 2.10 §5.3.3)', async (t) => {
  const table = await read(gptDisk([entry(40, 99), entry(90, 120), entry(200, SECTORS), entry(300, 290)]))
  t.same(kinds(table).sort(), ['beyond-disk', 'beyond-disk', 'overlap'])
  t.same(
    table.partitions.map(({ number }) => number),
    [1, 2],
  )
})

void t.test('a wrong checksum of the header or of the entries is told, and the backup is read', async (t) => {
  const header = gptDisk([entry(40, 99)])
  header[512 + 40] = 99
  const entries = gptDisk([entry(40, 99)])
  entries[1024 + 56] = 0x41
  for (const disk of [header, entries]) {
    const table = await read(disk)
    t.same(kinds(table), ['primary-gpt'])
    t.equal(table.partitions.length, 1)
  }
})

void t.test('a backup that is gone, elsewhere, or another is told', async (t) => {
  const gone = gptDisk([entry(40, 99)])
  gone.fill(0, (SECTORS - 1) * 512)
  t.same(kinds(await read(gone)), ['backup-gpt-missing'])
  const grown = Buffer.concat([gptDisk([entry(40, 99)]), Buffer.alloc(512)])
  t.same(kinds(await read(grown)), ['backup-gpt-not-last', 'backup-gpt-missing'])
  const other = gptDisk([entry(40, 99)])
  gptDisk([entry(40, 199)]).copy(other, (SECTORS - 33) * 512, (SECTORS - 33) * 512)
  t.same(kinds(await read(other)), ['backup-gpt-differs'])
})

void t.test('a GPT without protection, or beside other records, is told (UEFI 2.10 §5.2.3)', async (t) => {
  t.same(kinds(await read(gptDisk([entry(40, 99)], mbr(record(0x83, 40, 60))))), ['protective-mbr'])
  const hybrid = mbr(record(0xee, 1, 33), record(0x83, 40, 60))
  t.same(kinds(await read(gptDisk([entry(40, 99)], hybrid))), ['hybrid-mbr'])
})

void t.test('an MBR has its primary and logical partitions as the kernel numbers them', async (t) => {
  const disk = Buffer.alloc(SECTORS * 512)
  mbr(record(0x83, 100, 50, true), record(0x05, 1000, 1000)).copy(disk)
  mbr(record(0x8e, 10, 20), record(0x05, 100, 100)).copy(disk, 1000 * 512)
  mbr(record(0x83, 10, 20)).copy(disk, 1100 * 512)
  const { kind, partitions, problems } = await read(disk)
  t.equal(kind, 'mbr')
  t.same(problems, [])
  t.same(
    partitions.map(({ number, startBytes }) => [number, startBytes / 512]),
    [
      [1, 100],
      [5, 1010],
      [6, 1110],
    ],
  )
  t.equal(partitions[0]?.isActive, true)
})

void t.test('a chain of logical partitions that comes back ends, and is told', async (t) => {
  const disk = Buffer.alloc(SECTORS * 512)
  mbr(record(0x05, 1000, 1000)).copy(disk)
  mbr(record(0x83, 10, 20), record(0x05, 100, 100)).copy(disk, 1000 * 512)
  mbr(record(0x83, 10, 20), record(0x05, 0, 100)).copy(disk, 1100 * 512)
  const table = await read(disk)
  t.same(kinds(table), ['chain'])
  t.equal(table.partitions.length, 2)
})

void t.test('a table for sectors of 4096 bytes is told, a disk of zeros has none', async (t) => {
  const disk = Buffer.alloc(SECTORS * 512)
  t.match(await read(disk), { kind: 'none', partitions: [], problems: [] })
  disk.write('EFI PART', 4096)
  t.same(kinds(await read(disk)), ['sector-size'])
  t.match(await read(Buffer.alloc(0)), { kind: 'none' })
})

import { createHash } from 'node:crypto'
import { BLOCK_BYTES, directoryContent, type ExtentOf, type ParentedDirectory } from './iso-directory.js'
import { bothEndian16, bothEndian32, directoryRecord, type Extent } from './iso-record.js'
import { buildIsoTree, type DirectoryNode, type FileNode, type IsoFile, type IsoNode } from './iso-tree.js'

// The volume (ECMA-119, level 1, with Rock Ridge names), in logical blocks of 2048 bytes:
//
//   0..15  system area, zeros
//   16     primary volume descriptor
//   17     volume descriptor set terminator
//   18..   path table, little-endian; then the same, big-endian
//   ..     directories, parents before children
//   ..     file contents; equal contents are stored once

const DESCRIPTOR_BLOCK = 16
const PATH_TABLE_BLOCK = 18

interface Layout {
  readonly pathTableBytes: number
  readonly pathTableBlocks: number
  /** Root first, in path-table order (ECMA-119 §6.9.1). */
  readonly directories: readonly ParentedDirectory[]
  readonly extentOf: ExtentOf
  readonly files: readonly FileNode[]
  readonly blockCount: number
}

/**
 * An ISO 9660 volume: the same arguments give the same bytes.
 * @param volumeLabel 1 to 32 printable ASCII characters, kept as they are (`config-2` is not in the standard's
 * alphabet, but it is what everybody looks for)
 * @param timestampMs date of the volume and of every file, milliseconds since 1970, before the year 2155
 * @throws RangeError on a label or a path outside the rules: the caller's mistake
 */
export function writeIso9660(volumeLabel: string, files: readonly IsoFile[], timestampMs: number): Buffer {
  if (!/^[ -~]{1,32}$/.test(volumeLabel))
    throw new RangeError('volume label: expected 1..32 ASCII characters')
  const layout = layOut(buildIsoTree(files))
  const { extentOf, pathTableBlocks } = layout
  const volume = Buffer.alloc(layout.blockCount * BLOCK_BYTES)
  const put = (bytes: Uint8Array, block: number): void => volume.set(bytes, block * BLOCK_BYTES)
  put(primaryDescriptor(volumeLabel, layout, timestampMs), DESCRIPTOR_BLOCK)
  put(Uint8Array.from([0xff, ...Buffer.from('CD001'), 1]), DESCRIPTOR_BLOCK + 1)
  put(pathTable(layout, 'LE'), PATH_TABLE_BLOCK)
  put(pathTable(layout, 'BE'), PATH_TABLE_BLOCK + pathTableBlocks)
  for (const directory of layout.directories) {
    put(directoryContent(directory, extentOf, timestampMs), extentOf(directory.node).block)
  }
  for (const file of layout.files) put(file.bytes, extentOf(file).block)
  return volume
}

function layOut(root: DirectoryNode): Layout {
  const directories = breadthFirst(root)
  const files = directories.flatMap(({ node }) => node.children.filter((child) => child.kind === 'file'))
  const pathTableBytes = directories.reduce((sum, { node }) => sum + pathRecordBytes(node), 0)
  const pathTableBlocks = blocksFor(pathTableBytes)
  const extents = new Map<IsoNode, Extent>()
  const filesBlock = placeDirectories(directories, PATH_TABLE_BLOCK + 2 * pathTableBlocks, extents)
  const endBlock = placeFiles(files, filesBlock, extents)
  return {
    pathTableBytes,
    pathTableBlocks,
    directories,
    files,
    extentOf: (node) => extents.get(node) ?? NOWHERE,
    // One block at least, so that the extent of an empty file lies inside the volume.
    blockCount: Math.max(endBlock, filesBlock + 1),
  }
}

/** Directories level by level: their order in the path table. */
function breadthFirst(root: DirectoryNode): ParentedDirectory[] {
  const found: ParentedDirectory[] = [{ node: root, parent: root }]
  for (const { node } of found) {
    const children = node.children.filter((child) => child.kind === 'directory')
    found.push(...children.map((child) => ({ node: child, parent: node })))
  }
  return found
}

const NOWHERE: Extent = { block: 0, sizeBytes: 0 }

/** @returns the first block after them */
function placeDirectories(
  directories: readonly ParentedDirectory[],
  firstBlock: number,
  extents: Map<IsoNode, Extent>,
): number {
  let block = firstBlock
  for (const directory of directories) {
    const sizeBytes = directoryContent(directory, () => NOWHERE, 0).length // extents do not change its size
    extents.set(directory.node, { block, sizeBytes })
    block += blocksFor(sizeBytes)
  }
  return block
}

/** @returns the first block after them */
function placeFiles(files: readonly FileNode[], firstBlock: number, extents: Map<IsoNode, Extent>): number {
  const byContent = new Map<string, Extent>()
  let block = firstBlock
  for (const file of files) {
    const key = createHash('sha256').update(file.bytes).digest('base64')
    const extent = byContent.get(key) ?? { block, sizeBytes: file.bytes.length }
    if (!byContent.has(key)) block += blocksFor(file.bytes.length)
    byContent.set(key, extent)
    extents.set(file, extent)
  }
  return block
}

/** ECMA-119 §8.4. */
function primaryDescriptor(volumeLabel: string, layout: Layout, timestampMs: number): Buffer {
  const into = Buffer.alloc(BLOCK_BYTES)
  into.fill(' ', 8, 72) // system and volume identifier
  into.fill(' ', 190, 813) // set, publisher, preparer, application and three file identifiers
  into.set([1, ...Buffer.from('CD001'), 1])
  into.write(volumeLabel, 40, 'latin1')
  bothEndian32(into, 80, layout.blockCount)
  bothEndian16(into, 120, 1) // volume set size
  bothEndian16(into, 124, 1) // volume sequence number
  bothEndian16(into, 128, BLOCK_BYTES)
  bothEndian32(into, 132, layout.pathTableBytes)
  into.writeUInt32LE(PATH_TABLE_BLOCK, 140)
  into.writeUInt32BE(PATH_TABLE_BLOCK + layout.pathTableBlocks, 148)
  into.set(rootRecord(layout, timestampMs), 156)
  const date = volumeDate(timestampMs)
  into.write(date, 813, 'latin1') // created
  into.write(date, 830, 'latin1') // modified: blkid's UUID
  into.write('0'.repeat(16), 847, 'latin1') // never expires
  into.write(date, 864, 'latin1') // effective
  into[881] = 1 // file structure version
  return into
}

function rootRecord({ directories, extentOf }: Layout, timestampMs: number): Buffer {
  const root = directories[0]?.node
  const extent = root === undefined ? NOWHERE : extentOf(root)
  const noSystemUse = Buffer.alloc(0) // ECMA-119 §8.4.18: exactly 34 bytes
  return directoryRecord({ identifier: '\0', isDirectory: true, extent, systemUse: noSystemUse }, timestampMs)
}

/** Sixteen digits of UTC (ECMA-119 §8.4.26.1); the zone byte after them stays zero. */
function volumeDate(timestampMs: number): string {
  return new Date(timestampMs).toISOString().replaceAll(/\D/g, '').slice(0, 16)
}

/** ECMA-119 §9.4. */
function pathTable({ directories, extentOf }: Layout, order: 'LE' | 'BE'): Buffer {
  const numbers = new Map(directories.map(({ node }, index) => [node, index + 1]))
  const records = directories.map(({ node, parent }) => {
    const record = Buffer.alloc(pathRecordBytes(node))
    const { block } = extentOf(node)
    const parentNumber = numbers.get(parent) ?? 1
    record[0] = node.identifier.length
    if (order === 'LE') {
      record.writeUInt32LE(block, 2)
      record.writeUInt16LE(parentNumber, 6)
    } else {
      record.writeUInt32BE(block, 2)
      record.writeUInt16BE(parentNumber, 6)
    }
    record.write(node.identifier, 8, 'latin1')
    return record
  })
  return Buffer.concat(records)
}

function pathRecordBytes({ identifier }: DirectoryNode): number {
  return 8 + identifier.length + (identifier.length % 2)
}

function blocksFor(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES)
}

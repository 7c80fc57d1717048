import { directoryRecord, rockRidge, type Extent, type RockRidgeNode } from './iso-record.js'
import type { DirectoryNode, IsoNode } from './iso-tree.js'

/** The size of a logical block, in bytes. */
export const BLOCK_BYTES = 2048

/** A directory with its parent; the root is its own. */
export interface ParentedDirectory {
  readonly node: DirectoryNode
  readonly parent: DirectoryNode
}

/** Finds where a node was put. */
export type ExtentOf = (node: IsoNode) => Extent

/** The content of a directory (ECMA-119 §6.8.1): whole blocks, and no record across two of them. */
export function directoryContent(
  { node, parent }: ParentedDirectory,
  extentOf: ExtentOf,
  timestampMs: number,
): Buffer {
  const isVolumeRoot = node === parent
  const record = (of: IsoNode, identifier: string, ridge: RockRidgeNode): Buffer => {
    const isDirectory = of.kind === 'directory'
    return directoryRecord(
      { identifier, isDirectory, extent: extentOf(of), systemUse: rockRidge(ridge) },
      timestampMs,
    )
  }
  return packRecords([
    record(node, '\0', { ...ridgeOf(node), name: undefined, isVolumeRoot }),
    record(parent, '\x01', { ...ridgeOf(parent), name: undefined }),
    ...node.children.map((child) => record(child, child.identifier, ridgeOf(child))),
  ])
}

function ridgeOf(node: IsoNode): RockRidgeNode {
  const isDirectory = node.kind === 'directory'
  // A directory is linked from its parent, from its own "." and from the ".." of each directory in it.
  const linkCount = isDirectory ? 2 + node.children.filter((child) => child.kind === 'directory').length : 1
  return { name: node.name, isDirectory, linkCount, isVolumeRoot: false }
}

function packRecords(records: readonly Buffer[]): Buffer {
  const blocks: Buffer[] = []
  let at = 0
  for (const record of records) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES)
    if (record.length > left) {
      blocks.push(Buffer.alloc(left))
      at += left
    }
    blocks.push(record)
    at += record.length
  }
  blocks.push(Buffer.alloc((BLOCK_BYTES - (at % BLOCK_BYTES)) % BLOCK_BYTES))
  return Buffer.concat(blocks)
}

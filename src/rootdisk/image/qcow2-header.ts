import { MalformedPacket } from '../../wire/malformed-packet.js'
import { ByteReader } from '../../wire/reader.js'

/**
 * What a qcow2 file says of itself in its first cluster, big-endian (QEMU docs/interop/qcow2.txt):
 *
 *   0  magic u32, version u32          40 L1 table offset u64           72 incompatible features u64 (v3)
 *   8  backing file offset u64         48 refcount table offset u64     80 compatible u64, autoclear u64
 *   16 backing file size u32           56 refcount table clusters u32   96 refcount order u32
 *   20 cluster bits u32, size u64      60 snapshots u32                 100 header length u32
 *   32 crypt method u32, L1 size u32   64 snapshots offset u64          then extensions: type u32, length u32
 */
export interface Qcow2Header {
  readonly version: 2 | 3
  readonly virtualSizeBytes: bigint
  readonly clusterBits: number
  /** 0 none, 1 AES, 2 LUKS. */
  readonly cryptMethod: number
  /** Entries of the L1 table. */
  readonly l1Entries: number
  readonly l1Offset: bigint
  readonly snapshots: number
  readonly hasBackingFile: boolean
  readonly hasExternalData: boolean
  /** Written by a QEMU that met an error and gave the file up. */
  readonly isCorrupt: boolean
  /** Incompatible feature bits that this reader does not know. */
  readonly unknownFeatures: bigint
}

/** `QFI\xfb`. */
export const QCOW2_MAGIC = 0x514649fb

const WHAT = 'qcow2 header'
const V2_LENGTH = 72
const V3_LENGTH = 104
const MAX_EXTENSIONS = 64
const EXTERNAL_DATA_EXTENSION = 0x44415441 // "DATA"
const FEATURE = { dirty: 1n, corrupt: 2n, externalData: 4n, compressionType: 8n, extendedL2: 16n } as const
const KNOWN_FEATURES = 31n

/**
 * Reads the header from the start of a file.
 * @param head the file's first bytes, best 64 KiB; a header longer than that is malformed
 * @throws MalformedPacket on anything else, and nothing but that
 */
export function decodeQcow2Header(head: Uint8Array): Qcow2Header {
  const reader = new ByteReader(head, WHAT)
  expect(reader.u32() === QCOW2_MAGIC, 0, 'is no qcow2')
  const version = versionOf(reader.u32())
  const backingOffset = reader.u64()
  const backingLength = reader.u32()
  const clusterBits = reader.u32()
  expect(clusterBits >= 9 && clusterBits <= 21, 20, `${clusterBits} is no cluster size (9..21)`)
  const virtualSizeBytes = reader.u64()
  const cryptMethod = reader.u32()
  const l1Entries = reader.u32()
  const l1Offset = reader.u64()
  reader.skip(12) // refcount table
  const snapshots = reader.u32()
  reader.skip(8)
  const { features, extensions } = laterFields(reader, head, version)
  return {
    ...{ version, virtualSizeBytes, clusterBits, cryptMethod, l1Entries, l1Offset, snapshots },
    hasBackingFile: backingOffset !== 0n || backingLength !== 0,
    hasExternalData: (features & FEATURE.externalData) !== 0n || extensions.has(EXTERNAL_DATA_EXTENSION),
    isCorrupt: (features & FEATURE.corrupt) !== 0n,
    unknownFeatures: features & ~KNOWN_FEATURES,
  }
}

function versionOf(found: number): 2 | 3 {
  if (found === 2 || found === 3) return found
  throw new MalformedPacket(WHAT, 4, `version ${found} is not 2 or 3`)
}

/** Version 2 ends at byte 72 and has neither features nor a length of its own. */
function laterFields(
  reader: ByteReader,
  head: Uint8Array,
  version: 2 | 3,
): { features: bigint; extensions: ReadonlySet<number> } {
  if (version === 2) return { features: 0n, extensions: extensionTypes(head, V2_LENGTH) }
  const features = reader.u64()
  reader.skip(16)
  const refcountOrder = reader.u32()
  expect(refcountOrder <= 6, 96, `refcount order ${refcountOrder} is over 6`)
  const length = reader.u32()
  expect(length >= V3_LENGTH && length % 8 === 0, 100, `${length} is no header length`)
  return { features, extensions: extensionTypes(head, length) }
}

function extensionTypes(head: Uint8Array, start: number): Set<number> {
  const reader = new ByteReader(head, 'qcow2 header extension')
  reader.skip(start)
  const types = new Set<number>()
  for (let i = 0; i < MAX_EXTENSIONS; i++) {
    const type = reader.u32()
    const length = reader.u32()
    if (type === 0) return types
    types.add(type)
    reader.skip(Math.ceil(length / 8) * 8)
  }
  throw new MalformedPacket(WHAT, reader.offset, `has more than ${MAX_EXTENSIONS} extensions`)
}

function expect(holds: boolean, offset: number, reason: string): void {
  if (!holds) throw new MalformedPacket(WHAT, offset, reason)
}

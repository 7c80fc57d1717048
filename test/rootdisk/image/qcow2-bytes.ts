/** Header fields of a hand-made qcow2; everything else is as qemu-img writes it. */
export interface Qcow2Fields {
  readonly version?: number
  readonly backingOffset?: bigint
  readonly backingName?: string
  readonly clusterBits?: number
  readonly sizeBytes?: bigint
  readonly cryptMethod?: number
  readonly l1Entries?: number
  readonly l1Offset?: bigint
  readonly features?: bigint
  readonly refcountOrder?: number
  readonly headerLength?: number
  readonly extensions?: readonly (readonly [type: number, content: string])[]
}

const NAME_AT = 1024

/** The first cluster (64 KiB) of a version 3 qcow2, and as many clusters of zeros behind it as asked for. */
export function qcow2Bytes(fields: Qcow2Fields = {}, clusters = 4): Uint8Array {
  const bytes = new Uint8Array(65536 * clusters)
  const view = new DataView(bytes.buffer)
  const name = new TextEncoder().encode(fields.backingName ?? '')
  bytes.set(name, NAME_AT)
  view.setUint32(0, 0x514649fb)
  view.setUint32(4, fields.version ?? 3)
  view.setBigUint64(8, fields.backingOffset ?? (name.length > 0 ? BigInt(NAME_AT) : 0n))
  view.setUint32(16, name.length)
  view.setUint32(20, fields.clusterBits ?? 16)
  view.setBigUint64(24, fields.sizeBytes ?? 1n << 20n)
  view.setUint32(32, fields.cryptMethod ?? 0)
  view.setUint32(36, fields.l1Entries ?? 1)
  view.setBigUint64(40, fields.l1Offset ?? 0x30000n)
  view.setBigUint64(48, 0x10000n)
  view.setUint32(56, 1)
  view.setBigUint64(72, fields.features ?? 0n)
  view.setUint32(96, fields.refcountOrder ?? 4)
  view.setUint32(100, fields.headerLength ?? 104)
  setExtensions(bytes, fields)
  return bytes
}

function setExtensions(bytes: Uint8Array, { headerLength = 104, extensions = [] }: Qcow2Fields): void {
  const view = new DataView(bytes.buffer)
  let at = headerLength
  for (const [type, content] of extensions) {
    view.setUint32(at, type)
    view.setUint32(at + 4, content.length)
    bytes.set(new TextEncoder().encode(content), at + 8)
    at += 8 + Math.ceil(content.length / 8) * 8
  }
}

/** Formats that an image file may be given in. */
export type ImageFormat = 'raw' | 'qcow2'

/** What the first bytes of a file show: a format that we import, or one that we name in the refusal. */
export type Recognised = { readonly format: ImageFormat } | { readonly refused: string }

interface Signature {
  readonly name: string
  readonly offset: number
  readonly bytes: readonly number[]
}

const text = (ascii: string): number[] => Array.from(ascii, (char) => char.charCodeAt(0))

// Whatever has none of these is taken for a raw disk: a raw disk has no mark of its own.
const REFUSED: readonly Signature[] = [
  { name: 'qcow version 1', offset: 0, bytes: [...text('QFI'), 0xfb, 0, 0, 0, 1] },
  { name: 'QED', offset: 0, bytes: [...text('QED'), 0] },
  { name: 'VMDK', offset: 0, bytes: text('KDMV') },
  { name: 'VMDK (ESX)', offset: 0, bytes: text('COWD') },
  { name: 'VMDK (descriptor)', offset: 0, bytes: text('# Disk DescriptorFile') },
  { name: 'VHDX', offset: 0, bytes: text('vhdxfile') },
  { name: 'VHD', offset: 0, bytes: text('conectix') },
  { name: 'VDI', offset: 64, bytes: [0x7f, 0x10, 0xda, 0xbe] },
  { name: 'LUKS', offset: 0, bytes: [...text('LUKS'), 0xba, 0xbe] },
  { name: 'gzip', offset: 0, bytes: [0x1f, 0x8b] },
  { name: 'xz', offset: 0, bytes: [0xfd, ...text('7zXZ'), 0] },
  { name: 'zstd', offset: 0, bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: 'bzip2', offset: 0, bytes: text('BZh') },
  { name: 'zip', offset: 0, bytes: [...text('PK'), 3, 4] },
]
const QCOW2: Signature = { name: 'qcow2', offset: 0, bytes: [...text('QFI'), 0xfb] }

/** Tells a file's format from its first bytes (68 suffice); total on any bytes. */
export function recogniseFormat(head: Uint8Array): Recognised {
  const other = REFUSED.find((signature) => isAt(head, signature))
  if (other !== undefined) return { refused: other.name }
  return { format: isAt(head, QCOW2) ? 'qcow2' : 'raw' }
}

function isAt(head: Uint8Array, { offset, bytes }: Signature): boolean {
  return bytes.every((byte, index) => head[offset + index] === byte)
}

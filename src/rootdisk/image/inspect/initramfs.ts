import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MalformedPacket } from '../../../wire/malformed-packet.js'
import { isCpio, readCpio } from './cpio.js'
import { DISK_PATH, DiskTool, type DiskToolOptions } from './disk-tool.js'
import { harmless } from './file-tree.js'

/** What an initramfs has, over all the archives that it is made of. */
export interface Initramfs {
  readonly names: ReadonlySet<string>
  /** Small files (64 KiB), by name; of two of the same name the later one, as the kernel unpacks them. */
  readonly texts: ReadonlyMap<string, string>
}

/** How {@link readInitramfs} unpacks. */
export type UnpackOptions = Omit<DiskToolOptions, 'path'>

interface Compression {
  readonly magic: readonly number[]
  readonly argv: readonly string[]
}

/** What kernels unpack, and the tool that does it here (lib/decompress.c). */
const COMPRESSIONS: readonly Compression[] = [
  { magic: [0x28, 0xb5, 0x2f, 0xfd], argv: ['zstd', '-dc', '--no-progress', DISK_PATH] },
  { magic: [0x1f, 0x8b], argv: ['gzip', '-dc', DISK_PATH] },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], argv: ['xz', '-dc', DISK_PATH] },
  { magic: [0x02, 0x21, 0x4c, 0x18], argv: ['lz4', '-dc', DISK_PATH] },
  { magic: [0x5d, 0, 0], argv: ['xz', '-dc', '--format=lzma', DISK_PATH] },
  { magic: [0x42, 0x5a, 0x68], argv: ['bzip2', '-dc', DISK_PATH] },
]

/** Unpacked: Debian's with every driver has about 130 MiB. */
const UNPACKED_LIMIT_BYTES = 512 << 20
const MAX_ARCHIVES = 8
const TEXT_BYTES = 64 * 1024
/** Texts that say what it will do: configuration, scripts, hooks. */
const WANTED = /^(conf|etc|scripts|usr\/lib\/dracut|init$)/

/**
 * Reads an initramfs: archives one behind the other (microcode first), each plain or compressed.
 * @throws MalformedPacket when the kernel would not unpack it either, or it is larger than any known
 */
export async function readInitramfs(bytes: Uint8Array, options: UnpackOptions): Promise<Initramfs> {
  const names = new Set<string>()
  const texts = new Map<string, string>()
  let rest = bytes
  for (let archives = 0; rest.length > 0 && archives < MAX_ARCHIVES; archives++) {
    if (!isCpio(rest, 0)) rest = await unpacked(rest, options)
    const { entries, end } = readCpio(rest, 0)
    for (const { name, start, sizeBytes } of entries) {
      names.add(name)
      if (WANTED.test(name) && sizeBytes <= TEXT_BYTES)
        texts.set(name, Buffer.from(rest.subarray(start, start + sizeBytes)).toString('utf8'))
    }
    rest = rest.subarray(end)
  }
  return { names, texts }
}

async function unpacked(bytes: Uint8Array, options: UnpackOptions): Promise<Uint8Array> {
  const compression = COMPRESSIONS.find(({ magic }) => magic.every((byte, at) => bytes[at] === byte))
  if (compression === undefined) throw new MalformedPacket('initramfs', 0, 'is compressed in an unknown way')
  const path = join(options.scratchDir, 'packed')
  await writeFile(path, bytes)
  const file = await open(join(options.scratchDir, 'unpacked'), 'w+', 0o600)
  try {
    const tool = new DiskTool({ ...options, path })
    const { isOk, isCut, stderr } = await tool.runInto(file, compression.argv, UNPACKED_LIMIT_BYTES)
    if (isCut) throw new MalformedPacket('initramfs', 0, 'takes more room or time to unpack than any known')
    const { size } = await file.stat()
    // gzip and xz say "trailing garbage" of the zeros that some tools leave behind an archive, and are done by then
    if (!isOk && size === 0)
      throw new MalformedPacket('initramfs', 0, `is damaged (${harmless(stderr.trim())})`)
    const content = new Uint8Array(size)
    await file.read(content, 0, size, 0)
    return content
  } finally {
    await file.truncate(0)
    await file.close()
  }
}

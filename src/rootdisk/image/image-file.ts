import { constants } from 'node:fs'
import { open, rm, stat, type FileHandle } from 'node:fs/promises'
import { DaemonError, systemCode } from '../../errors.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { recogniseFormat, type ImageFormat } from './format.js'
import { decodeQcow2Header, type Qcow2Header } from './qcow2-header.js'
import { check, convertToRaw, inspect, type QemuImgLimits, type QemuImgSource } from './qemu-img.js'
import { refused } from './refusal.js'

/** What an import may use. */
export interface ImportLimits extends QemuImgLimits {
  /** Largest disk, bytes; of a qcow2 its virtual size. */
  readonly maxSizeBytes: number
}

/** A disk image file that nobody vouches for. */
export interface ImageFile {
  /** A regular file, raw or qcow2; opened once, so that what was checked is what is read. */
  readonly sourcePath: string
  /** Where a qcow2 is unpacked to meanwhile. */
  readonly unpackedPath: string
  readonly limits: ImportLimits
  /** Called with 0..1 while it is unpacked; never for a raw file. */
  readonly onProgress: (fraction: number) => void
  readonly signal?: AbortSignal | undefined
}

/** The disk in an image file, as raw bytes for as long as somebody uses it. */
export interface RawDisk {
  readonly source: QemuImgSource
  /** Its name, for those who cannot follow a descriptor of ours: it may be another file by now. */
  readonly path: string
  readonly sizeBytes: number
  /** What the file was. */
  readonly format: ImageFormat
}

const HEAD_BYTES = 65536
const SECTOR_BYTES = 512
// qemu refuses more too (QCOW_MAX_L1_SIZE, 32 MiB of 8-byte entries).
const MAX_L1_ENTRIES = 4 * 1024 * 1024

/**
 * Hands `use` the disk in an image file, after every check that a file from outside has to pass.
 * @throws DaemonError IMAGE_REFUSED with the reason, NOT_FOUND, DISK_FULL, TIMED_OUT; the signal's reason
 */
export async function withRawDisk<T>(image: ImageFile, use: (disk: RawDisk) => Promise<T>): Promise<T> {
  image.signal?.throwIfAborted()
  const file = await openRegular(image.sourcePath)
  try {
    return await withOpened(file, image, use)
  } catch (err) {
    if (systemCode(err) !== 'ENOSPC') throw err
    throw new DaemonError('DISK_FULL', 'the state directory has no room for the image', { cause: err })
  } finally {
    await file.close()
  }
}

async function withOpened<T>(
  file: FileHandle,
  image: ImageFile,
  use: (disk: RawDisk) => Promise<T>,
): Promise<T> {
  const { size } = await file.stat()
  const head = new Uint8Array(Math.min(size, HEAD_BYTES))
  await file.read(head, 0, head.length, 0)
  const recognised = recogniseFormat(head)
  if ('refused' in recognised) throw refused(`${recognised.refused} is not a format that can be imported`)
  // The open file by its descriptor: the name may point elsewhere by now.
  const pinned = `/proc/${process.pid}/fd/${file.fd}`
  const { format } = recognised
  const source = { path: pinned, format, limits: image.limits, signal: image.signal }
  if (format === 'qcow2') return await withUnpacked(source, { head, fileBytes: size }, image, use)
  acceptSize(BigInt(size), image.limits)
  return await use({ source, path: image.sourcePath, sizeBytes: size, format })
}

async function withUnpacked<T>(
  source: QemuImgSource,
  { head, fileBytes }: { head: Uint8Array; fileBytes: number },
  { limits, unpackedPath, onProgress }: ImageFile,
  use: (disk: RawDisk) => Promise<T>,
): Promise<T> {
  // Before qemu-img opens the file: it would open the files that the header names.
  acceptHeader(headerOf(head), fileBytes, limits)
  const facts = await inspect(source)
  if (facts.objection !== undefined) throw refused(facts.objection)
  acceptSize(BigInt(facts.virtualSizeBytes), limits)
  await check(source)
  await rm(unpackedPath, { force: true })
  try {
    await convertToRaw(source, unpackedPath, onProgress)
    const { size } = await stat(unpackedPath)
    const raw: QemuImgSource = { ...source, path: unpackedPath, format: 'raw' }
    return await use({ source: raw, path: unpackedPath, sizeBytes: size, format: 'qcow2' })
  } finally {
    await rm(unpackedPath, { force: true })
  }
}

async function openRegular(sourcePath: string): Promise<FileHandle> {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(sourcePath, flags).catch((err: unknown) => {
    const code = systemCode(err)
    if (code === 'ENOENT') throw new DaemonError('NOT_FOUND', 'the image file does not exist', { cause: err })
    if (code === 'ELOOP') throw refused('it is a symbolic link')
    if (code === 'ENXIO' || code === 'ENODEV') throw refused('it is not a regular file')
    throw err
  })
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw refused('it is not a regular file')
}

function headerOf(head: Uint8Array): Qcow2Header {
  try {
    return decodeQcow2Header(head)
  } catch (err) {
    if (err instanceof MalformedPacket) throw refused(err.message)
    throw err
  }
}

function acceptHeader(header: Qcow2Header, fileBytes: number, limits: ImportLimits): void {
  if (header.hasBackingFile) throw refused('it needs a backing file')
  if (header.hasExternalData) throw refused('it keeps its data in another file')
  if (header.cryptMethod !== 0) throw refused('it is encrypted')
  if (header.isCorrupt) throw refused('it is marked corrupt')
  if (header.unknownFeatures !== 0n) throw refused('it needs features that are not known')
  acceptSize(header.virtualSizeBytes, limits)
  if (header.l1Entries > MAX_L1_ENTRIES)
    throw refused(`its L1 table of ${header.l1Entries} entries is too large`)
  const l1End = header.l1Offset + BigInt(header.l1Entries) * 8n
  if (l1End > BigInt(fileBytes)) throw refused('it is truncated, its L1 table lies beyond its end')
}

function acceptSize(sizeBytes: bigint, { maxSizeBytes }: ImportLimits): void {
  if (sizeBytes === 0n) throw refused('it is empty')
  if (sizeBytes % BigInt(SECTOR_BYTES) !== 0n)
    throw refused(`its size, ${String(sizeBytes)} bytes, is no multiple of 512`)
  if (sizeBytes > BigInt(maxSizeBytes)) {
    throw refused(`its disk has ${String(sizeBytes)} bytes, more than the ${maxSizeBytes} allowed`)
  }
}

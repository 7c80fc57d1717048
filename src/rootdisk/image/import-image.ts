import { constants } from 'node:fs'
import { open, rm, stat, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { DaemonError, systemCode } from '../../errors.js'
import { MalformedPacket } from '../../wire/malformed-packet.js'
import { importRaw } from '../volume/import-raw.js'
import { recogniseFormat, type ImageFormat } from './format.js'
import { decodeQcow2Header, type Qcow2Header } from './qcow2-header.js'
import {
  check,
  convertToRaw,
  dataRanges,
  inspect,
  type QemuImgLimits,
  type QemuImgSource,
} from './qemu-img.js'
import { refused } from './refusal.js'

/** What an import may use. */
export interface ImportLimits extends QemuImgLimits {
  /** Largest disk, bytes; of a qcow2 its virtual size. */
  readonly maxSizeBytes: number
}

/** A disk image file to make a golden layer of. */
export interface ImportImageOptions {
  /** A regular file, raw or qcow2; opened once, so that what was checked is what is read. */
  readonly sourcePath: string
  readonly layersDir: string
  readonly layerId: string
  readonly limits: ImportLimits
  /** Called with 0..1. */
  readonly onProgress?: ((fraction: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** What was imported. */
export interface ImportedImage {
  /** Size of the disk. */
  readonly sizeBytes: number
  /** The layer's digest as its manifest has it (SHA-256 over chunk digests), hex. */
  readonly sha256: string
  readonly format: ImageFormat
}

const HEAD_BYTES = 65536
const SECTOR_BYTES = 512
// qemu refuses more too (QCOW_MAX_L1_SIZE, 32 MiB of 8-byte entries).
const MAX_L1_ENTRIES = 4 * 1024 * 1024

/**
 * Makes a sealed layer of an image file that nobody vouches for. Whole, or not at all: a failure leaves nothing.
 * @throws DaemonError IMAGE_REFUSED with the reason, NOT_FOUND, DISK_FULL, TIMED_OUT; the signal's reason
 */
export async function importImage(options: ImportImageOptions): Promise<ImportedImage> {
  options.signal?.throwIfAborted()
  const file = await openRegular(options.sourcePath)
  try {
    return await importOpened(file, options)
  } catch (err) {
    if (systemCode(err) !== 'ENOSPC') throw err
    throw new DaemonError('DISK_FULL', 'the state directory has no room for the image', { cause: err })
  } finally {
    await file.close()
  }
}

async function importOpened(file: FileHandle, options: ImportImageOptions): Promise<ImportedImage> {
  const { size } = await file.stat()
  const head = new Uint8Array(Math.min(size, HEAD_BYTES))
  await file.read(head, 0, head.length, 0)
  const recognised = recogniseFormat(head)
  if ('refused' in recognised) throw refused(`${recognised.refused} is not a format that can be imported`)
  // The open file by its descriptor: the name may point elsewhere by now.
  const pinned = `/proc/${process.pid}/fd/${file.fd}`
  const { format } = recognised
  const source = { path: pinned, format, limits: options.limits, signal: options.signal }
  const work =
    format === 'raw' ? importRawFile(source, size, options) : importQcow2(source, size, head, options)
  return { ...(await work), format }
}

async function importRawFile(
  source: QemuImgSource,
  sizeBytes: number,
  options: ImportImageOptions,
): Promise<Omit<ImportedImage, 'format'>> {
  acceptSize(BigInt(sizeBytes), options.limits)
  return await makeLayer(source, sizeBytes, options, (fraction) => options.onProgress?.(fraction))
}

async function importQcow2(
  source: QemuImgSource,
  fileBytes: number,
  head: Uint8Array,
  options: ImportImageOptions,
): Promise<Omit<ImportedImage, 'format'>> {
  const header = headerOf(head)
  // Before qemu-img opens the file: it would open the files that the header names.
  acceptHeader(header, fileBytes, options.limits)
  const facts = await inspect(source)
  if (facts.objection !== undefined) throw refused(facts.objection)
  acceptSize(BigInt(facts.virtualSizeBytes), options.limits)
  await check(source)
  // Beside the layers, so that it is on their disk; one name for each layer, so that a dead daemon's is found.
  const rawPath = path.join(options.layersDir, `.convert-${options.layerId}`)
  await rm(rawPath, { force: true })
  try {
    await convertToRaw(source, rawPath, (fraction) => options.onProgress?.(fraction / 2))
    const raw: QemuImgSource = { ...source, path: rawPath, format: 'raw' }
    const { size } = await stat(rawPath)
    return await makeLayer(raw, size, options, (fraction) => options.onProgress?.(0.5 + fraction / 2))
  } finally {
    await rm(rawPath, { force: true })
  }
}

async function makeLayer(
  raw: QemuImgSource,
  sizeBytes: number,
  options: ImportImageOptions,
  onFraction: (fraction: number) => void,
): Promise<Omit<ImportedImage, 'format'>> {
  const { layersDir, layerId, signal } = options
  const extents = await dataRanges(raw)
  const onProgress = (doneBytes: number): void => onFraction(doneBytes / sizeBytes)
  const layer = { layersDir, layerId, sizeBytes, sourcePath: raw.path }
  const { sha256 } = await importRaw({ ...layer, extents, onProgress, signal })
  return { sizeBytes, sha256 }
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

import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { DaemonError } from '../../../errors.js'
import { decodeGptEntries, decodeGptHeader, encodeGptHeader } from '../inspect/gpt.js'
import { SECTOR_BYTES } from '../inspect/partition-table.js'

/**
 * Writes the backup of a disk's GPT to its end, and both headers to say so (UEFI 2.10 §5.3.2).
 * @throws MalformedPacket when the primary table is none; DaemonError WRONG_STATE when a partition is in the way
 */
export async function writeBackupGpt(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const sector = new Uint8Array(SECTOR_BYTES)
    await file.read(sector, 0, SECTOR_BYTES, SECTOR_BYTES)
    const header = decodeGptHeader(sector)
    const entries = new Uint8Array(header.entryCount * header.entryBytes)
    await file.read(entries, 0, entries.length, header.entriesLba * SECTOR_BYTES)
    const used = decodeGptEntries(header, entries)
    const lastLba = Math.floor(sizeBytes / SECTOR_BYTES) - 1
    const entriesLba = lastLba - Math.ceil(entries.length / SECTOR_BYTES)
    const inTheWay = used.find((entry) => entry.lastLba >= entriesLba)
    if (inTheWay !== undefined)
      throw new DaemonError(
        'WRONG_STATE',
        `partition ${inTheWay.number} leaves no room for the backup of the GPT`,
      )
    const both = { ...header, lastUsableLba: entriesLba - 1, entriesCrc: crc32(entries) }
    const backup = { ...both, ownLba: lastLba, otherLba: 1, entriesLba }
    await file.write(entries, 0, entries.length, entriesLba * SECTOR_BYTES)
    await file.write(encodeGptHeader(backup, SECTOR_BYTES), 0, SECTOR_BYTES, lastLba * SECTOR_BYTES)
    await file.write(
      encodeGptHeader({ ...both, ownLba: 1, otherLba: lastLba }, SECTOR_BYTES),
      0,
      SECTOR_BYTES,
      SECTOR_BYTES,
    )
  } finally {
    await file.close()
  }
}

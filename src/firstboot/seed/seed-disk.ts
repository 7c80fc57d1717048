import { DaemonError } from '../../errors.js'
import { writeIso9660 } from './iso9660.js'
import { writePartitionedDisk } from './partition-table.js'
import type { SeedInput } from './seed-input.js'
import { renderSeed } from './seed.js'

/**
 * The size of every seed disk, whatever is on it: a change must not change the capacity of a running server's disk.
 * Far below 128 MiB, where Cloudbase-Init's count of blocks (16 bits) ends.
 */
export const SEED_DISK_BYTES = 8 << 20

// With 1 MiB before the first partition: all of the disk.
const CONFIG_DRIVE_BYTES = 4 << 20
const NO_CLOUD_BYTES = 3 << 20

/**
 * The seed as a whole disk of {@link SEED_DISK_BYTES}: 512-byte sectors, an MBR, partition 1 an ISO 9660 `config-2`,
 * partition 2 an ISO 9660 `cidata`. The same arguments give the same bytes.
 * @param timestampMs date of the files, milliseconds since 1970; best the time of the deploy
 * @throws DaemonError INVALID_INPUT whose message starts with the field
 */
export function renderSeedDisk(input: SeedInput, timestampMs = 0): Buffer {
  const { configDrive, noCloud } = renderSeed(input)
  // blkid makes a volume's UUID of its date, to 1/100 s: two on one disk must differ.
  const volumes = [
    { content: writeIso9660('config-2', configDrive, timestampMs), sizeBytes: CONFIG_DRIVE_BYTES },
    { content: writeIso9660('cidata', noCloud, timestampMs + 10), sizeBytes: NO_CLOUD_BYTES },
  ]
  for (const { content, sizeBytes } of volumes) {
    // Only a network document has no limit of its own that keeps it below this.
    if (content.length <= sizeBytes) continue
    throw new DaemonError(
      'INVALID_INPUT',
      `network: the seed takes ${content.length} bytes of at most ${sizeBytes}`,
    )
  }
  return writePartitionedDisk(`ingot seed ${input.instanceId}`, volumes)
}

import { writeIso9660 } from './iso9660.js'
import { writePartitionedDisk } from './partition-table.js'
import type { SeedInput } from './seed-input.js'
import { renderSeed } from './seed.js'

/**
 * The seed as a whole disk: 512-byte sectors, an MBR, partition 1 an ISO 9660 `config-2`, partition 2 an
 * ISO 9660 `cidata`. A multiple of 1 MiB, 3 MiB without large user data. The same arguments give the same bytes.
 * @param timestampMs date of the files, milliseconds since 1970; best the time of the deploy
 * @throws DaemonError INVALID_INPUT whose message starts with the field
 */
export function renderSeedDisk(input: SeedInput, timestampMs = 0): Buffer {
  const { configDrive, noCloud } = renderSeed(input)
  return writePartitionedDisk(`ingot seed ${input.instanceId}`, [
    writeIso9660('config-2', configDrive, timestampMs),
    // blkid makes a volume's UUID of its date, to 1/100 s: two on one disk must differ.
    writeIso9660('cidata', noCloud, timestampMs + 10),
  ])
}

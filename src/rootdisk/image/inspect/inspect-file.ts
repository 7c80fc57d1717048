import { withRawDisk, type ImageFile } from '../image-file.js'
import { inspectDisk, type InspectOptions } from './inspect-disk.js'
import { judge, type Inspection } from './inspection.js'

/** Judges a raw disk of ours: a golden layer's data. @throws as {@link inspectDisk} does */
export async function inspectRawDisk(options: InspectOptions): Promise<Inspection> {
  return judge(await inspectDisk(options))
}

/**
 * Judges the disk in a raw or qcow2 file from outside, after the checks that an import makes.
 * @throws DaemonError IMAGE_REFUSED, NOT_FOUND, DISK_FULL, TIMED_OUT, WRONG_STATE; the signal's reason
 */
export function inspectImageFile(
  image: ImageFile,
  options: Pick<InspectOptions, 'scratchDir' | 'signal'>,
): Promise<Inspection> {
  return withRawDisk(image, ({ path, sizeBytes }) => inspectRawDisk({ ...options, path, sizeBytes }))
}

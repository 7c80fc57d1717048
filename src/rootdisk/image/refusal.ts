import { DaemonError } from '../../errors.js'

/** The refusal of an image file. @param reason completes "the image is refused: ..." */
export function refused(reason: string, options?: { cause?: unknown }): DaemonError {
  return new DaemonError('IMAGE_REFUSED', `the image is refused: ${reason}`, options)
}

import { DaemonError } from '../errors.js'
import { isSignedLoader, NO_KERNEL_REMEDY } from '../netboot/grub/signed-parts.js'
import type { ImageRecord } from '../registry/records.js'

/**
 * Refuses what would end at GRUB's prompt: GRUB reads no iSCSI disk, so an image needs its kernel beside it.
 * @throws DaemonError WRONG_STATE when a machine with this loader of its own could not boot the image
 */
export function expectKernel(
  loader: string | undefined,
  { name, kernelArguments }: Pick<ImageRecord, 'name' | 'kernelArguments'>,
): void {
  if (loader === undefined || !isSignedLoader(loader) || kernelArguments !== undefined) return
  const message = `image ${name} has no kernel beside it, which a machine with the loader ${loader} boots`
  throw new DaemonError('WRONG_STATE', `${message}: ${NO_KERNEL_REMEDY}`)
}

import { BlockError, type BlockErrorKind } from '../block-device.js'
import type { Link } from './link.js'
import { NBD_ERROR } from './protocol.js'

const OF_KIND: Readonly<Record<BlockErrorKind, number>> = {
  'no-space': NBD_ERROR.ENOSPC,
  medium: NBD_ERROR.EIO,
  'read-only': NBD_ERROR.EPERM,
}

/** The error number that tells a client of a device's failure. */
export function errorNumber(link: Link, err: unknown): number {
  if (err instanceof BlockError) return OF_KIND[err.kind]
  link.onFault(err)
  return NBD_ERROR.EIO
}

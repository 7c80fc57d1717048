import { systemCode } from '../../errors.js'
import { BlockError, type BlockErrorKind } from '../block-device.js'

const KINDS: Readonly<Record<string, BlockErrorKind>> = {
  ENOSPC: 'no-space',
  EDQUOT: 'no-space',
  EROFS: 'read-only',
}

/** What a failed system call means to the initiator; a `BlockError` stays what it is. */
export function blockFailure(doing: string, cause: unknown): BlockError {
  if (cause instanceof BlockError) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new BlockError(KINDS[systemCode(cause) ?? ''] ?? 'medium', `${doing}: ${reason}`, { cause })
}
